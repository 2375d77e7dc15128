"""The audit trail: who did what, on what, when, from where. Written in the transaction that did it, never changed."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select

from mainstay.model.person import Actor
from mainstay.store.database import Tx
from mainstay.store.dialect import storable
from mainstay.store.schema import audit

LONGEST = 2000
"""Characters of a subject or detail that are kept."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One command that changed something."""

    id: int
    at: datetime
    action: str
    """`THING.VERB`, for example `build.cancel`."""
    subject: str
    """What it was done to, in words: `demo#7`, `runner gpu-1`."""
    detail: str
    """How: `poll_s: 60 -> 30`. Never a secret."""
    repository_id: int | None
    person_id: int | None
    actor: str
    token: str | None
    address: str | None


@dataclass(frozen=True, slots=True)
class Asked:
    """Which entries are wanted. Empty: all."""

    action: str | None = None
    """A whole action, or its thing: `build`."""
    repository_id: int | None = None
    actor: str | None = None


def add(
    tx: Tx,
    actor: Actor,
    action: str,
    subject: str,
    now: datetime,
    *,
    detail: str = "",
    repository_id: int | None = None,
) -> None:
    """Write down what `actor` does in this transaction. `action` is `THING.VERB`; `detail` must hold no secret."""
    values = {
        "at": now,
        "action": action,
        "subject": storable(tx, subject[:LONGEST]),
        "detail": storable(tx, detail[:LONGEST]),
        "repository_id": repository_id,
        "person_id": actor.person_id,
        "actor": storable(tx, actor.name[:200]),
        "token": None if actor.token is None else storable(tx, actor.token[:100]),
        "address": actor.address and actor.address[:100],
    }
    tx.conn.execute(insert(audit).values(**values))


def changed(before: object, after: object) -> str:
    """An old and a new value in words."""
    return f"{before} -> {after}"


def page(
    tx: Tx, asked: Asked, before: int | None, limit: int, seen: frozenset[int] | None = None
) -> tuple[list[Entry], int | None]:
    """Entries, newest first, and the id to go on below. `seen`: only of these repositories."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.id < before)
    if asked.action is not None:
        # "build" means every "build.VERB": from "build." up to the sign that follows the full stop.
        thing = f"{asked.action}."
        whole = audit.c.action == asked.action
        query = query.where(whole | ((audit.c.action > thing) & (audit.c.action < f"{asked.action}/")))
    if asked.repository_id is not None:
        query = query.where(audit.c.repository_id == asked.repository_id)
    if asked.actor is not None:
        query = query.where(audit.c.actor == asked.actor)
    if seen is not None:
        query = query.where(audit.c.repository_id.in_(sorted(seen)))
    found = [
        Entry(
            row.id,
            row.at,
            row.action,
            row.subject,
            row.detail,
            row.repository_id,
            row.person_id,
            row.actor,
            row.token,
            row.address,
        )
        for row in tx.conn.execute(query)
    ]
    return found, found[-1].id if len(found) == limit else None
