"""Where steps run: plainly, and in a real bubblewrap sandbox."""

import asyncio
import os
import sys
import uuid
from pathlib import Path

import pytest

from mainstay.model.errors import BadInput
from mainstay.runner.executors import BubblewrapExecutor, Executor, JobPlace, ProcessExecutor, detect
from mainstay.runner.keeper import StepExit
from tests.runner.bench import Bench
from tests.runner.processes import ENV, marked, step, until, zygote

pytestmark = pytest.mark.anyio
PYTHON = os.path.realpath(sys.executable)


def works() -> bool:
    try:
        return detect("bubblewrap", ()).name == "bubblewrap"
    except BadInput:
        return False


needs_bubblewrap = pytest.mark.skipif(not works(), reason="bubblewrap does not work here")


@pytest.fixture
def place(tmp_path: Path) -> JobPlace:
    data = tmp_path / "data"
    folders = {name: data / "job" / name for name in ("work", "home", "temp")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    (data / "token").write_text("secret")
    (data / "other-job").mkdir()
    return JobPlace(**folders)


@pytest.fixture
def sandbox(tmp_path: Path) -> Executor:
    return detect("bubblewrap", [tmp_path / "data"])


async def run(executor: Executor, place: JobPlace, *argv: str) -> tuple[StepExit, str]:
    command = executor.wrap(argv, ENV, place.work, place)
    async with zygote() as one:
        keeper = await one.keeper("owner:1")
        ended, output = await step(keeper, *command.argv, env=command.env, cwd=command.cwd, guarded=command.guarded)
        await keeper.end()
    return ended, output.decode()


async def sh(executor: Executor, place: JobPlace, script: str) -> str:
    return (await run(executor, place, "sh", "-c", script + " 2>&1"))[1]


async def test_a_plain_step_has_its_own_home_and_temporary_folder(place: JobPlace) -> None:
    output = await sh(ProcessExecutor(), place, "pwd; echo $HOME $TMPDIR")
    assert output.split() == [str(place.work), str(place.home), str(place.temp)]


async def test_an_unknown_executor_is_refused() -> None:
    with pytest.raises(BadInput, match="no executor 'docker'"):
        detect("docker", ())


async def test_a_sandbox_that_does_not_work_is_refused_when_asked_for_and_passed_over_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho No permissions to create a new namespace >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(BadInput, match="No permissions to create a new namespace"):
        detect("bubblewrap", ())
    assert detect(None, ()).name == "process"


@needs_bubblewrap
async def test_the_sandbox_shows_the_job_its_own_folders_and_nothing_of_the_runner(
    sandbox: Executor, place: JobPlace
) -> None:
    output = await sh(
        sandbox, place, f"ls -A {place.work.parents[1]}; cat {place.work.parents[1]}/token; echo ok > made"
    )
    assert output.splitlines()[0] == "job"
    assert "secret" not in output
    assert (place.work / "made").read_text() == "ok\n"


@needs_bubblewrap
async def test_the_system_is_read_only_and_homes_are_hidden(sandbox: Executor, place: JobPlace) -> None:
    output = await sh(sandbox, place, "touch /etc/x /usr/x; ls -A /home; cat /etc/shadow; ls /run/docker.sock")
    assert output.count("Read-only file system") == 2
    assert "root:" not in output
    assert not Path("/etc/x").exists()


@needs_bubblewrap
async def test_tmp_is_the_jobs_own(sandbox: Executor, place: JobPlace) -> None:
    outside = Path("/tmp") / uuid.uuid4().hex
    outside.write_text("")
    try:
        assert await sh(sandbox, place, f"echo x > /tmp/mine; ls {outside} >/dev/null || echo hidden") != ""
        assert (place.temp / "mine").exists()
        assert "hidden" in await sh(sandbox, place, f"ls {outside} > /dev/null || echo hidden")
    finally:
        outside.unlink()


@needs_bubblewrap
async def test_only_the_jobs_own_processes_are_seen(sandbox: Executor, place: JobPlace) -> None:
    pids = (await sh(sandbox, place, "ls /proc | grep '^[0-9]'")).split()
    assert len(pids) <= 5
    assert "No such process" in await sh(sandbox, place, f"/bin/kill -0 {os.getpid()} || kill -0 {os.getpid()}")


@needs_bubblewrap
async def test_folders_can_be_shown_and_given(sandbox: Executor, place: JobPlace, tmp_path: Path) -> None:
    mirror, cache = tmp_path / "data" / "mirror", tmp_path / "data" / "cache"
    for folder in (mirror, cache):
        folder.mkdir()
    more = JobPlace(place.work, place.home, place.temp, writable=(cache,), readable=(mirror,))
    output = await sh(sandbox, more, f"touch {cache}/a {mirror}/a")
    assert "Read-only file system" in output
    assert (cache / "a").exists()
    assert not (mirror / "a").exists()


@needs_bubblewrap
async def test_the_network_is_there_unless_the_plan_says_otherwise(sandbox: Executor, place: JobPlace) -> None:
    async def connected(connection: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    script = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
    cut = JobPlace(place.work, place.home, place.temp, network=False)
    async with server:
        assert (await run(sandbox, place, PYTHON, "-c", script))[0].code == 0
        assert (await run(sandbox, cut, PYTHON, "-c", script))[0].code == 1


@needs_bubblewrap
async def test_the_interpreter_and_git_work_inside(sandbox: Executor, place: JobPlace) -> None:
    ended, output = await run(sandbox, place, PYTHON, "-c", "import ssl, sqlite3; print('fine')")
    assert (ended.code, output) == (0, "fine\n")
    assert (await sh(sandbox, place, "git --version")).startswith("git version")


@needs_bubblewrap
async def test_a_sandboxed_step_gets_its_grace_and_its_exit_code_comes_through(
    place: JobPlace, sandbox: Executor
) -> None:
    word = uuid.uuid4().hex
    script = "trap 'echo bye; exit 7' TERM; echo ready > ready; while :; do sleep 0.05; done"
    command = sandbox.wrap(["sh", "-c", script, word], ENV, place.work, place)
    async with zygote() as one:
        keeper = await one.keeper("owner:1")
        running = asyncio.ensure_future(
            step(keeper, *command.argv, env=command.env, cwd=command.cwd, guarded=command.guarded)
        )
        await until((place.work / "ready").exists)
        await keeper.terminate(20)
        ended, output = await running
        assert ended.code == 7
        assert b"bye" in output
        await keeper.end()
    assert marked(word) == []


@needs_bubblewrap
async def test_a_daemon_in_a_sandbox_ends_with_its_step(sandbox: Executor, place: JobPlace) -> None:
    word = uuid.uuid4().hex
    await sh(sandbox, place, f"setsid sh -c 'while :; do sleep 0.1; done' {word} & sleep 0.1")
    assert marked(word) == []


def test_the_options_of_a_sandbox_drop_all_rights(tmp_path: Path) -> None:
    options = BubblewrapExecutor("bwrap", (tmp_path,)).base()
    for wanted in ("--die-with-parent", "--new-session", "--unshare-pid", "--unshare-ipc", "--unshare-uts"):
        assert wanted in options
    assert options[options.index("--cap-drop") + 1] == "ALL"


@needs_bubblewrap
def test_a_step_that_is_killed_in_a_sandbox_says_by_which_signal(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.runner("--executor", "bubblewrap"):
        finish, _ = bench.run("kill -9 $$")
    assert finish.reason == "killed by signal 9 (SIGKILL)"
