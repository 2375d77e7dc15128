"""Small values of the server itself."""

from typing import Any

from sqlalchemy import delete, select

from mainstay.store.database import Tx
from mainstay.store.dialect import upsert
from mainstay.store.schema import settings


def get(tx: Tx, name: str, default: Any = None) -> Any:
    """A setting's value, or `default`."""
    row = tx.conn.execute(select(settings.c.value).where(settings.c.name == name)).first()
    return default if row is None else row.value


def put(tx: Tx, name: str, value: Any) -> None:
    """Set a value."""
    tx.conn.execute(upsert(tx, settings, [settings.c.name], [settings.c.value]), {"name": name, "value": value})


def remove(tx: Tx, name: str) -> None:
    """Forget a value."""
    tx.conn.execute(delete(settings).where(settings.c.name == name))
