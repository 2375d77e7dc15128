"""Who broke a branch, on real repositories: a runner that is told which commits are bad, and all of the engine."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from mainstay.engine.server import Engine
from mainstay.flow.build import verdict
from mainstay.model.breakage import Break, BreakState
from mainstay.model.job import StepResult
from mainstay.model.person import Actor
from mainstay.model.repository import CommitPolicy
from mainstay.model.states import StepState
from mainstay.store import breaks, tokens
from mainstay.store.database import Tx
from mainstay.store.schema import builds
from mainstay.store.views import tests as views
from mainstay.web import listing
from mainstay.wire.runner import Assignment, Finish, Hello, Poll
from mainstay.wire.runner import TestReport as Report
from tests.engine.test_intake import Project, engine

pytestmark = pytest.mark.anyio

ADA = Actor("ada")


@dataclass
class Runner:
    """Takes whatever there is and ends it as `outcome` says."""

    server: Engine
    outcome: Callable[[Assignment], dict[str, str]]
    """Outcomes of tests by their names."""
    ran: list[Assignment] = field(default_factory=list)

    async def work(self) -> None:
        def token(tx: Tx) -> int:
            return tokens.add(tx, "runner", "test", tokens.new_token("runner"), self.server.clock.now())

        owner = await self.server.db.write(token)
        labels = ("linux", "x64", "self-hosted", "ubuntu-latest")
        me = (await self.server.hello(owner, Hello("r1", "one", "0", labels, 4, "process"))).runner
        while True:
            orders = await self.server.poll(me, Poll("one", 1, (), 5.0))
            for given in orders.assign:
                self.ran.append(given)
                await self._run(me, given)

    async def _run(self, me: int, given: Assignment) -> None:
        told = self.outcome(given)
        lines = b"\n".join(msgspec.json.encode(Report(name, outcome)) for name, outcome in told.items())
        await self.server.put_tests(me, given.attempt, lines, None)
        failed = "failed" in told.values()
        now = self.server.clock.now()
        last = len(given.plan.steps)
        step = StepResult(last, "Test", StepState.FAILED if failed else StepState.PASSED, int(failed))
        counts = {"failed": list(told.values()).count("failed")}
        await self.server.finish(
            me,
            given.attempt,
            Finish("failed" if failed else "passed", now, now, 0, exit_code=int(failed), steps=(step,), tests=counts),
        )


@asynccontextmanager
async def working(server: Engine, outcome: Callable[[Assignment], dict[str, str]]) -> AsyncIterator[Runner]:
    runner = Runner(server, outcome)
    task = asyncio.create_task(runner.work())
    try:
        yield runner
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def known(server: Engine, enough: Callable[[list[Break]], bool]) -> list[Break]:
    """The breaks, once they are what is waited for."""
    with server.wake.watch("events") as told:
        async with asyncio.timeout(60):
            while True:
                found = await server.db.read(breaks.page, 1, None, 10)
                if enough(found):
                    return found
                await told.wait(0.2)


async def ended(server: Engine, commit: str) -> None:
    """Until a commit has its verdict."""

    def state(tx: Tx) -> str:
        return str(verdict(line.state for each in listing.commit_lines(tx, 1, [commit]) for line in each.builds))

    with server.wake.watch("events") as told:
        async with asyncio.timeout(60):
            while await server.db.read(state) not in ("passed", "failed"):
                await told.wait(0.2)


def bad_from(project: Project, guilty: list[str], name: str = "t::bad") -> Callable[[Assignment], dict[str, str]]:
    """The test fails at the guilty commit and whatever has it in its history."""

    def outcome(given: Assignment) -> dict[str, str]:
        line = project.git("rev-list", given.source.commit).split()
        tests = {name: "failed" if guilty and guilty[0] in line else "passed", "t::good": "passed"}
        only = given.plan.only_tests
        return {test: told for test, told in tests.items() if not only or test in only}

    return outcome


async def test_where_every_commit_is_tested_the_culprit_is_named_and_nothing_more_is_run(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.commit("root")
    project.push()
    guilty: list[str] = []
    async with engine(tmp_path) as server, working(server, bad_from(project, guilty)) as runner:
        await server.add_repository(ADA, "demo", str(project.bare))
        await ended(server, project.git("rev-parse", "HEAD"))
        line = [project.commit(str(number)) for number in range(4)]
        guilty.append(line[1])
        project.push()
        [found] = await known(server, lambda found: bool(found) and found[0].state is BreakState.NAMED)
        assert (found.culprit, found.tests, found.ref) == (line[1], ("t::bad",), "refs/heads/main")
        for commit in line:  # it may be named before the commits after it were tested
            await ended(server, commit)
        assert len(runner.ran) == 5
        with server.wake.watch("events") as told:  # meanwhile the tests are counted
            async with asyncio.timeout(60):
                while not (test := await server.db.read(views.by_name, 1, "t::bad")) or test.runs < 5:
                    await told.wait(0.2)
        assert test.failures == 3
        guilty.clear()
        project.commit("mended")
        project.push()
        [found] = await known(server, lambda found: found[0].state is BreakState.MENDED)
        assert found.culprit == line[1]


async def test_green_builds_on_a_green_branch_are_struck_off_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path)
    project.commit("root")
    project.push()
    guilty: list[str] = []
    async with engine(tmp_path) as server, working(server, bad_from(project, guilty)):
        await server.loops.end("culprits")
        looked: list[int] = []
        look = server.culprits.look

        async def counted(build_id: int) -> None:
            looked.append(build_id)
            await look(build_id)

        monkeypatch.setattr(server.culprits, "look", counted)
        await server.add_repository(ADA, "demo", str(project.bare))
        await ended(server, project.git("rev-parse", "HEAD"))

        async def pushed(*names: str) -> None:
            line = [project.commit(name) for name in names]
            project.push()
            for commit in line:
                await ended(server, commit)
            await server.culprits.round()
            assert await server.db.read(breaks.due) == []

        await pushed("one", "two")
        assert looked == []
        guilty.append(project.commit("bad"))
        await pushed("three")
        assert len(looked) == 2
        guilty.clear()
        await pushed("mended")
        assert len(looked) == 3
        [found] = await server.db.read(breaks.page, 1, None, 10)
        assert found.state is BreakState.MENDED
        await pushed("four")
        assert len(looked) == 3


async def test_skipped_commits_are_halved_with_the_failing_tests_only(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.commit("root")
    project.push()
    guilty: list[str] = []
    async with engine(tmp_path) as server, working(server, bad_from(project, guilty)) as runner:
        await server.add_repository(ADA, "demo", str(project.bare), commits=CommitPolicy.LATEST)
        await ended(server, project.git("rev-parse", "HEAD"))
        line = [project.commit(str(number)) for number in range(12)]
        guilty.append(line[7])
        project.push()
        [found] = await known(server, lambda found: bool(found) and found[0].state is not BreakState.SEARCHING)
        assert (found.state, found.culprit) == (BreakState.NAMED, line[7])
        probes = runner.ran[2:]
        assert len(probes) <= 8
        assert {given.plan.only_tests for given in probes} == {("t::bad",)}
        assert {given.source.ref for given in probes} == {"refs/bisect/main"}

        def verdicts(tx: Tx) -> dict[str, Any]:
            rows = tx.conn.execute(select(builds.c.commit, builds.c.event, builds.c.priority)).all()
            assert {row.priority for row in rows if row.event == "bisect"} == {-2000}
            lines, _ = listing.commits(tx, listing.visible(tx, "demo", None), None, None, 50)
            return {each.sha: str(each.state) for each in lines}

        # A probe is no verdict, and no reason to leave a commit's own build out.
        assert await server.db.read(verdicts) == {line[-1]: "failed", project.git("rev-parse", "HEAD~12"): "passed"}


SHARDS = """on: push
jobs:
  test:
    runs-on: linux
    strategy: {fail-fast: false, matrix: {shard: [1, 2]}}
    steps: [{run: pytest}]
