"""The engine as the rest of the server sees it: opened once per process, with all that people and runners ask for."""

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from mainstay.engine import enrol, people, results
from mainstay.engine.access import Access, Identity
from mainstay.engine.accounts import Accounts
from mainstay.engine.artifacts import Artifacts
from mainstay.engine.caches import Caches
from mainstay.engine.channels import Channels
from mainstay.engine.clock import Clock, SystemClock
from mainstay.engine.commits import Commits
from mainstay.engine.culprits import Culprits
from mainstay.engine.delivering import Delivering
from mainstay.engine.dispatch import Dispatch
from mainstay.engine.durations import Durations
from mainstay.engine.enrol import LOG_LIMIT_BYTES
from mainstay.engine.figures import Figures
from mainstay.engine.fleet import Fleet, Local
from mainstay.engine.housekeeping import Housekeeping
from mainstay.engine.intake import Intake
from mainstay.engine.labels import Labels
from mainstay.engine.lease import Lease
from mainstay.engine.logs import Logs
from mainstay.engine.loops import Loops
from mainstay.engine.openid import OpenId, Provider
from mainstay.engine.personal_tokens import PersonalTokens
from mainstay.engine.planning import Planner
from mainstay.engine.reporting import Mailing, Reporting
from mainstay.engine.repositories import Repositories
from mainstay.engine.secrets import Secrets
from mainstay.engine.signing_in import SigningIn
from mainstay.engine.starts import Starts
from mainstay.engine.tally import Tally
from mainstay.engine.upkeep import Upkeep
from mainstay.engine.wake import Wake
from mainstay.flow.fleet import Bounds
from mainstay.flow.retain import Rules
from mainstay.model.person import Actor
from mainstay.model.plan import Json
from mainstay.model.repository import CommitPolicy, RefMove, Repository
from mainstay.notify.outlet import Outlet
from mainstay.store import jobs
from mainstay.store.blobs import Blobs, open_blobs
from mainstay.store.database import Database, open_database
from mainstay.store.seal import Seal
from mainstay.wire.runner import Finish, Hello, Orders, Poll, Progress, Stored, Welcome

