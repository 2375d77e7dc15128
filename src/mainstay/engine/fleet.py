"""Local runners started and ended with the queue: processes of this machine that call the server like any other.

The one place outside `git/` and `runner/` that starts processes. Runners outlive a server that was killed: the next one
finds them by the locks of their folders and goes on with them, or ends them when they call another address.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from signal import pidfd_send_signal
from typing import BinaryIO, Protocol

import msgspec

from mainstay.engine import failing
from mainstay.engine.clock import Clock
from mainstay.engine.failing import Failing
from mainstay.engine.wake import Wake, Watch
from mainstay.flow import fleet as fleet_flow
from mainstay.flow.fleet import Bounds, Load
from mainstay.model.errors import MainstayError
from mainstay.model.events import Event, EventKind
from mainstay.store import events, jobs, runners
from mainstay.store.database import Database, Tx
from mainstay.wire.variables import ENGINE, NAMES_FROM, passed

OWN_VARIABLES = ("PATH", "HOME", "VIRTUAL_ENV", NAMES_FROM, *ENGINE)
"""What a local runner needs of the server's environment itself, beside what its jobs get."""
END_S = 15.0
"""How long a runner may take to hand its jobs back when the server stops, before it is killed."""
IDLE_END_S = 0.5
"""How long one that has no job takes to end."""
MAX_LOG_BYTES = 4 * 1024 * 1024
"""Of a runner's own messages, kept once more beside the present ones."""
LAST_WORDS = 300
"""Signs of a runner's last line that are told when it fails."""
AGAIN_S = 1.0
SETTLE_S = 0.1
"""Events come in bursts: one look for all of them."""
RUNNER_LOCK = "lock"
"""The file in a runner's folder that it holds locked, and in which it says who it is (`runner.setup`)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Local:
    """How local runners are started."""

    url: str
    token: str
    folder: Path
    """Each runner has a folder of its own in it."""
    mirrors: Path
    """The server's mirrors: local runners read objects from them instead of fetching."""
    labels: tuple[str, ...] = ()
    executor: str | None = None
    more: tuple[str, ...] = ()
    """Arguments that are only passed on."""


class _Handle(Protocol):
    """A running process: one that was started here, or one that was found."""

    def send_signal(self, signal: int) -> None: ...
    async def wait(self) -> int: ...


class _Found:
    """A runner that an earlier server started."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError when it is gone."""
        self._fd = os.pidfd_open(pid)
        self._gone: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self._fd, self._ended)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        if not self._gone.done():
            self._gone.set_result(0)  # whoever reaps it knows how it ended

    def send_signal(self, signal: int) -> None:
        if not self._gone.done():
            pidfd_send_signal(self._fd, signal)

    async def wait(self) -> int:
        return await asyncio.shield(self._gone)


@dataclass(slots=True)
class _Member:
    """One place for a local runner, started or waiting to be started again."""

    name: str
    process: _Handle | None = None
    started_at: float = 0.0
    died_young: int = 0
    start_again_at: float = 0.0
    failing: Failing | None = None
    """Set while it dies young."""
    said_before: int = 0
    """Bytes of its log that are of earlier starts."""
    ending: bool = False
    watcher: asyncio.Task[None] | None = field(default=None, repr=False)


