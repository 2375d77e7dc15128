"""The tables that migrations make are the tables of the code, whoever starts first."""

import asyncio
import re
import sys
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from mainstay.model.errors import Conflict
from mainstay.store import migrations
from mainstay.store.database import Database, Tx, open_database
from mainstay.store.schema import metadata

pytestmark = pytest.mark.anyio

SQLITE_FORM = "SELECT name, sql FROM sqlite_master WHERE name NOT IN ('alembic_version') ORDER BY name"
POSTGRES_FORM = """
    SELECT table_name || '.' || column_name,
        concat_ws(' ', data_type, character_maximum_length, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = current_schema()
    UNION ALL
    SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()
    UNION ALL
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = current_schema()::regnamespace
"""


def form_of(conn: Connection) -> dict[str, str]:
    """Everything that makes up the tables, as text by name, in no particular order of columns and constraints."""
    rows = conn.execute(text(SQLITE_FORM if conn.dialect.name == "sqlite" else POSTGRES_FORM)).all()
    return {
        # SQLite writes an added column behind a comma on the line of the last one.
        str(name): "\n".join(sorted(filter(None, (part.strip(" \t)") for part in re.split("[,\n]", str(form))))))
        for name, form in rows
        if "alembic_version" not in name
    }


def make_all(tx: Tx) -> dict[str, str]:
    """The form the tables have when they are made from the code."""
    tx.conn.execute(text("DROP TABLE alembic_version"))
    metadata.drop_all(tx.conn)
    assert not [name for name in form_of(tx.conn) if not name.startswith("sqlite_")]
    metadata.create_all(tx.conn)
    return form_of(tx.conn)


async def test_the_migrations_make_exactly_the_tables_of_the_code(database: Database) -> None:
    migrated = await database.read(lambda tx: form_of(tx.conn))
    made = await database.write(make_all)
    for name in sorted({*migrated, *made}):
        assert migrated.get(name) == made.get(name), f"{name} differs between store/schema/ and the migrations"


async def test_the_newest_revision_is_the_one_that_the_start_looks_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


def make_newer(tx: Tx) -> None:
    tx.conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))


async def test_a_database_of_a_newer_version_is_refused_in_words(database_url: str) -> None:
    database = await open_database(database_url)
    await database.write(make_newer)
    await database.close()
    with pytest.raises(Conflict, match="newer Mainstay"):
        await open_database(database_url)


STARTER = """
import asyncio, sys
from mainstay.store.database import open_database
async def start():
    sys.stdin.readline()
    database = await open_database(sys.argv[1])
    await database.close()
asyncio.run(start())
"""


async def test_two_servers_that_start_at_once_on_an_empty_database_both_come_up(empty_database_url: str) -> None:
    pipe = asyncio.subprocess.PIPE
    starters = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            STARTER,
            empty_database_url,
            stdin=pipe,
            stderr=pipe,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        for _ in range(3)
    ]
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write(b"\n")
    for _, errors in await asyncio.gather(*(starter.communicate() for starter in starters)):
        assert errors == b""
    database = await open_database(empty_database_url)
    assert await database.read(lambda tx: migrations.revision_of(tx.conn)) == migrations.HEAD
    await database.close()


async def test_a_start_without_migration_does_not_load_alembic(database_url: str) -> None:
    program = (
        STARTER
        + "\nassert 'alembic' not in sys.modules\nassert 'asyncpg' not in sys.modules or 'postgres' in sys.argv[1]"
    )
    starter = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        database_url,
        stdin=asyncio.subprocess.DEVNULL,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert await starter.wait() == 0