"""


async def test_a_test_that_moves_between_the_shards_of_a_suite_blames_the_right_one(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (project.clone / ".mainstay").mkdir()
    (project.clone / ".mainstay" / "t.yml").write_text(SHARDS)
    project.commit("root")
    project.push()
    guilty: list[str] = []
    whole = bad_from(project, guilty)

    def outcome(given: Assignment) -> dict[str, str]:
        """The bad test is in shard 1 or 2, by its commit."""
        place = 1 + int(given.source.commit, 16) % 2
        return whole(given) if given.matrix["shard"] == place else {"t::good": "passed"}

    async with engine(tmp_path) as server, working(server, outcome) as runner:
        await server.add_repository(ADA, "demo", str(project.bare))
        await ended(server, project.git("rev-parse", "HEAD"))
        line = [project.commit(str(number)) for number in range(6)]
        guilty.append(line[1])
        project.push()
        found = await known(server, lambda found: bool(found) and found[0].state is BreakState.NAMED)
        assert [(each.culprit, each.job) for each in found] == [(line[1], "test")]
        assert not any(given.plan.only_tests for given in runner.ran)


async def test_a_repository_may_forbid_it_and_then_the_range_is_told(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.commit("root")
    project.push()
    guilty: list[str] = []
    async with engine(tmp_path) as server, working(server, bad_from(project, guilty)) as runner:
        await server.add_repository(ADA, "demo", str(project.bare), commits=CommitPolicy.LATEST)
        await server.set_repository(ADA, "demo", bisect=False)
        await ended(server, project.git("rev-parse", "HEAD"))
        line = [project.commit(str(number)) for number in range(3)]
        guilty.append(line[0])
        project.push()
        [found] = await known(server, lambda found: bool(found) and found[0].state is not BreakState.SEARCHING)
        assert (found.state, found.candidates, found.culprit) == (BreakState.RANGE, tuple(line), None)
        assert len(runner.ran) == 2


async def test_a_flaky_test_blames_nobody_and_a_cancelled_probe_ends_the_search(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.commit("root")
    project.push()
    tip: list[str] = []

    def once(given: Assignment) -> dict[str, str]:
        """It fails in the push's build only."""
        bad = given.source.commit in tip and not given.plan.only_tests
        return {"t::flaky": "failed" if bad else "passed"}

    async with engine(tmp_path) as server, working(server, once):
        await server.add_repository(ADA, "demo", str(project.bare), commits=CommitPolicy.LATEST)
        await ended(server, project.git("rev-parse", "HEAD"))
        tip += [project.commit(str(number)) for number in range(3)][-1:]
        project.push()
        [found] = await known(server, lambda found: bool(found) and found[0].state is not BreakState.SEARCHING)
        assert (found.state, found.culprit) == (BreakState.FLAKY, None)


async def test_a_search_goes_on_after_a_restart_and_a_cancelled_probe_ends_it(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.commit("root")
    project.push()
    guilty: list[str] = []
    async with engine(tmp_path) as server, working(server, bad_from(project, guilty)):
        await server.add_repository(ADA, "demo", str(project.bare), commits=CommitPolicy.LATEST)
        await ended(server, project.git("rev-parse", "HEAD"))
        await server.loops.end("culprits")
        line = [project.commit(str(number)) for number in range(4)]
        guilty.append(line[0])
        project.push()
        await ended(server, line[-1])
    async with engine(tmp_path) as server:
        await known(server, lambda found: bool(found) and (found[0].reason or "").startswith("tests "))

        def probe(tx: Tx) -> int:
            return int(tx.conn.execute(select(builds.c.id).where(builds.c.event == "bisect")).scalar_one())

        await server.cancel_build(ADA, await server.db.read(probe))
        [found] = await known(server, lambda found: found[0].state is not BreakState.SEARCHING)
        assert (found.state, found.culprit) == (BreakState.CANCELLED, None)
