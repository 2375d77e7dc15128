"""Secrets: sealed values by place and name. Nothing here opens them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, func, or_, select, update

from mainstay.model.secret import Place, Secret
from mainstay.store.database import Tx
from mainstay.store.dialect import insert_ignore, upsert
from mainstay.store.schema import environment_jobs, secrets, webhook_secrets

USED_EVERY = timedelta(minutes=1)
"""The last use is written at most this often."""

_SHOWN = (
    secrets.c.name,
    secrets.c.repository_id,
    secrets.c.environment,
    secrets.c.updated_by,
    secrets.c.updated_at,
    secrets.c.used_at,
)
# Made once: building a statement takes longer than running it.
_at_places = select(secrets).where(secrets.c.place.in_(bindparam("places", expanding=True)))


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret as it is stored."""

    secret: Secret
    value: bytes


def context_of(place: Place, name: str) -> str:
    """What a secret is sealed for. A row that is moved to another place or name does not open there."""
    return f"secret {name} of {place.key}"


def webhook_context(repository_id: int) -> str:
    """What the secret of a repository's webhooks is sealed for."""
    return f"webhook secret of {repository_id}"


def _secret(row: Any) -> Secret:
    place = Place(row.repository_id, row.environment)
    return Secret(row.name, place, row.updated_by, row.updated_at, row.used_at)


def put(tx: Tx, place: Place, name: str, sealed: bytes, by: str, now: datetime) -> None:
    """Set a secret, in place of one that is there."""
    changed = [secrets.c.sealed, secrets.c.environment, secrets.c.updated_by, secrets.c.updated_at]
    values = {
        "place": place.key,
        "name": name,
        "repository_id": place.repository_id,
        "environment": place.environment,
        "sealed": sealed,
        "updated_by": by,
        "updated_at": now,
    }
    tx.conn.execute(upsert(tx, secrets, [secrets.c.place, secrets.c.name], changed), values)


def remove(tx: Tx, place: Place, name: str) -> bool:
    """Whether there was one."""
    gone = delete(secrets).where(secrets.c.place == place.key, secrets.c.name == name)
    return tx.conn.execute(gone).rowcount > 0


def listed(tx: Tx, repository_id: int | None) -> list[Secret]:
    """Those of a repository with its environments, and those of all repositories; None: only the latter."""
    mine = secrets.c.repository_id.is_(None)
    query = select(*_SHOWN).where(
        mine if repository_id is None else or_(mine, secrets.c.repository_id == repository_id)
    )
    return sorted((_secret(row) for row in tx.conn.execute(query)), key=in_order)


def in_order(value: Any) -> tuple[int, str, str]:
    """How secrets and variables are listed: widest place first, then by environment and name."""
    return value.place.rank, (value.place.environment or "").casefold(), value.name


def count_at(tx: Tx, place: Place) -> int:
    """How many are set at a place."""
    return tx.conn.execute(select(func.count()).where(secrets.c.place == place.key)).scalar_one()


def has(tx: Tx, place: Place, name: str) -> bool:
    """Whether it is set at that place."""
    query = select(secrets.c.name).where(secrets.c.place == place.key, secrets.c.name == name)
    return tx.conn.execute(query).first() is not None


def at_places(tx: Tx, places: Iterable[Place]) -> dict[str, list[Sealed]]:
    """What is set at these places, by the place's key."""
    found: dict[str, list[Sealed]] = {}
    for row in tx.conn.execute(_at_places, {"places": [place.key for place in places]}):
        found.setdefault(row.place, []).append(Sealed(_secret(row), row.sealed))
    return found


def mark_used(tx: Tx, used: Sequence[Secret], now: datetime) -> None:
    """Note that these were given to a job, unless that was noted a moment ago."""
    for each in used:
        if each.used_at is None or each.used_at < now - USED_EVERY:
            row = update(secrets).where(secrets.c.place == each.place.key, secrets.c.name == each.name)
            tx.conn.execute(row.values(used_at=now))


def forget(tx: Tx, repository_id: int) -> None:
    """Delete all of a repository at once; its history goes later."""
    tx.conn.execute(delete(secrets).where(secrets.c.repository_id == repository_id))
    tx.conn.execute(delete(webhook_secrets).where(webhook_secrets.c.repository_id == repository_id))


def add_job(tx: Tx, repository_id: int, environment: str, job_id: int) -> None:
    """A job was started for an environment."""
    values = {"job_id": job_id, "repository_id": repository_id, "environment": environment}
    tx.conn.execute(insert_ignore(tx, environment_jobs), values)


def webhook(tx: Tx, repository_id: int) -> Any:
    """The sealed secret of a repository's webhooks with `made_by` and `made_at`, or None."""
    return tx.conn.execute(select(webhook_secrets).where(webhook_secrets.c.repository_id == repository_id)).first()


def put_webhook(tx: Tx, repository_id: int, sealed: bytes, by: str, now: datetime) -> None:
    """Set it, in place of one that is there."""
    table = webhook_secrets
    changed = [table.c.sealed, table.c.made_by, table.c.made_at]
    values = {"repository_id": repository_id, "sealed": sealed, "made_by": by, "made_at": now}
    tx.conn.execute(upsert(tx, table, [table.c.repository_id], changed), values)


def remove_webhook(tx: Tx, repository_id: int) -> bool:
    """Whether there was one."""
    return tx.conn.execute(delete(webhook_secrets).where(webhook_secrets.c.repository_id == repository_id)).rowcount > 0
