"""What people asked to hear of which repositories."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select

from mainstay.model.errors import NotFound
from mainstay.model.report import ReportKind, Subscription
from mainstay.store.database import Tx
from mainstay.store.dialect import parts
from mainstay.store.schema import people, repositories, subscriptions

_whole = (
    select(subscriptions, repositories.c.name)
    .outerjoin(repositories, repositories.c.id == subscriptions.c.repository_id)
    .where(repositories.c.removed_at.is_(None))
)


def _subscription(row: Any) -> Subscription:
    return Subscription(
        row.id,
        row.person_id,
        row.repository_id,
        row.name,
        tuple(row.branches),
        tuple(ReportKind(kind) for kind in row.kinds),
        row.language,
        row.created_at,
    )


def add(tx: Tx, new: Subscription, now: datetime) -> int:
    """Store a subscription in the place of the person's others of the same repository; give its number."""
    tx.conn.execute(delete(subscriptions).where(*_same(new.person_id, new.repository_id)))
    values = {
        "person_id": new.person_id,
        "repository_id": new.repository_id,
        "branches": list(new.branches),
        "kinds": [kind.value for kind in new.kinds],
        "language": new.language,
        "created_at": now,
    }
    made: int = tx.conn.execute(insert(subscriptions).values(**values).returning(subscriptions.c.id)).scalar_one()
    return made


def _same(person_id: int, repository_id: int | None) -> tuple[Any, ...]:
    column = subscriptions.c.repository_id
    where = column.is_(None) if repository_id is None else column == repository_id
    return subscriptions.c.person_id == person_id, where


def of_person(tx: Tx, person_id: int) -> list[Subscription]:
    """What a person asked to hear, by repository; all repositories first."""
    query = _whole.where(subscriptions.c.person_id == person_id).order_by(repositories.c.name, subscriptions.c.id)
    found = [_subscription(row) for row in tx.conn.execute(query)]
    return sorted(found, key=lambda each: each.repository or "")


def about(tx: Tx, repository_id: int) -> list[Subscription]:
    """What people asked to hear of a repository, or of all."""
    wanted = subscriptions.c.repository_id.is_(None) | (subscriptions.c.repository_id == repository_id)
    return [_subscription(row) for row in tx.conn.execute(_whole.where(wanted).order_by(subscriptions.c.id))]


def remove(tx: Tx, person_id: int, subscription_id: int) -> Subscription:
    """Take a subscription of a person back. Raises NotFound."""
    query = _whole.where(subscriptions.c.id == subscription_id, subscriptions.c.person_id == person_id)
    row = tx.conn.execute(query).first()
    if row is None:
        raise NotFound(f"you have no subscription with the number {subscription_id}")
    tx.conn.execute(delete(subscriptions).where(subscriptions.c.id == subscription_id))
    return _subscription(row)


def languages(tx: Tx, addresses: Sequence[str]) -> dict[str, str]:
    """Those of the addresses that belong to people who can sign in here, with the language they read."""
    found: dict[str, str] = {}
    for part in parts(addresses):
        address = func.lower(people.c.email)
        query = (
            select(address, subscriptions.c.language)
            .select_from(people.outerjoin(subscriptions, subscriptions.c.person_id == people.c.id))
            .where(people.c.removed_at.is_(None), address.in_(part))
            .order_by(subscriptions.c.id)
        )
        found.update({row[0]: row[1] or "en" for row in tx.conn.execute(query)})
    return found


def unwilling(tx: Tx, addresses: Sequence[str]) -> frozenset[str]:
    """Those of the addresses whose people do not want to hear that commits of theirs broke a branch."""
    found: set[str] = set()
    for part in parts(addresses):
        address = func.lower(people.c.email)
        query = select(address).where(
            people.c.removed_at.is_(None), people.c.told_as_author.is_(False), address.in_(part)
        )
        found.update(tx.conn.execute(query).scalars())
    return frozenset(found)
