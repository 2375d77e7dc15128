"""The outbox: what is to be sent, who tries it now, and how it went."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select, update

from mainstay.model.errors import Conflict, NotFound
from mainstay.model.report import ChannelKind, DeliveryState, NewDelivery, Report
from mainstay.store import reports as report_store
from mainstay.store.database import Tx
from mainstay.store.dialect import for_update_skip_locked
from mainstay.store.schema import channels, deliveries, reports, repositories

MAX_ERROR = 1000
"""Characters of an error that are kept."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one recipient, with the report it tells."""

    id: int
    report: Report
    kind: ChannelKind
    recipient: str
    language: str
    channel_id: int | None
    state: DeliveryState
    tries: int
    created_at: datetime
    due_at: datetime | None
    ended_at: datetime | None
    error: str | None
    status: int | None


@dataclass(frozen=True, slots=True)
class Target:
    """Where a channel is, still sealed."""

    channel_id: int
    target: bytes
    secret: bytes | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What of one kind of channel waits."""

    waiting: int = 0
    failing: int = 0
    """Of those, how many have been tried in vain."""
    oldest_at: datetime | None = None
    error: str | None = None
    """The error of the newest failing one."""


def add(tx: Tx, report_id: int, repository_id: int, wanted: Iterable[NewDelivery], now: datetime) -> int:
    """Put messages into the outbox; give how many."""
    rows = [
        {
            "report_id": report_id,
            "repository_id": repository_id,
            "channel_id": each.channel_id,
            "kind": each.kind.value,
            "recipient": each.recipient,
            "language": each.language,
            "state": DeliveryState.WAITING.value,
            "created_at": now,
            "due_at": now,
        }
        for each in wanted
    ]
    if rows:
        tx.conn.execute(insert(deliveries), rows)
        tx.wake("outbox")
    return len(rows)


_whole = (
    select(
        deliveries.c.id,
        deliveries.c.kind,
        deliveries.c.recipient,
        deliveries.c.language,
        deliveries.c.channel_id,
        deliveries.c.state,
        deliveries.c.tries,
        deliveries.c.created_at,
        deliveries.c.due_at,
        deliveries.c.ended_at,
        deliveries.c.error,
        deliveries.c.status,
        *report_store.columns,
    )
    .join(reports, reports.c.id == deliveries.c.report_id)
    .join(repositories, repositories.c.id == deliveries.c.repository_id)
    .where(repositories.c.removed_at.is_(None))
)


def _delivery(row: Any) -> Delivery:
    return Delivery(
        row.id,
        report_store.of_row(row),
        ChannelKind(row.kind),
        row.recipient,
        row.language,
        row.channel_id,
        DeliveryState(row.state),
        row.tries,
        row.created_at,
        row.due_at,
        row.ended_at,
        row.error,
        row.status,
    )


def claim(tx: Tx, kind: ChannelKind, limit: int, hold_s: float, now: datetime) -> list[Delivery]:
    """Take messages that are due, oldest first: for `hold_s` nobody else does. Whoever dies with them loses nothing."""
    due = (
        select(deliveries.c.id)
        .where(
            deliveries.c.state == DeliveryState.WAITING.value,
            deliveries.c.kind == kind.value,
            deliveries.c.due_at <= now,
        )
        .order_by(deliveries.c.due_at)
        .limit(limit)
    )
    ids = list(tx.conn.execute(for_update_skip_locked(tx, due)).scalars())
    if not ids:
        return []
    held = update(deliveries).where(deliveries.c.id.in_(ids))
    tx.conn.execute(held.values(due_at=now + timedelta(seconds=hold_s), tries=deliveries.c.tries + 1))
    return [_delivery(row) for row in tx.conn.execute(_whole.where(deliveries.c.id.in_(ids)).order_by(deliveries.c.id))]


def next_due(tx: Tx, kind: ChannelKind) -> datetime | None:
    """When the next message of a kind is due."""
    query = select(func.min(deliveries.c.due_at)).where(
        deliveries.c.state == DeliveryState.WAITING.value, deliveries.c.kind == kind.value
    )
    return tx.conn.execute(query).scalar()


def end(tx: Tx, delivery_id: int, state: DeliveryState, error: str | None, status: int | None, now: datetime) -> None:
    """Keep how a message ended; one that was dropped meanwhile stays dropped unless it was sent."""
    values: dict[str, object] = {
        "state": state.value,
        "error": error and error[:MAX_ERROR],
        "status": status,
        "due_at": None,
        "ended_at": now,
    }
    query = update(deliveries).where(deliveries.c.id == delivery_id)
    if state != DeliveryState.SENT:
        query = query.where(deliveries.c.state == DeliveryState.WAITING.value)
    tx.conn.execute(query.values(**values))
    tx.wake("delivered")


def retry(tx: Tx, delivery_id: int, at: datetime, error: str, status: int | None) -> None:
    """Keep that a try failed, and when the next one is due."""
    waiting = update(deliveries).where(
        deliveries.c.id == delivery_id, deliveries.c.state == DeliveryState.WAITING.value
    )
    tx.conn.execute(waiting.values(due_at=at, error=error[:MAX_ERROR], status=status))
    tx.wake("delivered")


def get(tx: Tx, delivery_id: int) -> Delivery:
    """One message. Raises NotFound."""
    row = tx.conn.execute(_whole.where(deliveries.c.id == delivery_id)).first()
    if row is None:
        raise NotFound(f"there is no message with the number {delivery_id}; `mainstay notify sent` shows the newest")
    return _delivery(row)


def of_report(tx: Tx, report_id: int) -> list[int]:
    """The numbers of a report's messages."""
    query = select(deliveries.c.id).where(deliveries.c.report_id == report_id).order_by(deliveries.c.id)
    return list(tx.conn.execute(query).scalars())


