"""How a job's processes live and die, with real ones: nothing outlives its job, whoever is killed."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path

import pytest

from mainstay.runner import zygote as zygote_program
from mainstay.runner.keeper import MARKER, KeeperLost, end_leftovers
from tests.runner.processes import ENV, descriptors, marked, step, until, zygote

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only process groups are ended"),
]

DAEMON = """
import os, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]], {})
"""
"""Forks twice, in a session of its own, and clears its environment."""


def is_daemon_alone(word: str) -> bool:
    """Whether the last of its three processes is what it becomes, and the two before it are gone.

    In the middle of an execve a command line is empty, so a count of one is not enough.
    """
    found = marked(word)
    return len(found) == 1 and found == marked(f"time.sleep(600)\0{word}")


@pytest.fixture
def word() -> str:
    """Stands in the command lines of this test's processes."""
    return f"test-{uuid.uuid4().hex}"


async def test_a_step_has_exactly_the_environment_folder_and_descriptors_it_is_given(tmp_path: Path) -> None:
    os.environ["LEAKED"] = "yes"
    async with zygote() as one:
        keeper = await one.keeper("owner:1")
        script = (
            "import os; print(dict(os.environ));"
            "print(os.getcwd(), os.listdir('/proc/self/fd'), os.getsid(0) == os.getpid())"
        )
        env = {**ENV, "A": "ä\n$x"}
        ended, output = await step(keeper, sys.executable, "-I", "-S", "-c", script, cwd=tmp_path, env=env)
        await keeper.end()
    assert ended.code == 0
    lines = output.decode().splitlines()
    given = eval(lines[0])
    given.pop("LC_CTYPE", None)  # Python's own doing
    assert given == {**env, MARKER: "owner:1"}
    assert lines[1] == f"{tmp_path} ['0', '1', '2', '3'] True"  # 3 is the listing itself


