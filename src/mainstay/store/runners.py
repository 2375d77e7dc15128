"""Runners as the server knows them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update

from mainstay.model.errors import NotFound
from mainstay.model.runner import Runner
from mainstay.store.database import Tx
from mainstay.store.dialect import parts
from mainstay.store.schema import attempts, runners


def _runner(row: Any, running: int, online_since: datetime) -> Runner:
    return Runner(
        id=row.id,
        name=row.name,
        labels=tuple(row.labels),
        capacity=row.capacity,
        executor=row.executor,
        version=row.version,
        system=row.system,
        first_seen_at=row.first_seen_at,
        last_contact_at=row.last_contact_at,
        running=running,
        draining=row.draining,
        online=row.last_contact_at >= online_since and row.left_at is None,
        left_at=row.left_at,
    )


def row_by_name(tx: Tx, name: str) -> Any:
    """The stored row of a runner by its name, or None."""
    return tx.conn.execute(select(runners).where(runners.c.name == name)).first()


def row(tx: Tx, runner_id: int) -> Any:
    """The stored row of a runner. Raises NotFound."""
    found = tx.conn.execute(select(runners).where(runners.c.id == runner_id, runners.c.removed_at.is_(None))).first()
    if found is None:
        raise NotFound(f"there is no runner with the id {runner_id}; `mainstay runners` shows those there are")
    return found


_rows = select(runners).where(
    runners.c.id.in_(bindparam("which", expanding=True)), runners.c.removed_at.is_(None)
)  # made once: it is asked for with every poll


def rows(tx: Tx, runner_ids: Sequence[int]) -> dict[int, Any]:
    """The stored rows of runners by their ids; those there are."""
    found: dict[int, Any] = {}
    for part in parts(runner_ids):
        found.update({row.id: row for row in tx.conn.execute(_rows, {"which": part})})
    return found


def enrol(tx: Tx, values: dict[str, object], now: datetime) -> int:
    """Store a runner that was not known."""
    runner_id: int = tx.conn.execute(
        insert(runners).values(first_seen_at=now, last_contact_at=now, **values).returning(runners.c.id)
    ).scalar_one()
    return runner_id


def change(tx: Tx, runner_id: int, **values: object) -> None:
    """Set columns of a runner."""
    tx.conn.execute(update(runners).where(runners.c.id == runner_id).values(**values))


def none_is_here(tx: Tx) -> None:
    """After a restore: those of whom the backup tells have yet to say hello to this server."""
    gone = {"left_at": runners.c.last_contact_at, "boot": "restored"}
    tx.conn.execute(update(runners).where(runners.c.left_at.is_(None)).values(**gone))


def all_of(tx: Tx, now: datetime, silent_s: float) -> list[Runner]:
    """All runners by name; online are those heard of within `silent_s` seconds that did not leave."""
    counted = select(attempts.c.runner_id, func.count()).where(attempts.c.state == "running")
    running: dict[int, int] = {row[0]: row[1] for row in tx.conn.execute(counted.group_by(attempts.c.runner_id))}
    since = now - timedelta(seconds=silent_s)
    query = select(runners).where(runners.c.removed_at.is_(None)).order_by(runners.c.name)
    return [_runner(found, running.get(found.id, 0), since) for found in tx.conn.execute(query)]


def one(tx: Tx, runner_id: int, now: datetime, silent_s: float) -> Runner:
    """One runner. Raises NotFound."""
    held = select(func.count()).where(attempts.c.runner_id == runner_id, attempts.c.state == "running")
    found = row(tx, runner_id)
    return _runner(found, int(tx.conn.execute(held).scalar_one()), now - timedelta(seconds=silent_s))


def offered_labels(tx: Tx, since: datetime) -> list[frozenset[str]]:
    """The label sets of the runners heard of since then, neither gone nor draining."""
    query = select(runners.c.labels).where(
        runners.c.removed_at.is_(None),
        runners.c.left_at.is_(None),
        runners.c.last_contact_at >= since,
        runners.c.draining.is_(False),
    )
    return [frozenset(labels) for labels in tx.conn.execute(query).scalars()]


def running_by_name(tx: Tx, names: Sequence[str]) -> dict[str, int]:
    """How many attempts each of the named runners holds."""
    query = (
        select(runners.c.name, func.count())
        .join(attempts, attempts.c.runner_id == runners.c.id)
        .where(runners.c.name.in_(names), attempts.c.state == "running")
        .group_by(runners.c.name)
    )
    return {row[0]: row[1] for row in tx.conn.execute(query)}


def owned_by(tx: Tx, runner_id: int, token_id: int) -> bool:
    """Whether a runner belongs to a token."""
    query = select(runners.c.id).where(
        runners.c.id == runner_id, runners.c.token_id == token_id, runners.c.removed_at.is_(None)
    )
    return tx.conn.execute(query).first() is not None


def retire(tx: Tx, name: str, now: datetime) -> None:
    """Take a runner that was ended on purpose off the list, unless it still holds something. Hello brings it back."""
    held = select(attempts.c.id).where(attempts.c.runner_id == runners.c.id, attempts.c.state == "running").exists()
    tx.conn.execute(update(runners).where(runners.c.name == name, ~held).values(removed_at=now))
    tx.wake("runners")