def again(tx: Tx, delivery_id: int, now: datetime) -> None:
    """Send a message now (again), whatever became of it. Its tries count from the beginning."""
    get(tx, delivery_id)
    anew = update(deliveries).where(deliveries.c.id == delivery_id)
    tx.conn.execute(
        anew.values(state=DeliveryState.WAITING.value, tries=0, created_at=now, due_at=now, ended_at=None, error=None)
    )
    tx.wake("outbox")


def drop(tx: Tx, delivery_id: int, now: datetime) -> None:
    """Take a message away that waits. Raises Conflict when it does not."""
    found = get(tx, delivery_id)
    if found.state != DeliveryState.WAITING:
        raise Conflict(f"message {delivery_id} is {found.state}; only one that waits can be dropped")
    end(tx, delivery_id, DeliveryState.DROPPED, found.error, found.status, now)


def newest(
    tx: Tx, repository_id: int | None, states: Sequence[DeliveryState], before: int | None, limit: int
) -> list[Delivery]:
    """Messages of a repository, or of all (None), newest first."""
    query = _whole
    if repository_id is not None:
        query = query.where(deliveries.c.repository_id == repository_id)
    if states:
        query = query.where(deliveries.c.state.in_([state.value for state in states]))
    if before is not None:
        query = query.where(deliveries.c.id < before)
    return [_delivery(row) for row in tx.conn.execute(query.order_by(deliveries.c.id.desc()).limit(limit))]


def target(tx: Tx, channel_id: int) -> Target | None:
    """Where a channel is; None: it was removed."""
    query = select(channels.c.id, channels.c.target_sealed, channels.c.secret_sealed)
    row = tx.conn.execute(query.where(channels.c.id == channel_id)).first()
    return None if row is None else Target(*row)


def backlog(tx: Tx, repository_id: int | None = None) -> dict[ChannelKind, Backlog]:
    """What waits, of one repository or of all (None), by kind of channel; read from what waits only."""
    found: dict[ChannelKind, Backlog] = {}
    for kind in ChannelKind:
        waiting = [deliveries.c.state == DeliveryState.WAITING.value, deliveries.c.kind == kind.value]
        if repository_id is not None:
            # + 0: no index of what a repository was ever sent, which is much; that of what waits is little.
            waiting.append(deliveries.c.repository_id + 0 == repository_id)
        count, oldest = tx.conn.execute(select(func.count(), func.min(deliveries.c.created_at)).where(*waiting)).one()
        failing = (*waiting, deliveries.c.error.is_not(None))
        bad = tx.conn.execute(select(func.count()).where(*failing)).scalar_one()
        last = select(deliveries.c.error).where(*failing).order_by((deliveries.c.id + 0).desc()).limit(1)
        found[kind] = Backlog(count, bad, oldest, tx.conn.execute(last).scalar())
    return found
