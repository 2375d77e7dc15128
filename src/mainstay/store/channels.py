"""Where reports go: channels of repositories, what people asked for, and who said no."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from mainstay.model.errors import Conflict, NotFound
from mainstay.model.report import Channel, ChannelKind, ReportKind
from mainstay.store.database import Tx
from mainstay.store.dialect import parts
from mainstay.store.schema import channels, refusals, repositories


def _channel(row: Any) -> Channel:
    return Channel(
        row.id,
        row.repository_id,
        row.name,
        ChannelKind(row.kind),
        row.shown,
        tuple(row.branches),
        tuple(ReportKind(kind) for kind in row.kinds),
        row.language,
        row.created_at,
        row.created_by,
    )


def add(tx: Tx, channel: Channel, now: datetime) -> Channel:
    """Store a channel (its `id` is given here), as yet without its address. Raises Conflict when the name is taken."""
    taken = select(channels.c.id).where(
        channels.c.repository_id == channel.repository_id, channels.c.name == channel.name
    )
    if tx.conn.execute(taken).first():
        raise Conflict(f"there is already a channel named {channel.name}; choose another name or remove it first")
    values = {
        "repository_id": channel.repository_id,
        "name": channel.name,
        "kind": channel.kind.value,
        "shown": channel.shown,
        "target_sealed": b"",
        "branches": list(channel.branches),
        "kinds": [kind.value for kind in channel.kinds],
        "language": channel.language,
        "created_at": now,
        "created_by": channel.created_by,
    }
    made = tx.conn.execute(insert(channels).values(**values).returning(channels.c.id)).scalar_one()
    return get(tx, channel.repository_id, made)


def target_context(channel_id: int) -> str:
    """What a channel's address and secret are sealed for."""
    return f"channel {channel_id}"


def set_target(tx: Tx, channel_id: int, target: bytes, secret: bytes | None) -> None:
    """Keep a channel's sealed address; it is sealed for its number, so the number comes first."""
    sealed = update(channels).where(channels.c.id == channel_id)
    tx.conn.execute(sealed.values(target_sealed=target, secret_sealed=secret))


def get(tx: Tx, repository_id: int, channel_id: int) -> Channel:
    """One channel of a repository. Raises NotFound."""
    query = select(channels).where(channels.c.repository_id == repository_id, channels.c.id == channel_id)
    row = tx.conn.execute(query).first()
    if row is None:
        raise NotFound(f"this repository has no channel with the number {channel_id}")
    return _channel(row)


def by_name(tx: Tx, repository_id: int, name: str) -> Channel:
    """One channel of a repository by its name. Raises NotFound."""
    query = select(channels).where(channels.c.repository_id == repository_id, channels.c.name == name)
    row = tx.conn.execute(query).first()
    if row is None:
        raise NotFound(
            f"this repository has no channel named {name[:100]!r}; `mainstay notify list` shows those it has"
        )
    return _channel(row)


def of_repository(tx: Tx, repository_id: int) -> list[Channel]:
    """The channels of a repository, by name."""
    query = select(channels).where(channels.c.repository_id == repository_id).order_by(channels.c.name)
    return [_channel(row) for row in tx.conn.execute(query)]


def remove(tx: Tx, channel: Channel) -> None:
    """Forget a channel; what still waited for it goes with it."""
    tx.conn.execute(delete(channels).where(channels.c.id == channel.id))


def refuse(tx: Tx, address: str, repository_id: int | None, now: datetime) -> None:
    """Write to an address no more: of one repository, or at all (None)."""
    if not tx.conn.execute(_refusal(address, repository_id)).first():
        tx.conn.execute(insert(refusals).values(address=address, repository_id=repository_id, at=now))


def allow(tx: Tx, address: str, repository_id: int | None) -> None:
    """Take a refusal back."""
    found = [row.id for row in tx.conn.execute(_refusal(address, repository_id))]
    tx.conn.execute(delete(refusals).where(refusals.c.id.in_(found)))


def allow_all(tx: Tx, address: str) -> None:
    """Take back all refusals of an address."""
    tx.conn.execute(delete(refusals).where(refusals.c.address == address))


def _refusal(address: str, repository_id: int | None) -> Any:
    where = refusals.c.repository_id.is_(None) if repository_id is None else refusals.c.repository_id == repository_id
    return select(refusals.c.id).where(refusals.c.address == address, where)


def refused(tx: Tx, addresses: Sequence[str], repository_id: int) -> frozenset[str]:
    """Those of the addresses that want nothing of this repository."""
    found: set[str] = set()
    for part in parts(addresses):
        query = select(refusals.c.address).where(
            refusals.c.address.in_(part),
            refusals.c.repository_id.is_(None) | (refusals.c.repository_id == repository_id),
        )
        found.update(tx.conn.execute(query).scalars())
    return frozenset(found)


def refusals_of(tx: Tx, address: str) -> list[str | None]:
    """The names of the repositories that an address wants nothing of; None stands for all of them."""
    query = select(repositories.c.name).select_from(
        refusals.outerjoin(repositories, repositories.c.id == refusals.c.repository_id)
    )
    return list(tx.conn.execute(query.where(refusals.c.address == address)).scalars())
