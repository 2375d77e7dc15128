"""Running git: clean environment, limits, and nothing left behind."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mainstay.git.process import GitError, GitTimedOut, Process, redact, run
from mainstay.model.errors import TooLarge
from tests.git.waiting import until

pytestmark = pytest.mark.anyio


async def test_a_result_holds_what_git_printed() -> None:
    result = await run("version")
    assert result.exit_code == 0
    assert result.text.startswith("git version")


async def test_a_failure_names_the_command_the_exit_code_and_what_git_said(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="git rev-parse ended with exit code 128: fatal") as caught:
        await run("rev-parse", "HEAD", git_dir=tmp_path)
    assert caught.value.exit_status == 128
    assert caught.value.command == ("rev-parse", "HEAD")


async def test_exit_codes_named_as_fine_are_results(tmp_path: Path) -> None:
    assert (await run("rev-parse", "HEAD", git_dir=tmp_path, ok=(0, 128))).exit_code == 128


async def test_credentials_in_a_url_are_never_shown() -> None:
    with pytest.raises(GitError) as caught:
        await run("ls-remote", "https://ann:s3cret@127.0.0.1:1/x.git")
    assert "s3cret" not in f"{caught.value} {caught.value.details} {caught.value.command}"
    assert "127.0.0.1:1" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("fatal: https://u:p@h/x", "fatal: https://***@h/x"),
        ("https://token@h/x and ssh://git@h/y", "https://***@h/x and ssh://***@h/y"),
        ("https://u:p@ss@h/x", "https://***@h/x"),
        ("file:///a@b/c", "file:///a@b/c"),
        ("http.extraHeader=Authorization: Basic abc", "http.extraHeader=Authorization: ***"),
        ("nothing here", "nothing here"),
    ],
)
async def test_text_is_cleaned_of_credentials(text: str, clean: str) -> None:
    assert redact(text) == clean


async def test_no_git_variable_or_configuration_of_the_outside_reaches_git(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".gitconfig").write_text("[alias]\n\tversion = !false\n[user]\n\tname = Outside\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_TRACE", "1")
    result = await run("config", "--get", "user.name", ok=(0, 1))
    assert (result.exit_code, result.stderr) == (1, "")


async def test_configuration_goes_by_environment_and_is_seen() -> None:
    result = await run("config", "--get", "http.extraHeader", config={"http.extraHeader": "A: b c\td"})
    assert result.text == "A: b c\td"


async def test_a_url_that_would_run_a_command_is_refused_by_git() -> None:
    with pytest.raises(GitError, match="not allowed"):
        await run("ls-remote", "ext::sh -c true")


async def test_too_much_output_is_an_error_and_ends_git() -> None:
    with pytest.raises(TooLarge, match="more than 1000 bytes"):
        await run("help", "-a", limit_bytes=1000)


async def test_a_time_limit_ends_git() -> None:
    with pytest.raises(GitTimedOut, match=r"git hash-object did not end within 0\.1 s"):
        await run("hash-object", "--stdin", stdin=_endless(), timeout_s=0.1)


async def test_cancelling_ends_the_whole_process_group(tmp_path: Path) -> None:
    """An alias starts a child of git's own; both must be gone."""
    note = tmp_path / "pid"
    config = {"alias.linger": f"!sh -c 'echo $$ > {note}; trap \"\" TERM; while :; do sleep 0.05; done'"}
    task = asyncio.create_task(run("linger", config=config))
    await until(lambda: note.exists() and note.read_text().strip())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    pid = int(note.read_text())
    await until(lambda: not _runs(pid))


async def test_large_input_and_output_pass_at_once(tmp_path: Path) -> None:
    await run("init", "-q", "--bare", str(tmp_path))
    blob = (await run("hash-object", "-w", "--stdin", git_dir=tmp_path, stdin=b"x" * 300_000)).text
    result = await run("cat-file", "--batch", git_dir=tmp_path, stdin=f"{blob}\n".encode() * 100)
    assert len(result.stdout) == 100 * (len(f"{blob} blob 300000\n") + 300_001)


async def test_an_error_of_the_input_is_raised_and_git_is_ended() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"some"
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        await run("hash-object", "--stdin", stdin=broken())


async def test_git_that_stops_reading_is_judged_by_its_exit_code() -> None:
    with pytest.raises(GitError, match="exit code"):
        await run("hash-object", "--no-such-option", stdin=b"x" * 1_000_000)


async def test_a_folder_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="there is no folder"):
        await run("version", cwd=tmp_path / "missing")


async def test_a_program_that_is_not_there_is_said_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="git in PATH"):
        await run("version")


async def test_descriptors_do_not_grow() -> None:
    await run("version")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        await run("version", stdin=b"x")
    with pytest.raises(GitTimedOut):
        await run("hash-object", "--stdin", stdin=_endless(), timeout_s=0.05)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_git_killed_from_outside_is_told_so() -> None:
    async with Process(("cat-file", "--batch"), cwd=Path("/")) as process:
        os.kill(process.pid, signal.SIGKILL)
        assert await process.wait() in (-signal.SIGKILL, 128)


async def _endless() -> AsyncIterator[bytes]:
    yield b"a"
    await asyncio.Event().wait()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
