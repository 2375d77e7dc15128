"""`mainstay reseal`: a new key opens everything, and the old one nothing once it is forgotten."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Ran

from mainstay.engine.server import Config, Engine
from mainstay.model.person import Actor
from mainstay.store import sealed
from mainstay.store.schema import metadata
from mainstay.store.seal import CannotOpen, Seal

Run = Callable[..., Ran]
ADA = Actor("ada")


async def _fill(data: Path) -> None:
    engine = await Engine.open(Config(data, watch_remotes=False))
    await engine.add_repository(ADA, "demo", "git@git.example.org:team/demo.git")
    await engine.repository_key(ADA, "demo")
    await engine.secrets.put(ADA, "demo", "prod", "KEY", "value of a secret")
    await engine.secrets.put(ADA, None, None, "KEY", "value of all")
    await engine.secrets.make_webhook_secret(ADA, "demo")
    await engine.close()


async def _opened(data: Path, seal: Seal) -> list[bytes]:
    """Everything that is sealed, opened."""
    engine = await Engine.open(Config(data, watch_remotes=False))
    found: list[bytes] = []

    def look(value: bytes, context: str) -> bytes:
        found.append(seal.open(value, context))
        return value

    try:
        await engine.db.write(sealed.reseal, look)
    finally:
        await engine.close()
    return found


def test_everything_is_sealed_with_the_new_key(mainstay: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    asyncio.run(_fill(data))
    key = data / "seal.key"
    old = Seal.from_file(key)
    before = asyncio.run(_opened(data, old))
    assert len(before) == 4
    ran = mainstay("reseal", "--data", str(data), "--json")
    assert (ran.code, ran.json) == (0, {"sealed": 4, "forgotten": False})
    assert key.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CannotOpen):
        asyncio.run(_opened(data, old))
    assert asyncio.run(_opened(data, Seal.from_file(key))) == before
    first = key.read_text()
    assert mainstay("reseal", "--data", str(data), "--forget").code == 0
    assert asyncio.run(_opened(data, Seal.from_file(key))) == before
    with pytest.raises(CannotOpen):
        asyncio.run(_opened(data, Seal.from_text(first)))
    assert mainstay("reseal", "--data", str(tmp_path / "nowhere")).code == 5


def test_no_sealed_column_is_forgotten() -> None:
    """Whoever seals something new adds it to `store/sealed.py` and here."""
    there = {f"{table.name}.{column.name}" for table in metadata.sorted_tables for column in table.columns
             if "sealed" in column.name}  # fmt: skip
    assert there == {
        "secrets.sealed",
        "webhook_secrets.sealed",
        "repositories.key_sealed",
        "channels.target_sealed",
        "channels.secret_sealed",
    }
