"""People and their roles, as administrators change them. Each command leaves a row of the audit trail."""

import re
from collections.abc import Mapping
from datetime import datetime

from mainstay.engine.clock import Clock
from mainstay.model.errors import BadInput, Conflict
from mainstay.model.person import Actor, Person, Role, role_named
from mainstay.store import audit, people, repositories, sessions, tokens
from mainstay.store.database import Database, Tx

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,255}")
CHANGEABLE = frozenset({"full_name", "email", "role"})


class Accounts:
    """Who can sign in, and what they may do."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def add(
        self, actor: Actor, name: str, *, full_name: str = "", email: str | None = None, role: Role | None = None
    ) -> tuple[Person, str]:
        """Let somebody in; give the person and the link with which a password is set. Raises BadInput, Conflict."""
        word = None if role is None else role.word
        values: dict[str, object] = {"full_name": _full_name(full_name), "email": _email(email), "role": word}
        link = tokens.new_token("signin")
        person = await self._database.write(_add, actor, checked_name(name), values, link, self._clock.now())
        return person, path_of(link)

    async def invite(self, actor: Actor, name: str) -> str:
        """A link that signs somebody in once, to set a new password. Links made before are worth nothing any more."""
        link = tokens.new_token("signin")
        await self._database.write(_invite, actor, name, link, self._clock.now())
        return path_of(link)

    async def change(self, actor: Actor, name: str, values: Mapping[str, object]) -> Person:
        """Set `full_name`, `email`, `role` (a word, or None to take it away). Raises BadInput, NotFound, Conflict."""
        unknown = sorted(set(values) - CHANGEABLE)
        if unknown or not values:
            raise BadInput(f"of a person {', '.join(sorted(CHANGEABLE))} can be set, not {unknown or 'nothing'}")
        checked: dict[str, object] = dict(values)
        if "full_name" in checked:
            checked["full_name"] = _full_name(str(checked["full_name"] or ""))
        if "email" in checked:
            checked["email"] = _email(None if checked["email"] is None else str(checked["email"]))
        if checked.get("role") is not None:
            checked["role"] = role_named(str(checked["role"])).word
        return await self._database.write(_change, actor, name, checked, self._clock.now())

    async def give(self, actor: Actor, name: str, repository: str, role: Role | None) -> None:
        """Give a role in one repository, or with None take it away. Raises NotFound."""
        await self._database.write(_give, actor, name, repository, role, self._clock.now())

    async def remove(self, actor: Actor, name: str) -> None:
        """Let nobody be this person any more: sessions and tokens end at once. Raises NotFound, Conflict."""
        await self._database.write(_remove, actor, name, self._clock.now())

    async def end_sessions(self, actor: Actor, person_id: int, but: int | None = None) -> int:
        """Sign a person out everywhere, but of one session; give of how many."""
        return await self._database.write(_end_sessions, actor, person_id, but, self._clock.now())

    async def end_session(self, actor: Actor, person_id: int, session_id: int) -> None:
        """Sign a person out of one browser."""
        await self._database.write(_end_session, actor, person_id, session_id, self._clock.now())


def checked_name(name: str) -> str:
    """A name that somebody can have, in small letters: no two differ only in that. Raises BadInput."""
    if not NAME.fullmatch(name):
        raise BadInput(
            f"{name[:80]!r} is no name for a person: letters, digits, '.', '_', '@', '+' and '-', at most 64, "
            "beginning with a letter or digit"
        )
    return name.lower()


def path_of(link: str) -> str:
    """The path of a link that signs its first visitor in."""
    return f"/sign-in?code={link}"


def _full_name(text: str) -> str:
    if len(text) > 200 or not text.isprintable():
        raise BadInput("a full name has at most 200 characters, all of them printable")
    return text.strip()


def _email(text: str | None) -> str | None:
    if not text:
        return None
    if not EMAIL.fullmatch(text):
        raise BadInput(f"{text[:80]!r} is no mail address")
    return text


def _add(tx: Tx, actor: Actor, name: str, values: dict[str, object], link: str, now: datetime) -> Person:
    person = people.add(tx, name, now, **values)
    told = f"role: {values['role']}" if values["role"] else ""
    audit.add(tx, actor, "person.add", name, now, detail=told)
    sessions.add_link(tx, name, link, now, person.id)
    return person


def _invite(tx: Tx, actor: Actor, name: str, link: str, now: datetime) -> None:
    person = people.by_name(tx, name)
    tokens.revoke_all(tx, person.id, ("signin",), now)
    sessions.add_link(tx, name, link, now, person.id)
    audit.add(tx, actor, "person.invite", name, now, detail="a link to set a password")


def _change(tx: Tx, actor: Actor, name: str, values: dict[str, object], now: datetime) -> Person:
    before = people.by_name(tx, name)
    changed = people.change(tx, before.id, **values)
    _keep_an_admin(tx, before)
    told = "; ".join(f"{key}: {_shown(before, key)} -> {_shown(changed, key)}" for key in sorted(values))
    audit.add(tx, actor, "person.set", name, now, detail=told)
    return changed


def _shown(person: Person, key: str) -> str:
    value = getattr(person, key)
    return value.word if isinstance(value, Role) else str(value or "none")


def _keep_an_admin(tx: Tx, before: Person) -> None:
    """Refuse what has just taken away the last administrator."""
    if before.everywhere is Role.ADMIN and not people.admins(tx):
        raise Conflict(f"{before.name} is the last administrator; make somebody else one first")


def _give(tx: Tx, actor: Actor, name: str, repository_name: str, role: Role | None, now: datetime) -> None:
    person, repository = people.by_name(tx, name), repositories.by_name(tx, repository_name)
    before = next((r for i, _, r, o in people.roles_of(tx, person.id) if i == repository.id and o == people.HAND), None)
    people.give(tx, person.id, repository.id, role)
    told = f"{before.word if before else 'none'} -> {role.word if role else 'none'}"
    subject = f"{name} in {repository.name}"
    audit.add(tx, actor, "role.set", subject, now, detail=told, repository_id=repository.id)


def _remove(tx: Tx, actor: Actor, name: str, now: datetime) -> None:
    person = people.by_name(tx, name)
    tokens.revoke_all(tx, person.id, ("api", "session", "signin", "device"), now)
    people.remove(tx, person, now)
    _keep_an_admin(tx, person)
    audit.add(tx, actor, "person.remove", name, now)


def _end_sessions(tx: Tx, actor: Actor, person_id: int, but: int | None, now: datetime) -> int:
    person = people.get(tx, person_id)
    count = tokens.revoke_all(tx, person_id, ("session",), now, but)
    audit.add(tx, actor, "session.end", person.name, now, detail=f"{count} sessions")
    return count


def _end_session(tx: Tx, actor: Actor, person_id: int, session_id: int, now: datetime) -> None:
    found = tokens.get(tx, session_id, now)
    if found is None or found.kind != "session" or found.person_id != person_id:
        return  # it has ended already, or was never this person's: nothing is left to do
    tokens.revoke(tx, session_id, now)
    audit.add(tx, actor, "session.end", people.get(tx, person_id).name, now, detail=f"from {found.address}")
