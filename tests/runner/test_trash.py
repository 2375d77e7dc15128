"""What is thrown away goes, and a machine that cannot remove it now keeps it for later."""

import asyncio
from pathlib import Path

import pytest

from mainstay.runner.trash import Trash


def test_rubbish_that_cannot_be_removed_now_goes_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "old" / "deep").mkdir(parents=True)

    async def throw() -> Trash:
        trash = Trash(tmp_path / "trash")
        trash.open()
        trash.throw(tmp_path / "old")
        with monkeypatch.context() as patch:
            patch.setenv("PATH", "/nonexistent")  # no program can be started, as when a job has taken all processes
            await trash.empty()
        assert len(list(trash.folder.iterdir())) == 1
        await trash.empty()
        return trash

    trash = asyncio.run(throw())
    assert list(trash.folder.iterdir()) == []
    assert "stays for now" in caplog.text
