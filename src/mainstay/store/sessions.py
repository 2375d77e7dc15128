"""Sessions of people who signed in, and links that sign in once: both are rows of the tokens table with an end."""

from datetime import datetime, timedelta

from sqlalchemy import select, update

from mainstay.store import tokens
from mainstay.store.database import Tx
from mainstay.store.schema import tokens as table

SESSION_DAYS = 30
LINK_MINUTES = 30


def open_session(tx: Tx, name: str, token: str, now: datetime) -> None:
    """Keep a new session of a person."""
    tokens.add(tx, "session", name, token, now, now + timedelta(days=SESSION_DAYS))


def add_link(tx: Tx, name: str, token: str, now: datetime) -> None:
    """Keep a new sign-in link."""
    tokens.add(tx, "signin", name, token, now, now + timedelta(minutes=LINK_MINUTES))


def use_link(tx: Tx, link: str, session: str, now: datetime) -> bool:
    """Turn a sign-in link into a session; False when it was used before, is too old or was never made.

    Revoking is the test as well, so of two visitors at once only one comes in.
    """
    used = (
        update(table)
        .where(
            table.c.hash == tokens.hash_of(link),
            table.c.kind == "signin",
            table.c.revoked_at.is_(None),
            table.c.expires_at > now,
        )
        .values(revoked_at=now, used_at=now)
        .returning(table.c.name)
    )
    name = tx.conn.execute(used).scalar()
    if name is None:
        return False
    open_session(tx, name, session, now)
    return True


def of_kind(tx: Tx, kind: str) -> list[tuple[int, str, datetime]]:
    """The live tokens of a kind: id, name, when it was made; newest first."""
    query = select(table.c.id, table.c.name, table.c.created_at).where(
        table.c.kind == kind, table.c.revoked_at.is_(None)
    )
    return [(row.id, row.name, row.created_at) for row in tx.conn.execute(query.order_by(table.c.id.desc()).limit(500))]
