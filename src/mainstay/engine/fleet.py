"""Local runners started and ended with the queue: processes of this machine that call the server like any other.

The one place outside `git/` and `runner/` that starts processes.
"""

import asyncio
import logging
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from mainstay.engine.clock import Clock
from mainstay.engine.wake import Wake
from mainstay.flow import fleet as fleet_flow
from mainstay.flow.fleet import Bounds, Load
from mainstay.model.events import Event, EventKind
from mainstay.store import events, jobs, runners
from mainstay.store.database import Database, Tx

KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY")
"""What a local runner gets of the server's environment; each name in lower case too."""
END_S = 20.0
"""How long a runner may take to end when the server stops, before it is killed."""

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


@dataclass(slots=True)
class _Member:
    """One place for a local runner, started or waiting to be started again."""

    name: str
    process: asyncio.subprocess.Process | None = None
    started_at: float = 0.0
    died_young: int = 0
    start_again_at: float = 0.0
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

    async def run(self) -> None:
        """Keep the right number of runners until cancelled; then end them all."""
        for _ in range(self._bounds.least):
            await self._start(self._new_member())
        try:
            with self._wake.watch("queue", "runners", "events") as told:
                while True:
                    pause = await self._turn()
                    await self._pause(told.wait, pause)
        finally:
            await self._end_all()

    async def _pause(self, told: object, pause_s: float) -> None:
        waits = [asyncio.ensure_future(self._changed.wait()), asyncio.ensure_future(told(pause_s))]  # type: ignore[operator]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._changed.clear()

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
        return self._next_look(now, waiting)

    def _next_look(self, now: float, waiting: int) -> float:
        moments = [member.start_again_at for member in self._members.values() if member.process is None]
        if waiting and self._waiting_since is not None and len(self._members) < self._bounds.most:
            moments.append(max(self._waiting_since + fleet_flow.UP_AFTER_S, now + 0.1))
        if self._idle_since is not None and len(self._members) > self._bounds.least:
            moments.append(self._idle_since + fleet_flow.DOWN_AFTER_S)
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
        folder.mkdir(parents=True, exist_ok=True)
        member.started_at = self._clock.monotonic()
        try:
            member.process = await asyncio.create_subprocess_exec(
                *arguments, env=self._environment(), stdin=asyncio.subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            await self._died(member, f"could not be started: {error}")
            return
        member.watcher = asyncio.create_task(self._watch(member, member.process), name=f"watch {member.name}")

    def _environment(self) -> dict[str, str]:
        names = {*KEPT_VARIABLES, *(name.lower() for name in KEPT_VARIABLES), "VIRTUAL_ENV", "HOME"}
        kept = {name: value for name, value in os.environ.items() if name in names}
        return kept | {"MAINSTAY_RUNNER_TOKEN": self._local.token}

    async def _watch(self, member: _Member, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        member.process = None
        if member.ending:
            self._members.pop(member.name, None)
        else:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            await self._died(member, how)
        self._changed.set()

    async def _died(self, member: _Member, how: str) -> None:
        now = self._clock.monotonic()
        young = now - member.started_at < fleet_flow.YOUNG_S
        member.died_young = member.died_young + 1 if young else 0
        pause = fleet_flow.retry_after(member.died_young - 1) if member.died_young > 1 else 0.0
        member.start_again_at = now + pause
        cause = f"local runner {member.name} {how}; it is started again" + (f" in {pause:.0f} s" if pause else "")
        log.warning("%s", cause)
        await self._database.write(_tell, Event(EventKind.RUNNER_FAILED, self._clock.now(), cause))

    async def _end(self, member: _Member) -> None:
        member.ending = True
        if member.process is None:
            self._members.pop(member.name, None)
        else:
            _signal(member.process, signal.SIGTERM)

    async def _end_all(self) -> None:
        """SIGTERM twice (finish nothing, hand back), then SIGKILL."""
        members = [member for member in self._members.values() if member.process is not None]
        for member in members:
            member.ending = True
        for sent in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            open_ones = [member.process for member in members if member.process is not None]
            if not open_ones:
                break
            for process in open_ones:
                _signal(process, sent)
            pause = END_S if sent == signal.SIGKILL else END_S / 2 if open_ones and sent is signal.SIGTERM else 1.0
            waits = [asyncio.ensure_future(process.wait()) for process in open_ones]
            await asyncio.wait(waits, timeout=min(pause, 0.3 if sent == signal.SIGTERM else pause))
        await asyncio.gather(*(m.watcher for m in members if m.watcher is not None), return_exceptions=True)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except ProcessLookupError:
        return


def _load(tx: Tx, names: list[str]) -> tuple[int, dict[str, int]]:
    return jobs.count_waiting(tx), runners.running_by_name(tx, names)


def _tell(tx: Tx, event: Event) -> None:
    events.add(tx, [event])
