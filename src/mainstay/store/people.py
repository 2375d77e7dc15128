"""People and their roles."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from mainstay.model.errors import Conflict, NotFound
from mainstay.model.person import Grants, Person, Role, role_named
from mainstay.store.database import Tx
from mainstay.store.dialect import parts, upsert
from mainstay.store.schema import memberships, people, repositories

HAND, GROUPS = "hand", "groups"
"""Where a role comes from: somebody gave it, or the identity provider's groups did."""

_live = select(people).where(people.c.removed_at.is_(None))


_roles = (
    select(repositories.c.id, repositories.c.name, memberships.c.role, memberships.c.origin, memberships.c.person_id)
    .join(repositories, repositories.c.id == memberships.c.repository_id)
    .where(repositories.c.removed_at.is_(None))
)


def _role(word: str | None) -> Role | None:
    return None if word is None else role_named(word)


def _person(row: Any) -> Person:
    return Person(
        id=row.id,
        name=row.name,
        full_name=row.full_name,
        email=row.email,
        role=_role(row.role),
        group_role=_role(row.group_role),
        issuer=row.issuer,
        has_password=row.password is not None,
        created_at=row.created_at,
        seen_at=row.seen_at,
        told_as_author=row.told_as_author,
    )


def add(tx: Tx, name: str, now: datetime, **values: object) -> Person:
    """Store a new person. Raises Conflict when the name is taken."""
    if tx.conn.execute(select(people.c.id).where(people.c.name == name)).first():
        raise Conflict(f"there is already somebody named {name}; choose another name")
    made = insert(people).values(name=name, created_at=now, **values).returning(people.c.id)
    return get(tx, tx.conn.execute(made).scalar_one())


def find(tx: Tx, person_id: int) -> Person | None:
    """One person; None: nobody has that id (any more)."""
    row = tx.conn.execute(_live.where(people.c.id == person_id)).first()
    return None if row is None else _person(row)


def get(tx: Tx, person_id: int) -> Person:
    """One person. Raises NotFound."""
    found = find(tx, person_id)
    if found is None:
        raise NotFound(f"there is nobody with the id {person_id}")
    return found


def by_name(tx: Tx, name: str) -> Person:
    """One person by name. Raises NotFound."""
    row = tx.conn.execute(_live.where(people.c.name == name)).first()
    if row is None:
        raise NotFound(f"there is nobody named {name[:100]!r}; `mainstay people list` shows who there is")
    return _person(row)


def all_of(tx: Tx, after: str = "", limit: int = 1000) -> list[Person]:
    """People by name, those whose name comes after `after`."""
    query = _live.where(people.c.name > after).order_by(people.c.name).limit(limit)
    return [_person(row) for row in tx.conn.execute(query)]


def anybody(tx: Tx) -> bool:
    """Whether there is anybody yet."""
    return tx.conn.execute(select(people.c.id).where(people.c.removed_at.is_(None)).limit(1)).first() is not None


def change(tx: Tx, person_id: int, **values: object) -> Person:
    """Set columns of a person by their names."""
    if values:
        tx.conn.execute(update(people).where(people.c.id == person_id).values(**values))
        tx.wake("tokens")
    return get(tx, person_id)


def roles_of(tx: Tx, person_id: int) -> list[tuple[int, str, Role, str]]:
    """The roles of a person in single repositories: repository's id and name, role, origin; by name."""
    query = _roles.where(memberships.c.person_id == person_id).order_by(repositories.c.name, memberships.c.origin)
    return [(row.id, row.name, role_named(row.role), row.origin) for row in tx.conn.execute(query)]


def members_of(tx: Tx, repository_id: int) -> list[tuple[str, Role, str]]:
    """Who has a role in that very repository: name, role, origin; by name."""
    query = (
        select(people.c.name, memberships.c.role, memberships.c.origin)
        .join(people, people.c.id == memberships.c.person_id)
        .where(memberships.c.repository_id == repository_id, people.c.removed_at.is_(None))
        .order_by(people.c.name, memberships.c.origin)
    )
    return [(row[0], role_named(row[1]), row[2]) for row in tx.conn.execute(query)]


