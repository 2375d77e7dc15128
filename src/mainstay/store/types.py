"""Column types that mean the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Dialect, Integer, Text
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Id = BigInteger().with_variant(Integer, "sqlite")
"""A row's number; SQLite counts up by itself only for INTEGER."""


class Moment(TypeDecorator[datetime]):
    """A point in time as milliseconds since 1970 (UTC); aware datetimes in Python."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else milliseconds(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else EPOCH + timedelta(milliseconds=value)


class JsonText(TypeDecorator[Any]):
    """A JSON value as text. Mappings keep their order."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else msgspec.json.decode(value)


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970 (UTC)."""
    return (moment - EPOCH) // timedelta(milliseconds=1)
