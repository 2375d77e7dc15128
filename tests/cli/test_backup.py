"""`mainstay backup` and `mainstay restore`: everything comes back, repositories that live here included."""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Ran

from mainstay.engine.server import Config, Engine
from mainstay.model.errors import Gone
from mainstay.model.person import Actor
from mainstay.store import runners
from mainstay.wire.runner import Hello, Poll

Run = Callable[..., Ran]


def git(*arguments: str | Path) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def pushed(tmp_path: Path) -> str:
    """A data folder with a repository that lives there and has one commit: the commit's id."""

    async def fill() -> str:
        engine = await Engine.open(Config(tmp_path / "data"))
        try:
            repository = await engine.add_repository(Actor("test"), "mine", None)
            mirror = engine.mirrors.of(repository.id)
            await mirror.create()
            work = tmp_path / "work"
            git("init", "--quiet", work)
            git(
                "-C", work, "-c", "user.name=A", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "-m", "x"
            )
            git("-C", work, "push", "--quiet", mirror.path, "HEAD:refs/heads/main")
            return git("-C", work, "rev-parse", "HEAD")
        finally:
            await engine.close()

    return asyncio.run(fill())


def test_a_backup_brings_back_repositories_that_live_here_and_the_sealing_key(
    mainstay: Run, tmp_path: Path, pushed: str
) -> None:
    file = tmp_path / "backup.tar.zst"
    assert mainstay("backup", str(file)).code == 0
    assert file.stat().st_mode & 0o077 == 0
    again = tmp_path / "again"
    ran = mainstay("restore", str(file), "--data", str(again))
    assert ran.code == 0
    assert "1 repository, 0 builds" in ran.out
    assert f"Start it: mainstay up --data {again}\n" in ran.out
    mirror = next((again / "mirrors").glob("*.git"))
    assert git("--git-dir", mirror, "rev-parse", "refs/heads/main") == pushed
    assert (again / "seal.key").read_bytes() == (tmp_path / "data" / "seal.key").read_bytes()
    assert not list(again.glob("*.bundle"))


def test_no_runner_is_online_on_a_restored_server_before_it_says_hello(
    mainstay: Run, tmp_path: Path, pushed: str
) -> None:
    async def on(data: Path, *, boot: str | None) -> list[bool]:
        engine = await Engine.open(Config(data))
        try:
            if boot is not None:
                await engine.access.new_token("runner", "r", Actor("test"))
                await engine.hello(1, Hello("r1", boot, "0", ("linux",), 1, "process", ()))
            found = await engine.db.read(runners.all_of, engine.clock.now(), 3600.0)
            if boot is None:
                with pytest.raises(Gone):
                    await engine.poll(found[0].id, Poll("one", 1, (), 0.0))
            return [each.online for each in found]
        finally:
            await engine.close()

    assert asyncio.run(on(tmp_path / "data", boot="one")) == [True]
    file = tmp_path / "backup.tar.zst"
    assert mainstay("backup", str(file)).code == 0
    assert mainstay("restore", str(file), "--data", str(tmp_path / "again")).code == 0
    assert asyncio.run(on(tmp_path / "again", boot=None)) == [False]


def test_a_folder_that_has_data_is_not_overwritten(mainstay: Run, tmp_path: Path, pushed: str) -> None:
    file = tmp_path / "backup.tar.zst"
    assert mainstay("backup", str(file), "--json").json["tables"]["repositories"]["rows"] == 1
    ran = mainstay("restore", str(file))
    assert ran.code == 1
    assert "has rows in" in ran.err
    assert mainstay("backup", str(file)).code == 1


def test_a_folder_without_data_cannot_be_backed_up(mainstay: Run, tmp_path: Path) -> None:
    ran = mainstay("backup", str(tmp_path / "b"), "--data", str(tmp_path / "nothing"))
    assert ran.code == 5
    assert not (tmp_path / "nothing").exists()


def test_what_is_no_backup_is_bad_input(mainstay: Run, tmp_path: Path) -> None:
    file = tmp_path / "b"
    file.write_bytes(b"something else")
    assert mainstay("restore", str(file), "--data", str(tmp_path / "new")).code == 2
