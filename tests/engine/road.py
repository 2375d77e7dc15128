"""The server's side of the road without the web: a database, dispatch, and what a runner would say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mainstay.engine import enrol, results
from mainstay.engine.begin import begin
from mainstay.engine.dispatch import Dispatch
from mainstay.engine.lease import Lease
from mainstay.engine.wake import Wake
from mainstay.model.build import NewBuild
from mainstay.model.job import Job
from mainstay.model.plan import Plan, PlannedJob, Step
from mainstay.model.repository import Repository
from mainstay.store import builds, jobs, repositories, tokens
from mainstay.store.database import Database, Tx
from mainstay.store.seal import Seal
from mainstay.wire.runner import Assignment, Finish, Hello, Orders, Poll, Stored

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - START).total_seconds()

    def move(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def plan(*planned: PlannedJob) -> Plan:
    """A plan of these jobs, or of one job `test`."""
    return Plan("tests", "detected: unittest", planned or (PlannedJob("test", steps=(Step(run="true"),)),))


@dataclass
class Road:
    """One server's dispatch over a database."""

    database: Database
    clock: Clock
    dispatch: Dispatch
    token: int
    commits: int = 0

    async def repository(self, name: str = "demo") -> Repository:
        def add(tx: Tx) -> Repository:
            return repositories.add(tx, Repository(0, name, None), self.clock.now())

        return await self.database.write(add)

    async def build(self, repository: Repository, wanted: Plan | None = None, **values: object) -> int:
        """Store a build of a fresh commit; give its id."""
        self.commits += 1
        sha = f"{self.commits:040x}"
        new = NewBuild(sha, sha, "refs/heads/main", "push", wanted or plan(), **values)  # type: ignore[arg-type]

        def store(tx: Tx) -> int:
            [(build_id, _)] = builds.add(tx, repository.id, None, [new], self.clock.now())
            begin(tx, build_id, new.plan, "push", self.clock.now())
            return build_id

        return await self.database.write(store)

    async def hello(
        self, name: str = "r1", boot: str = "one", holding: tuple[int, ...] = (), labels: tuple[str, ...] = ("linux",)
    ) -> int:
        message = Hello(name, boot, "0", labels, 4, "process", holding)
        return (await self.database.write(enrol.hello, self.token, message, self.clock.now(), Lease())).runner

    async def poll(
        self, runner: int, boot: str = "one", free: int = 1, running: tuple[int, ...] = (), wait_s: float = 5.0
    ) -> Orders:
        return await self.dispatch.poll(runner, Poll(boot, free, running, wait_s))

    async def given(self, runner: int, **values: object) -> Assignment:
        orders = await self.poll(runner, **values)  # type: ignore[arg-type]
        [assignment] = orders.assign
        return assignment

    async def finish(self, runner: int, attempt: int, state: str, **values: object) -> Stored:
        now = self.clock.now()
        message = Finish(state, now, now, values.pop("log_bytes", 0), **values)  # type: ignore[arg-type]
        return await self.database.write(results.finish, runner, attempt, message, now)

    async def jobs(self, build_id: int) -> list[Job]:
        return await self.database.read(jobs.of_build, build_id)

    async def states(self, build_id: int) -> list[str]:
        return [str(job.state) for job in await self.jobs(build_id)]


@asynccontextmanager
async def road(database: Database, clock: Clock | None = None, seal: Seal | None = None) -> AsyncIterator[Road]:
    """A road over `database`; two over one database are two servers."""
    clock = clock or Clock()
    wake = Wake(database)
    dispatch = Dispatch(database, clock, wake, seal)

    def add(tx: Tx) -> int:
        return tokens.add(tx, "runner", "test", tokens.new_token("runner"), clock.now())

    token = await database.write(add)
    running = asyncio.create_task(dispatch.run())
    try:
        yield Road(database, clock, dispatch, token)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        wake.close()
