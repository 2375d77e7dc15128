"""API tokens as people make and revoke them. A token never carries more than the one it is asked for with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mainstay.engine.access import Identity
from mainstay.engine.clock import Clock
from mainstay.flow import permit
from mainstay.model.errors import BadInput, Conflict, NotAllowed, NotFound
from mainstay.model.person import Role, Scope, Token
from mainstay.store import audit, people, repositories, tokens
from mainstay.store.database import Database, Tx

LONGEST_DAYS = 3650
MOST = 100
"""Live tokens of one person."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A token with the names of what its row refers to by number."""

    token: Token
    person: str | None
    """None: it is the server's own."""
    repositories: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Wish:
    """A token to be."""

    name: str
    scope: Scope = Scope.READ
    repositories: tuple[str, ...] | None = None
    """Names; None: all that its person may see."""
    days: int | None = 90
    """None: it does not end by itself."""


class PersonalTokens:
    """Tokens of people, and of runners."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(self, asker: Identity, wish: Wish) -> tuple[Listed, str]:
        """Make a token for whoever asks; its text is given this once. Raises BadInput, NotAllowed, NotFound."""
        name = wish.name.strip()
        if not 0 < len(name) <= 100 or not name.isprintable():
            raise BadInput("a token needs a name of 1 to 100 printable characters, so that lists tell what it is for")
        if wish.days is not None and not 0 < wish.days <= LONGEST_DAYS:
            raise BadInput(f"a token is good for 1 to {LONGEST_DAYS} days, not {wish.days}")
        if asker.scope is not Scope.ADMIN:
            raise NotAllowed(f"a token with the scope {asker.scope} makes no others; sign in, or use one with `admin`")
        text = tokens.new_token("api")
        made = await self._database.write(_create, asker, name, wish, text, self._clock.now())
        return made, text

    async def listed(self, asker: Identity, kind: str, *, all_of_them: bool = False) -> list[Listed]:
        """The live tokens of whoever asks, newest first; `all_of_them` for administrators."""
        everyone = all_of_them or asker.person_id is None
        if everyone and not permit.may(asker.grants, Role.ADMIN, None):
            raise NotAllowed("the tokens of others are shown to administrators only")
        return await self._database.read(_listed, kind, None if everyone else asker.person_id, self._clock.now())

    async def revoke(self, asker: Identity, token_id: int, kinds: Sequence[str] = ("api",)) -> None:
        """Make a token worthless, now. One's own, or for administrators any. Raises NotFound."""
        await self._database.write(_revoke, asker, token_id, kinds, self._clock.now())


def _create(tx: Tx, asker: Identity, name: str, wish: Wish, text: str, now: datetime) -> Listed:
    if asker.person_id is not None and len(tokens.listed(tx, "api", now, asker.person_id)) >= MOST:
        raise Conflict(f"{asker.name} has {MOST} tokens already; revoke some that are not used")
    chosen: list[int] | None = None
    if wish.repositories is not None:
        chosen = []
        for each in wish.repositories:
            found = repositories.by_name(tx, each)
            if not permit.may(asker.grants, Role.READER, found.id):
                raise repositories.unknown(each)
            chosen.append(found.id)
    # What asks may itself be for some repositories only: sessions of such tokens are.
    bounds = tokens.bounds_of(tx, asker.id)
    if bounds is not None and (chosen is None or not bounds.issuperset(chosen)):
        raise NotAllowed("the token you use is for some repositories only; one for more cannot be made with it")
    until = None if wish.days is None else now + timedelta(days=wish.days)
    token_id = tokens.add(
        tx, "api", name, text, now, until, person_id=asker.person_id, scope=wish.scope, repositories=chosen
    )
    where = "all repositories" if wish.repositories is None else ", ".join(wish.repositories)
    ends = "no end" if until is None else f"until {until:%Y-%m-%d}"
    audit.add(tx, asker.actor, "token.create", f"token {name}", now, detail=f"scope {wish.scope}; {where}; {ends}")
    made = tokens.get(tx, token_id, now)
    assert made is not None
    return _with_names(tx, [made])[0]


def _listed(tx: Tx, kind: str, person_id: int | None, now: datetime) -> list[Listed]:
    return _with_names(tx, tokens.listed(tx, kind, now, person_id))


def _with_names(tx: Tx, found: list[Token]) -> list[Listed]:
    names = people.names(tx, {each.person_id for each in found if each.person_id is not None})
    known = {each.id: each.name for each in repositories.all_of(tx)} if any(each.repositories for each in found) else {}
    return [
        Listed(
            each,
            None if each.person_id is None else names.get(each.person_id, "somebody removed"),
            None
            if each.repositories is None
            else tuple(known.get(key, f"removed repository {key}") for key in each.repositories),
        )
        for each in found
    ]


def _revoke(tx: Tx, asker: Identity, token_id: int, kinds: Sequence[str], now: datetime) -> None:
    found = tokens.get(tx, token_id, now)
    own = found is not None and asker.person_id is not None and found.person_id == asker.person_id
    if found is None or found.kind not in kinds or not (own or permit.may(asker.grants, Role.ADMIN, None)):
        raise NotFound(f"you have no token with the id {token_id}; `mainstay token list` shows those there are")
    if asker.limited and found.id != asker.id:
        raise NotAllowed("a token that does not carry all rights of its person revokes none but itself")
    tokens.revoke(tx, token_id, now)
    audit.add(tx, asker.actor, "token.revoke", f"{found.kind} token {found.name}", now)