class Fleet:
    """Starts local runners when work waits, ends them when it is gone, and starts again those that die."""

    def __init__(self, database: Database, clock: Clock, wake: Wake, local: Local, bounds: Bounds) -> None:
        self._database = database
        self._clock = clock
        self._wake = wake
        self._local = local
        self._bounds = bounds
        self._members: dict[str, _Member] = {}
        self._waiting_since: float | None = None
        self._idle_since: float | None = None
        self._changed = asyncio.Event()
        self._told: list[Failing] = []
        """What is stored of those that do not start."""

    async def run(self) -> None:
        """Keep the right number of runners until cancelled; then end them all."""
        await self._database.write(failing.tell, [])  # an earlier server may have left something
        await self._take_over()
        for _ in range(self._bounds.least - len(self._members)):
            await self._start(self._new_member())
        try:
            with self._wake.watch("queue", "runners", "events") as told:
                while True:
                    await self._pause(told, await self._turn_safely())
                    await asyncio.sleep(SETTLE_S)
        finally:
            await self._end_all()

    async def _take_over(self) -> None:
        """Go on with the runners that an earlier server left; end those that call another address."""
        if not self._local.folder.is_dir():
            return
        for folder in sorted(self._local.folder.glob("local-*")):
            holder = _holder(folder / RUNNER_LOCK)
            if holder is None:
                continue
            try:
                found = _Found(holder.pid)
            except OSError:
                continue
            if holder.server != self._local.url or len(self._members) >= self._bounds.most:
                await _end_soon(found)
                continue
            log.info("Local runner %s outlived an earlier server and goes on", folder.name)
            member = _Member(folder.name, found, self._clock.monotonic())
            self._members[folder.name] = member
            member.watcher = asyncio.create_task(self._watch(member, found), name=f"watch {folder.name}")

    async def _pause(self, told: Watch, pause_s: float) -> None:
        """Until the queue, a runner or one of our processes has changed, or the time is over."""
        waits = (asyncio.ensure_future(self._changed.wait()), asyncio.ensure_future(told.wait(pause_s)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._changed.clear()

    async def _turn_safely(self) -> float:
        """A database that is away or full for a while is no reason to end runners and take their jobs from them."""
        try:
            return await self._turn()
        except Exception:
            log.exception("The number of local runners could not be looked at; it is tried again in a second")
            return AGAIN_S

    async def _turn(self) -> float:
        """Compare what is there with what is wanted; give the seconds until the next look."""
        now = self._clock.monotonic()
        waiting, running = await self._database.read(_load, [member.name for member in self._members.values()])
        live = [member for member in self._members.values() if not member.ending]
        idle = [member for member in live if member.process is not None and not running.get(member.name)]
        self._waiting_since = (self._waiting_since or now) if waiting else None
        self._idle_since = (self._idle_since or now) if idle and not waiting else None
        load = Load(
            present=len(live),
            idle=len(idle),
            waiting_jobs=waiting,
            waiting_s=now - (self._waiting_since or now),
            idle_s=now - (self._idle_since or now),
        )
        target = fleet_flow.wanted(load, self._bounds)
        for _ in range(target - len(live)):
            await self._start(self._new_member())
        if target < len(live) and idle:
            await self._end(idle[-1])
            self._idle_since = now
        for member in live:
            if member.process is None and member.start_again_at <= now:
                await self._start(member)
            elif member.process is not None and now - member.started_at >= fleet_flow.YOUNG_S:
                member.died_young, member.failing = 0, None
        await self._tell_failing()
        return self._next_look(now, waiting)

    def _next_look(self, now: float, waiting: int) -> float:
        moments = [member.start_again_at for member in self._members.values() if member.process is None]
        young = [
            member for member in self._members.values() if member.process is not None and member.failing is not None
        ]
        moments += [max(member.started_at + fleet_flow.YOUNG_S, now + 0.1) for member in young]
        if waiting and self._waiting_since is not None and len(self._members) < self._bounds.most:
            moments.append(max(self._waiting_since + fleet_flow.UP_AFTER_S, now + 0.1))
        if self._idle_since is not None and len(self._members) > self._bounds.least:
            moments.append(self._idle_since + self._bounds.down_after_s)
        return max(0.05, min(moments) - now) if moments else 3600.0

    def _new_member(self) -> _Member:
        number = next(n for n in range(1, len(self._members) + 2) if f"local-{n}" not in self._members)
        member = _Member(f"local-{number}")
        self._members[member.name] = member
        return member

    async def _start(self, member: _Member) -> None:
        local = self._local
        folder = local.folder / member.name
        arguments = [sys.executable, "-m", "mainstay.runner", "--server", local.url, "--name", member.name]
        arguments += ["--data", str(folder), "--mirrors", str(local.mirrors)]
        if local.labels:
            arguments += ["--labels", ",".join(local.labels)]
        if local.executor:
            arguments += ["--executor", local.executor]
        arguments += local.more
        folder.mkdir(parents=True, exist_ok=True)
        member.started_at = self._clock.monotonic()
        try:
            with _log_file(folder) as told:  # not ours: it outlives us, and whoever reads our output
                member.said_before = told.tell()
                member.process = await asyncio.create_subprocess_exec(
                    *arguments,
                    env=self._environment(),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=told,
                    stderr=told,
                    start_new_session=True,
                )
        except OSError as error:
            await self._died(member, f"could not be started: {error}")
            return
        watching = self._watch(member, member.process)
        member.watcher = asyncio.create_task(watching, name=f"watch {member.name}")

    def _environment(self) -> dict[str, str]:
        return passed(os.environ, OWN_VARIABLES) | {"MAINSTAY_RUNNER_TOKEN": self._local.token}

    async def _watch(self, member: _Member, process: _Handle) -> None:
        code = await process.wait()
        member.process = None
        try:
            if member.ending:
                self._members.pop(member.name, None)
                await self._database.write(runners.retire, member.name, self._clock.now())
            else:
                how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
                how += _last_words(self._local.folder / member.name / "log", member.said_before)
                await self._died(member, how)
        except MainstayError as error:
            log.warning("That local runner %s has ended could not be stored: %s", member.name, error)
        finally:
            self._changed.set()  # it is started again, whether that could be told or not

    async def _died(self, member: _Member, how: str) -> None:
        now, at = self._clock.monotonic(), self._clock.now()
        young = now - member.started_at < fleet_flow.YOUNG_S
        member.died_young = member.died_young + 1 if young else 0
        pause = fleet_flow.retry_after(member.died_young - 1) if member.died_young > 1 else 0.0
        member.start_again_at = now + pause
        cause = f"local runner {member.name} {how}; it is started again" + (f" in {pause:.0f} s" if pause else "")
        log.warning("%s", cause)
        member.failing = (
            Failing(member.name, member.died_young, how, at, at + timedelta(seconds=pause)) if young else None
        )
        self._told = self._failing()
        await self._database.write(_tell, Event(EventKind.RUNNER_FAILED, at, cause), self._told)

    def _failing(self) -> list[Failing]:
        return [m.failing for _, m in sorted(self._members.items()) if m.failing is not None and not m.ending]

    async def _tell_failing(self) -> None:
        """Store it when others fail than before."""
        now_failing = self._failing()
        if now_failing != self._told:
            self._told = now_failing
            await self._database.write(failing.tell, now_failing)

    async def _end(self, member: _Member) -> None:
        member.ending = True
        if member.process is None:
            self._members.pop(member.name, None)
        else:
            _signal(member.process, signal.SIGTERM)

    async def _end_all(self) -> None:
        members = list(self._members.values())
        for member in members:
            member.ending = True
        await asyncio.gather(*(_end_soon(member.process) for member in members if member.process is not None))
        await asyncio.gather(*(m.watcher for m in members if m.watcher is not None), return_exceptions=True)
        await self._tell_failing()


async def _end_soon(process: _Handle) -> None:
    """SIGTERM (take no more), SIGTERM again (hand the jobs back), and SIGKILL for one that does neither."""
    for sent, patience_s in ((signal.SIGTERM, IDLE_END_S), (signal.SIGTERM, END_S), (signal.SIGKILL, END_S)):
        _signal(process, sent)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await process.wait()
                return


def _log_file(folder: Path) -> BinaryIO:
    """Where a runner's own messages go: `log` in its folder; a long one is put aside at its start."""
    path = folder / "log"
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(folder / "log.1")
    return path.open("ab")


def _last_words(file: Path, said_before: int) -> str:
    """The last line that a runner wrote since its start: most often why it ended."""
    try:
        with file.open("rb") as opened:
            opened.seek(max(said_before, file.stat().st_size - 4096))
            lines = opened.read(4096).decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {''.join(filter(str.isprintable, last))[:LAST_WORDS]}" if last else ""


def _signal(process: _Handle, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


@dataclass(frozen=True, slots=True)
class _Holder:
    """Who holds the lock of a runner's folder."""

    pid: int
    server: str


def _holder(file: Path) -> _Holder | None:
    """The live process that holds a runner's lock, or None when nobody does."""
    try:
        with file.open("rb") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return msgspec.json.decode(opened.read(), type=_Holder)
    except (OSError, msgspec.MsgspecError):
        return None
    return None


def _load(tx: Tx, names: list[str]) -> tuple[int, dict[str, int]]:
    return jobs.count_waiting(tx), runners.running_by_name(tx, names)


def _tell(tx: Tx, event: Event, now_failing: list[Failing]) -> None:
    events.add(tx, [event])
    failing.tell(tx, now_failing)
