"""What is said differently to the two kinds of database means the same on both."""

import asyncio

import pytest
from sqlalchemy import insert, select, update

from mainstay.model.errors import BadInput
from mainstay.store.database import Database, Tx
from mainstay.store.dialect import for_update, for_update_skip_locked, insert_ignore, upsert
from mainstay.store.schema import builds, settings

pytestmark = pytest.mark.anyio


def content(tx: Tx) -> dict[str, int]:
    return {row.name: row.value for row in tx.conn.execute(select(settings))}


async def test_rows_that_are_there_are_left_out(database: Database) -> None:
    def put(tx: Tx, value: int) -> int:
        rows = [{"name": name, "value": value} for name in ("a", "b")]
        tx.conn.execute(insert_ignore(tx, settings), rows)
        return tx.conn.execute(insert_ignore(tx, settings).values(name="c", value=value)).rowcount

    assert await database.write(put, 1) == 1
    assert await database.write(put, 2) == 0
    assert await database.read(content) == {"a": 1, "b": 1, "c": 1}


async def test_rows_that_are_there_are_changed(database: Database) -> None:
    def put(tx: Tx, name: str, value: int) -> None:
        statement = upsert(tx, settings, [settings.c.name], [settings.c.value])
        tx.conn.execute(statement.values(name=name, value=value))
        tx.conn.execute(statement, [{"name": "x", "value": value}, {"name": "y", "value": value}])

    await database.write(put, "a", 1)
    await database.write(put, "b", 2)
    await database.write(put, "a", 3)
    assert await database.read(content) == {"a": 3, "b": 2, "x": 3, "y": 3}


async def test_each_row_is_claimed_by_one(database: Database) -> None:
    def fill(tx: Tx) -> None:
        tx.conn.execute(insert(settings), [{"name": f"{number:03}", "value": 0} for number in range(100)])

    def claim(tx: Tx, who: int) -> str | None:
        free = select(settings.c.name).where(settings.c.value == 0).order_by(settings.c.name).limit(1)
        name = tx.conn.execute(for_update_skip_locked(tx, free)).scalar()
        tx.conn.execute(settings.update().where(settings.c.name == name).values(value=who))
        return name

    await database.write(fill)
    claimed = await asyncio.gather(*(database.write(claim, who) for who in range(1, 101)))
    assert sorted(str(name) for name in claimed) == [f"{number:03}" for number in range(100)]


async def test_a_locked_row_is_counted_up_without_losing_one(database: Database) -> None:
    def count_up(tx: Tx) -> None:
        row = select(settings.c.value).where(settings.c.name == "n")
        value = tx.conn.execute(for_update(tx, row)).scalar_one()
        tx.conn.execute(settings.update().where(settings.c.name == "n").values(value=value + 1))

    await database.write(lambda tx: tx.conn.execute(insert(settings).values(name="n", value=0)).rowcount)
    await asyncio.gather(*(database.write(count_up) for _ in range(60)))
    assert await database.read(content) == {"n": 60}


async def test_a_number_that_no_column_holds_is_bad_input_and_not_a_mistake_of_ours(database: Database) -> None:
    def put(tx: Tx) -> None:
        tx.conn.execute(update(builds).where(builds.c.id == 1).values(number=1 << 70))

    with pytest.raises(BadInput, match="cannot be stored"):
        await database.write(put)
    assert await database.read(content) == {}
