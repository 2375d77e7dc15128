"""What a job may use: control groups where they can be made, rlimits else."""

import asyncio
import os
import shutil
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.runner.limits import Group, Groups, JobLimits
from tests.runner.processes import marked, step, until, zygote

pytestmark = pytest.mark.anyio


@pytest.fixture
def groups() -> Iterator[Groups]:
    found = Groups.detect(f"test-{uuid.uuid4().hex[:8]}")
    yield found
    found.close()
    assert not any(folder.exists() for folder in (found.memory, found.pids) if folder)


_found = Groups.detect(f"probe-{os.getpid()}")
_found.close()
needs_memory = pytest.mark.skipif(_found.memory is None, reason="no control group for memory can be made here")
needs_pids = pytest.mark.skipif(_found.pids is None, reason="no control group for processes can be made here")


async def test_a_job_without_limits_needs_no_group(groups: Groups) -> None:
    group = groups.open("1", JobLimits())
    assert (group.join, group.excess(), group.remove()) == ((), None, True)


async def test_where_nothing_can_be_limited_nothing_fails() -> None:
    nothing = Groups("rlimits", "none")
    limits = JobLimits(memory_bytes=1 << 30, processes=50, file_bytes=10, open_files=20)
    group = nothing.open("1", limits)
    assert (group.join, group.excess(), group.remove()) == ((), None, True)
    rlimits = nothing.rlimits(limits)
    assert {name: rlimits[name] for name in ("CORE", "DATA", "FSIZE", "NOFILE")} == {
        "CORE": 0,
        "DATA": 1 << 30,
        "FSIZE": 10,
        "NOFILE": 20,
    }
    nothing.close()


@needs_memory
async def test_a_job_over_its_memory_limit_is_killed_and_told_so_in_words(groups: Groups) -> None:
    group = groups.open("1", JobLimits(memory_bytes=96 << 20))
    async with zygote() as one:
        keeper = await one.keeper("owner:1", group)
        within, _ = await step(keeper, sys.executable, "-c", "b = bytearray(10 << 20)")
        assert (within.code, group.excess()) == (0, None)
        beyond, _ = await step(keeper, sys.executable, "-c", "b = bytearray(500 << 20)")
        assert beyond.signal == 9
        assert group.excess() == "killed: over its memory limit of 96 MiB"
        await keeper.end()
    assert group.remove()


@needs_pids
async def test_a_fork_bomb_stops_at_the_limit_and_is_ended(groups: Groups) -> None:
    word = uuid.uuid4().hex
    bomb = """
    import os, time
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.05)
    """
    group = groups.open("1", JobLimits(processes=40))
    async with zygote() as one:
        keeper = await one.keeper("owner:1", group)
        running = asyncio.ensure_future(step(keeper, sys.executable, "-I", "-S", "-c", textwrap.dedent(bomb), word))
        await until(lambda: group.excess() is not None)
        assert group.excess() == "it could not start more processes: over its limit of 40"
        assert len(marked(word)) <= 40
        assert await keeper.end() > 20
        await running
    assert marked(word) == []
    assert group.remove()


@needs_pids
async def test_while_no_limited_job_runs_there_is_no_group(groups: Groups) -> None:
    assert groups.pids is not None
    assert not groups.pids.exists()
    one, two = (groups.open(job, JobLimits(processes=10)) for job in ("1", "2"))
    assert one.remove()
    assert groups.pids.exists()
    assert two.remove()
    assert not groups.pids.exists()


@needs_pids
async def test_groups_that_a_killed_runner_left_are_emptied_and_removed() -> None:
    name = f"test-{uuid.uuid4().hex[:8]}"
    before = Groups.detect(name)
    group = before.open("1", JobLimits(processes=10))
    process = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
    for file in group.join:
        Path(file).write_text(str(process.pid))
    after = Groups.detect(name)
    assert after == before
    assert await process.wait() == -9
    assert not any(folder.exists() for folder in group.folders)
    after.close()


async def test_words_and_sizes_are_for_people(groups: Groups) -> None:
    assert groups.kind in ("cgroup v1", "cgroup v2", "rlimits")
    assert groups.words
    assert Group().excess() is None


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="needs root to become nobody")
async def test_without_groups_the_number_of_processes_is_limited_for_a_plain_user() -> None:
    code = "from mainstay.runner.limits import *; print(Groups('rlimits', '').rlimits(JobLimits(processes=5)))"
    source = Path(__file__).parents[2] / "src"
    words = ("setpriv", "--reuid=65534", "--clear-groups", "/usr/bin/env", f"PYTHONPATH={source}")
    python = Path("/usr/bin/python3")
    if not python.exists():
        pytest.skip("no interpreter that every user may run")
    process = await asyncio.create_subprocess_exec(
        *words, str(python), "-c", code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, problems = await process.communicate()
    if process.returncode:
        pytest.skip(f"that interpreter does not do: {problems.decode()[-200:]}")
    assert b"'NPROC': " in output


@needs_pids
async def test_jobs_without_a_group_of_their_own_share_the_shelter_also_after_the_zygote_died(groups: Groups) -> None:
    async with zygote() as one:
        one.confine(groups.shelter(processes=300))
        for number in range(2):
            keeper = await one.keeper(f"owner:{number}", groups.open(str(number), JobLimits()))
            _, printed = await step(keeper, "/bin/sh", "-c", "grep pids /proc/self/cgroup || cat /proc/self/cgroup")
            assert printed.decode().strip().endswith("/all")
            await keeper.end()
            assert one.pid is not None
            os.kill(one.pid, 9)
        own = groups.open("own", JobLimits(processes=20))
        keeper = await one.keeper("owner:own", own)
        _, printed = await step(keeper, "/bin/sh", "-c", "grep pids /proc/self/cgroup || cat /proc/self/cgroup")
        assert printed.decode().strip().endswith("/own")
        await keeper.end()
        assert own.remove()