def give(tx: Tx, person_id: int, repository_id: int, role: Role | None, origin: str = HAND) -> None:
    """Give a role in a repository, or with None take it away."""
    if role is None:
        tx.conn.execute(
            delete(memberships).where(
                memberships.c.person_id == person_id,
                memberships.c.repository_id == repository_id,
                memberships.c.origin == origin,
            )
        )
    else:
        key = [memberships.c.person_id, memberships.c.repository_id, memberships.c.origin]
        row = {"person_id": person_id, "repository_id": repository_id, "origin": origin, "role": role.word}
        tx.conn.execute(upsert(tx, memberships, key, [memberships.c.role]), row)
    tx.wake("tokens")


def grants_of(tx: Tx, person: Person) -> Grants:
    """All roles of a person."""
    of: dict[int, Role] = {}
    for key, _, role, _ in roles_of(tx, person.id):
        of[key] = max(role, of.get(key, role))
    return Grants(person.everywhere, of, public(tx))


def with_grants(tx: Tx, person_ids: Iterable[int]) -> dict[int, tuple[Person, Grants]]:
    """People by id with all roles they have, removed ones left out: one look for all of them."""
    open_to_all = public(tx)
    found: dict[int, tuple[Person, Grants]] = {}
    for part in parts(sorted(person_ids)):
        of: dict[int, dict[int, Role]] = {}
        for row in tx.conn.execute(_roles.where(memberships.c.person_id.in_(part))):
            mine = of.setdefault(row.person_id, {})
            mine[row.id] = max(role_named(row.role), mine.get(row.id, role_named(row.role)))
        for person in map(_person, tx.conn.execute(_live.where(people.c.id.in_(part)))):
            found[person.id] = person, Grants(person.everywhere, of.get(person.id, {}), open_to_all)
    return found


def public(tx: Tx) -> frozenset[int]:
    """The repositories that everybody may read."""
    query = select(repositories.c.id).where(repositories.c.public.is_(True), repositories.c.removed_at.is_(None))
    return frozenset(tx.conn.execute(query).scalars())


def names(tx: Tx, person_ids: Iterable[int]) -> dict[int, str]:
    """The names of people by id, removed ones left out."""
    query = select(people.c.id, people.c.name).where(people.c.id.in_(list(person_ids)), people.c.removed_at.is_(None))
    return {row.id: row.name for row in tx.conn.execute(query)}


def seen(tx: Tx, person_id: int, now: datetime) -> None:
    """Keep when a person signed in last."""
    tx.conn.execute(update(people).where(people.c.id == person_id).values(seen_at=now))


def password_of(tx: Tx, name: str) -> tuple[int, str | None] | None:
    """A person's id and kept hash; None: there is nobody of that name."""
    row = tx.conn.execute(_live.where(people.c.name == name)).first()
    return None if row is None else (row.id, row.password)


def by_subject(tx: Tx, issuer: str, subject: str) -> Person | None:
    """The person whom an identity provider knows by that name."""
    row = tx.conn.execute(_live.where(people.c.issuer == issuer, people.c.subject == subject)).first()
    return None if row is None else _person(row)


def admins(tx: Tx) -> list[str]:
    """The names of those who are administrators of everything, by hand or by groups."""
    admin = Role.ADMIN.word
    query = _live.where((people.c.role == admin) | (people.c.group_role == admin)).order_by(people.c.name)
    return [row.name for row in tx.conn.execute(query)]


def remove(tx: Tx, person: Person, now: datetime) -> None:
    """Let nobody be this person any more and free the name. The row stays for the audit trail."""
    tx.conn.execute(delete(memberships).where(memberships.c.person_id == person.id))
    freed = f"-{person.id}-{person.name}"[:64]
    gone = {"removed_at": now, "name": freed, "password": None, "issuer": None, "subject": None, "email": None}
    tx.conn.execute(update(people).where(people.c.id == person.id).values(role=None, group_role=None, **gone))
    tx.wake("tokens")