async def test_a_step_ignores_no_signal_and_blocks_none_whatever_the_runner_was_started_with() -> None:
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)  # as a shell does for what it starts with `&`
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        async with zygote() as one:
            keeper = await one.keeper("owner:1")
            _, output = await step(keeper, "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status")
            await keeper.end()
    finally:
        signal.signal(signal.SIGQUIT, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
    # 32 and 33 are the C library's own, and its posix_spawn leaves them ignored.
    own = 1 << 31 | 1 << 32
    assert [int(line.split()[1], 16) & ~own for line in output.splitlines()] == [0, 0]


async def test_ends_are_told_apart() -> None:
    async with zygote() as one:
        keeper = await one.keeper("owner:1")
        assert (await step(keeper, "sh", "-c", "exit 3"))[0].code == 3
        assert (await step(keeper, "sh", "-c", "kill -SEGV $$"))[0].signal == signal.SIGSEGV
        missing, _ = await step(keeper, "no-such-program")
        assert (missing.code, missing.problem) == (127, "could not start no-such-program: No such file or directory")
        refused, _ = await step(keeper, "/etc/passwd")
        assert (refused.code, refused.problem) == (126, "could not start /etc/passwd: Permission denied")
        lost, _ = await step(keeper, "true", cwd="/no/such/folder")
        assert lost.problem == "could not enter the folder /no/such/folder: No such file or directory"
        odd, _ = await step(keeper, "true", "a\0b")
        assert odd.code == 126
        assert await keeper.end() == 0


async def test_an_environment_larger_than_a_socket_buffer_arrives() -> None:
    async with zygote() as one:
        keeper = await one.keeper("owner:1")
        env = ENV | {f"BIG_{number}": "x" * 100_000 for number in range(10)}
        ended, output = await step(keeper, "sh", "-c", 'echo "${#BIG_0} ${#BIG_9}"', env=env)
        await keeper.end()
    assert (ended.code, output) == (0, b"100000 100000\n")


async def test_a_run_that_was_given_up_does_not_stand_in_the_way_of_the_next(word: str) -> None:
    async with zygote() as one:
        keeper = await one.keeper("owner:1")
        # One process: a shell may start its child between the look at who is there and the signal.
        running = asyncio.ensure_future(step(keeper, sys.executable, "-c", "import time; time.sleep(600)", word))
        await until(lambda: marked(word))
        running.cancel()
        await asyncio.wait([running])
        await keeper.terminate(5)
        assert (await step(keeper, "sh", "-c", "exit 4"))[0].code == 4
        assert await keeper.end() == 0


async def test_a_daemon_that_cleared_its_environment_is_found_and_ended(word: str) -> None:
    async with zygote() as one:
        keeper = await one.keeper("owner:1")
        ended, _ = await step(keeper, sys.executable, "-c", DAEMON, word)
        assert ended.code == 0
        await until(lambda: is_daemon_alone(word))
        assert await keeper.end() == 1
    assert marked(word) == []


async def test_a_step_that_ignores_sigterm_is_killed_after_its_grace(word: str, tmp_path: Path) -> None:
    async with zygote() as one:
        keeper = await one.keeper("owner:1")
        script = "trap '' TERM; touch ready; while :; do sleep 0.05; done"
        running = asyncio.ensure_future(step(keeper, "sh", "-c", script, word, cwd=tmp_path))
        await until((tmp_path / "ready").exists)
        began = time.monotonic()
        await keeper.terminate(0.3)
        assert time.monotonic() - began >= 0.3
        assert (await running)[0].signal == signal.SIGKILL
        await keeper.end()
    assert marked(word) == []


async def test_a_step_that_heeds_sigterm_can_tidy_up(word: str, tmp_path: Path) -> None:
    async with zygote() as one:
        keeper = await one.keeper("owner:1")
        script = "trap 'echo bye; exit 7' TERM; echo ready; touch ready; while :; do sleep 0.05; done"
        running = asyncio.ensure_future(step(keeper, "sh", "-c", script, word, cwd=tmp_path))
        await until((tmp_path / "ready").exists)
        await keeper.terminate(60)
        ended, output = await running
        assert (ended.code, output.splitlines()[0], output.splitlines()[-1]) == (7, b"ready", b"bye")
        await keeper.end()


async def test_stopped_children_are_ended_too(word: str) -> None:
    async with zygote() as one:
        keeper = await one.keeper("owner:1")
        await step(keeper, "sh", "-c", "sleep 600 & kill -STOP $!; sleep 601 & true", word)
        assert await keeper.end() == 2


async def test_a_fork_bomb_whose_processes_replace_themselves_all_the_time_is_ended(word: str) -> None:
    bomb = """
    import os, time
    for _ in range(5):
        os.fork()
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if os.fork():
            os._exit(0)
        time.sleep(0.02)
    """
    async with zygote() as one:
        keeper = await one.keeper("owner:1")
        await step(keeper, sys.executable, "-I", "-S", "-c", textwrap.dedent(bomb), word)
        await until(lambda: len(marked(word)) >= 30)
        assert await keeper.end() >= 30
    assert marked(word) == []


async def test_a_job_that_kills_its_keeper_loses_and_leaves_nothing(word: str) -> None:
    async with zygote() as one:
        keeper = await one.keeper("owner:1")
        with pytest.raises(KeeperLost):
            await step(keeper, "sh", "-c", f"sleep 600 {word} & kill -9 $PPID; sleep 600", word)
        assert await keeper.end() >= 1
        assert marked(word) == []
        other = await one.keeper("owner:2")
        assert (await step(other, "true"))[0].code == 0
        await other.end()


async def test_a_job_that_stops_its_keeper_is_ended_all_the_same(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mainstay.runner.keeper.ANSWER_S", 0.5)
    async with zygote() as one:
        keeper = await one.keeper("owner:1")
        running = asyncio.ensure_future(step(keeper, "sh", "-c", "kill -STOP $PPID; sleep 600", word))
        await until(lambda: zygote_program.stat_of(keeper.pid) == ("T", one.pid))
        assert await keeper.end() >= 1
        with pytest.raises(KeeperLost):
            await running
    assert marked(word) == []


async def test_keepers_go_on_when_the_zygote_is_killed_and_a_new_one_starts(word: str) -> None:
    async with zygote() as one:
        first = one.pid
        assert first is not None
        keeper = await one.keeper("owner:1")
        running = asyncio.ensure_future(step(keeper, "sh", "-c", "sleep 0.5; echo done", word))
        await until(lambda: marked(word))
        os.kill(first, signal.SIGKILL)
        other = await one.keeper("owner:2")
        assert one.pid != first
        assert (await running)[1] == b"done\n"
        assert await keeper.end() == 0
        await other.end()
    # Not even a zombie: everything that fell to this process was waited for.
    await until(lambda: all(zygote_program.stat_of(pid) is None for pid in (first, keeper.pid)))


async def test_what_a_killed_zygote_and_a_killed_keeper_leave_is_ended_by_the_runner(word: str) -> None:
    async with zygote() as one:
        keeper = await one.keeper("owner:1")
        running = asyncio.ensure_future(step(keeper, sys.executable, "-c", DAEMON, word))
        await running
        await until(lambda: is_daemon_alone(word))
        first, daemon = one.pid, marked(word)[0]
        assert first is not None
        os.kill(first, signal.SIGKILL)
        os.kill(keeper.pid, signal.SIGKILL)
        await keeper.end()
        await until(lambda: marked(word) == [])
    # Not even a zombie: everything that fell to this process was waited for.
    await until(lambda: all(zygote_program.stat_of(pid) is None for pid in (first, keeper.pid, daemon)))


async def test_when_the_runner_is_killed_its_jobs_end_at_once(word: str, tmp_path: Path) -> None:
    runner = f"""
    import asyncio, sys
    from mainstay.runner.keeper import Zygote
    async def main():
        zygote = Zygote()
        await zygote.start()
        keeper = await zygote.keeper("owner:1")
        print(zygote.pid, flush=True)
        await keeper.run(["sh", "-c", "trap '' TERM HUP; (sleep 600; true) & wait", {word!r}], {ENV!r}, "/", 2)
    asyncio.run(main())
    """
    env = {**os.environ, "PYTHONPATH": str(Path(zygote_program.__file__).parents[2])}
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", textwrap.dedent(runner)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
    ) as process:
        assert process.stdout is not None
        started = int(process.stdout.readline())
        await until(lambda: len(marked(word)) >= 2)  # the script names the word too
        process.kill()
    # Nobody waits for the zygote now, but that it has ended.
    await until(lambda: marked(word) == [] and (zygote_program.stat_of(started) or ("Z", 0))[0] == "Z")


async def test_leftovers_of_a_power_cut_are_found_by_their_mark(word: str) -> None:
    owner = uuid.uuid4().hex
    env = {**ENV, MARKER: f"{owner}:7"}
    stranger = {**ENV, MARKER: f"{owner}0:7"}
    with (
        subprocess.Popen(["sleep", "600"], env=env, start_new_session=True) as left,  # noqa: ASYNC220
        subprocess.Popen(["sleep", "600"], env=stranger) as other,  # noqa: ASYNC220
    ):
        assert await asyncio.to_thread(end_leftovers, owner) == 1
        assert left.wait() == -signal.SIGKILL
        assert other.poll() is None
        other.kill()


async def test_a_hundred_jobs_leave_no_zombie_and_no_descriptor() -> None:
    async with zygote() as one:
        before: tuple[int, int] | None = None
        for number in range(120):
            keeper = await one.keeper(f"owner:{number}")
            ended, _ = await step(keeper, "true")
            assert ended.code == 0
            await keeper.end()
            if number == 20:
                before = descriptors(), descriptors(one.pid)
        assert before is not None
        assert descriptors() <= before[0]
        assert descriptors(one.pid) == before[1]
        await until(lambda: one.pid is not None and zygote_program.children(one.pid) == [])


async def test_a_resource_limit_holds_from_the_first_instruction(tmp_path: Path) -> None:
    async with zygote() as one:
        keeper = await one.keeper("owner:1")
        script = "ulimit -c; ulimit -n; head -c 20000 /dev/zero > big"
        ended, output = await step(
            keeper, "bash", "-c", script, cwd=tmp_path, rlimits={"CORE": 0, "NOFILE": 77, "FSIZE": 4096}
        )
        assert output.split()[:2] == [b"0", b"77"]
        assert ended.code != 0
        assert (tmp_path / "big").stat().st_size == 4096
        await keeper.end()


async def test_processes_of_a_job_are_the_first_the_kernel_takes_when_memory_is_short() -> None:
    async with zygote() as one:
        keeper = await one.keeper("owner:1")
        _, output = await step(keeper, "cat", "/proc/self/oom_score_adj")
        assert int(output) == zygote_program.MARK_OOM
        await keeper.end()