__all__ = ["Config", "Engine", "Identity"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Config:
    """What an engine needs to know at its start."""

    data: Path
    """The data folder: mirrors, keys, and by default database and blobs."""
    database: str | None = None
    """`sqlite:///...` or `postgresql://...`; None: `mainstay.sqlite3` in the data folder."""
    blobs: str | None = None
    """A folder or `s3://...`; None: `blobs` in the data folder."""
    rules: Rules = field(default_factory=Rules)
    log_limit_bytes: int = LOG_LIMIT_BYTES
    watch_remotes: bool = True
    """Whether this server looks at repositories by itself."""
    clock: Clock = field(default_factory=SystemClock)
    lease: Lease = field(default_factory=Lease)
    """How long a runner may be silent; the same for all servers of a database."""
    openid: OpenId | None = None
    """The identity provider with which people may sign in."""
    outlet: Outlet = field(default_factory=Outlet)
    """How messages go out."""


class Engine:
    """One server's engine. Open it with `Engine.open`, let it work with `start`, end it with `close`."""

    def __init__(self, config: Config, database: Database, blobs: Blobs, seal: Seal) -> None:
        self.config = config
        self.clock = config.clock
        self.lease = config.lease
        self.db = database
        self.blobs = blobs
        self.wake = Wake(database)
        self.loops = Loops()
        self.access = Access(database, self.clock)
        self.accounts = Accounts(database, self.clock)
        self.signing_in = SigningIn(database, self.clock)
        self.openid = None if config.openid is None else Provider(config.openid, database, seal, self.clock)
        self.tokens = PersonalTokens(database, self.clock)
        self.logs = Logs(database, blobs, config.log_limit_bytes)
        self.artifacts = Artifacts(database, blobs, self.clock)
        self.caches = Caches(database, blobs, self.clock)
        self.dispatch = Dispatch(database, self.clock, self.wake, seal, self.lease)
        self.repositories = Repositories(database, seal, self.clock, config.data, config.outlet.reach)
        self.mirrors = self.repositories.mirrors
        self.secrets = Secrets(database, seal, self.clock)
        self.labels = Labels(database, self.clock)
        self.commits = Commits(self.mirrors)
        self.planner = Planner()
        self.starts = Starts(database, self.repositories, self.planner, self.clock, self.wake)
        self.intake = Intake(
            database, self.repositories, self.planner, self.starts, self.clock, self.wake, self.dispatch.expect
        )
        mailing = Mailing(config.outlet.mail is not None, config.outlet.author_domains)
        self.reporting = Reporting(database, self.repositories, self.intake, self.logs, self.clock, self.wake, mailing)
        self.tally = Tally(database, self.wake)
        self.delivering = Delivering(database, seal, self.clock, self.wake, config.outlet)
        self.channels = Channels(database, seal, self.clock, config.outlet)
        self.upkeep = Upkeep(database, self.clock, self.wake, self.lease)
        self.housekeeping = Housekeeping(database, blobs, self.mirrors, self.logs, self.clock, self.wake, config.rules)
        self.durations = Durations(database)
        self.figures = Figures(database, self.wake)
        self.culprits = Culprits(database, self.repositories, self.intake, self.clock, self.wake)
        self.fleet: Fleet | None = None

    @classmethod
    async def open(cls, config: Config) -> Self:
        """Open the database (migrating it if it is behind), the blob store and the sealing key."""
        config.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        database = await open_database(config.database or f"sqlite:///{config.data / 'mainstay.sqlite3'}")
        try:
            blobs = open_blobs(config.blobs or str(config.data / "blobs"))
            seal = Seal.from_file(config.data / "seal.key")
            return cls(config, database, blobs, seal)
        except BaseException:
            await database.close()
            raise

    async def start(self) -> None:
        """Begin to work: watch, dispatch, keep leases, tidy up."""
        self.loops.start("dispatch", self.dispatch.run)
        self.loops.start("leases", self.upkeep.lease_loop)
        self.loops.start("fit", self.upkeep.fit_loop)
        if self.config.watch_remotes:
            self.loops.start("intake", self.intake.run)
            self.loops.start("schedules", self.starts.schedule_loop)
            self.loops.start("reports", self.reporting.loop)
        self.loops.start("tally", self.tally.loop)
        self.loops.start("mail", self.delivering.mail_loop)
        self.loops.start("chats", self.delivering.chat_loop)
        self.loops.start("webhooks", self.delivering.webhook_loop)
        self.loops.start("figures", self.figures.loop)
        self.loops.start("culprits", self.culprits.loop)
        self.loops.start("packing", self.housekeeping.pack_loop)
        self.loops.start("retention", self.housekeeping.retention_loop)

    def start_fleet(self, local: Local, bounds: Bounds) -> None:
        """Keep local runners for the queue."""
        self.fleet = Fleet(self.db, self.clock, self.wake, local, bounds)
        self.loops.start("fleet", self.fleet.run)

    async def stop_working(self) -> None:
        """End the local runners and answer every open poll, so that the web can end too."""
        if self.fleet is not None:
            await self.loops.end("fleet")
        self.dispatch.close()

    async def close(self) -> None:
        """Stop all loops, local runners and git programs, and let go of the database."""
        await self.loops.stop()
        await self.repositories.close()
        self.planner.close()
        self.access.close()
        self.wake.close()
        await self.db.close()

    # -- runners ---------------------------------------------------------------------------------------------------

    async def authenticate(self, token: str) -> Identity | None:
        """Who a token belongs to."""
        return await self.access.authenticate(token)

    async def hello(self, token_id: int, message: Hello) -> Welcome:
        """A runner presents itself."""
        return await self.db.write(enrol.hello, token_id, message, self.clock.now(), self.lease)

    async def poll(self, runner_id: int, message: Poll) -> Orders:
        """A runner asks for work; may take as long as it says. Raises Gone when it has to say hello first."""
        return await self.dispatch.poll(runner_id, message)

    async def runner_of(self, token_id: int, runner_id: int) -> None:
        """Refuse a token that may not speak for that runner: Gone, so that it says hello and hears the reason."""
        await self.access.check_runner(token_id, runner_id)

    async def progress(self, runner_id: int, attempt_id: int, message: Progress) -> Stored:
        """The steps of a running attempt."""
        return await self.db.write(results.progress, runner_id, attempt_id, message)

    async def append_log(
        self, runner_id: int, attempt_id: int, offset: int, body: bytes, encoding: str | None
    ) -> Stored:
        """The next bytes of an attempt's log."""
        return await self.logs.append(runner_id, attempt_id, offset, body, encoding)

    async def put_tests(self, runner_id: int, attempt_id: int, body: bytes, encoding: str | None) -> Stored:
        """The tests of an attempt, as JSON lines."""
        return await results.take_tests(self.db, runner_id, attempt_id, body, encoding)

    async def put_artifact(
        self,
        runner_id: int,
        attempt_id: int,
        name: str,
        kind: str,
        stream: AsyncIterator[bytes],
        days: int | None = None,
    ) -> Stored:
        """A bundle that a job kept."""
        return await self.artifacts.put(runner_id, attempt_id, name, kind, stream, days)

    async def finish(self, runner_id: int, attempt_id: int, message: Finish) -> Stored:
        """How an attempt ended; stored before it is answered."""
        return await self.db.write(results.finish, runner_id, attempt_id, message, self.clock.now())

    async def source_allowed(self, token: str, repository: str) -> bool:
        """Whether a running attempt's token opens that repository to read."""
        source = await self.db.read(jobs.opened_by, token, repository)
        if source is None:
            return False
        await self.intake.ensure(*source)
        return True

    # -- people ----------------------------------------------------------------------------------------------------

    async def add_repository(
        self,
        actor: Actor,
        name: str,
        url: str | None,
        branches: Sequence[str] = ("*",),
        commits: CommitPolicy = CommitPolicy.EVERY,
        poll_s: float = 60.0,
        since: str | None = None,
        supersede: bool = False,
    ) -> Repository:
        """Watch a repository. `since`: also test the commits after that one which its branches have already."""
        added = await self.repositories.add(actor, name, url, branches, commits, poll_s, supersede, since)
        self.intake.watch(added)
        return added

    async def set_repository(self, actor: Actor, name: str, **values: object) -> Repository:
        """Change how a repository is watched."""
        changed = await self.repositories.change(actor, name, values)
        self.intake.watch(changed)
        return changed

    async def remove_repository(self, actor: Actor, name: str) -> None:
        """Stop watching a repository; its history is deleted after some days."""
        removed = await self.repositories.remove(actor, name)
        await self.intake.forget(removed.id)

    async def repository_key(self, actor: Actor, name: str) -> str:
        """The public half of a repository's deploy key, made when it is first asked for."""
        return await self.repositories.key(actor, name)

    async def look(self, name: str, noticed_by: str = "webhook") -> None:
        """Look at a repository's remote now."""
        repository = await self.repositories.by_name(name)
        await self.intake.look(repository.id, noticed_by)

    def notice(self, repository: Repository, noticed_by: str) -> None:
        """The same without waiting for it; on a server that does not watch it nothing happens."""
        self.intake.notice(repository.id, noticed_by)

    async def pushed(self, repository_id: int, moves: Sequence[RefMove]) -> None:
        """Somebody pushed to our own git server; returns when the push is stored."""
        await self.intake.look(repository_id, "git", moves)

    def mirror_of(self, repository: Repository) -> Path:
        """Where the server's bare mirror of a repository is."""
        return self.mirrors.path_of(repository.id)

    async def cancel_build(
        self, actor: Actor, build_id: int, reason: str | None = None, job_name: str | None = None
    ) -> None:
        """Stop a build, or one of its jobs."""
        await self.db.write(people.cancel_build, actor, build_id, reason, self.clock.now(), job_name)

    async def prioritise_build(self, actor: Actor, build_id: int, priority: int) -> int:
        """Let a build go before or after others; give how many of its jobs are open."""
        return await self.db.write(people.prioritise, actor, build_id, priority, self.clock.now())

    async def rerun_build(
        self, actor: Actor, build_id: int, failed_only: bool = False, job_name: str | None = None
    ) -> tuple[str, ...]:
        """Run jobs of a build again; give their names."""
        return await self.db.write(people.rerun_build, actor, build_id, failed_only, job_name, self.clock.now())

    async def start_workflow(
        self, actor: Actor, name: str, workflow: str, ref: str | None = None, inputs: dict[str, Json] | None = None
    ) -> list[int]:
        """Start a workflow by hand (`workflow_dispatch`); give the ids of its builds."""
        return await self.starts.by_hand(actor, name, workflow, ref, inputs or {})

    async def start_schedule(self, actor: Actor, name: str, source: str, text: str) -> int:
        """Start a schedule out of turn; give the id of its build."""
        return await self.starts.scheduled_now(actor, name, source, text)

    async def drain_runner(self, actor: Actor, runner_id: int) -> None:
        """Let a runner take no new work."""
        await self.db.write(people.drain_runner, actor, runner_id, True, self.clock.now())

    async def resume_runner(self, actor: Actor, runner_id: int) -> None:
        """Let a drained runner take work again."""
        await self.db.write(people.drain_runner, actor, runner_id, False, self.clock.now())

    async def remove_runner(self, actor: Actor, runner_id: int) -> None:
        """Forget a runner."""
        await self.db.write(people.remove_runner, actor, runner_id, self.clock.now())

    async def new_runner_token(self, actor: Actor, name: str) -> str:
        """A token that runners enrol with."""
        return await self.access.new_token("runner", name, actor)

    async def log_size(self, attempt_id: int) -> tuple[int, bool]:
        """Bytes stored of a log, and whether it is whole."""
        return await self.logs.size(attempt_id)

    def log_range(self, attempt_id: int, start: int, end: int) -> AsyncIterator[bytes]:
        """A range of a log's bytes."""
        return self.logs.read(attempt_id, start, end)
