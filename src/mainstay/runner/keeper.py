"""How a job's processes live and die, from the runner's side; the other side of the sockets is `zygote.py`.

    runner --- zygote --- keeper of job A --- steps of A and everything they start
                      \\-- keeper of job B --- ...

Each of the three is a child subreaper: whatever loses its parent falls to the nearest of them and is ended there.
So a killed keeper's processes are ended by the zygote, and a killed zygote's keepers go on under the runner. When the
runner dies its sockets close, and every keeper kills its job and exits.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstay.model.errors import MainstayError
from mainstay.runner import zygote
from mainstay.runner.limits import Group, Rlimits

MARKER = "MAINSTAY_ATTEMPT"
"""In the environment of every step: `OWNER:ATTEMPT`, by which leftovers are found after a power cut."""
ANSWER_S = 10.0
"""How long a zygote or keeper may take for something it does at once; then it is taken for stuck and killed."""


class KeeperLost(MainstayError):
    """The keeper of a job is gone or does not answer: the job killed it, or the machine is out of memory."""

    code, status = "keeper-lost", 503


@dataclass(frozen=True, slots=True)
class StepExit:
    """How a step's own process ended. Exactly one of `code` and `signal` is set."""

    code: int | None = None
    """As a shell shows it: 127 no such command, 126 not executable (then `problem` says so in words)."""
    signal: int | None = None
    problem: str | None = None
    """Why it could not even be started."""
    cpu_s: float = 0.0
    """User and system time of it and of the children it waited for."""
    memory_bytes: int = 0
    """The largest resident size among them."""


class _Line:
    """Our end of a socket to the zygote or a keeper: orders go out, each answer goes to the one who waits for it."""

    def __init__(self, sock: socket.socket, lost: Callable[[], None]) -> None:
        self._sock = sock
        self._port = zygote.Port(sock)
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[tuple[str, int], asyncio.Future[Any]] = {}
        self._unsent = bytearray()
        self.open = True
        sock.setblocking(False)
        self._loop.add_reader(sock, self._read)

    def ask(self, answer: str, message: zygote.Message, number: int = 0, fd: int | None = None) -> asyncio.Future[Any]:
        """Send an order now; the future is its answer, or KeeperLost. Asking twice waits for the same answer."""
        key = (answer, number)
        waiting = self._waiting.get(key)
        if waiting is None or waiting.done():  # done: whoever waited was cancelled
            waiting = self._waiting[key] = self._loop.create_future()
            self.tell(message, fd)
        return waiting

    def tell(self, message: zygote.Message, fd: int | None = None) -> None:
        """Send an order. The descriptor travels with its first byte, so at once."""
        if not self.open:
            self._fail()
            return
        data = zygote.encode(message)
        try:
            sent = 0 if self._unsent else socket.send_fds(self._sock, [data], [] if fd is None else [fd])
        except OSError:
            self.close()
            return
        if sent < len(data):
            self._unsent += data[sent:]
            self._loop.add_writer(self._sock, self._write)

    def close(self) -> None:
        """No more orders, no more answers."""
        if self.open:
            self.open = False
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
            self._fail()
            self._lost()

    def _fail(self) -> None:
        lost = KeeperLost("the process that watches over the job is gone: killed, or the machine is out of memory")
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(lost)
                waiting.exception()  # taken note of: there may be nobody left who waits
        self._waiting.clear()

    def _read(self) -> None:
        messages = self._port.receive()
        if messages is None:
            self.close()
            return
        for message in messages:
            name, value = next(iter(message.items()))
            number = value if name in ("keeper", "settled") else 0
            waiting = self._waiting.pop((name, number), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)

    def _write(self) -> None:
        try:
            del self._unsent[: self._sock.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if not self._unsent:
            self._loop.remove_writer(self._sock)


class Keeper:
    """Runs the steps of one job, one at a time, and ends everything they started."""

    def __init__(self, owner: "Zygote", sock: socket.socket, marker: str) -> None:
        self.pid = 0
        self._owner = owner
        self._marker = marker
        self._line = _Line(sock, self._gone)
        self._found: int | None = None

    async def run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path | str,
        output_fd: int,
        rlimits: Rlimits | None = None,
        *,
        guarded: bool = False,
    ) -> StepExit:
        """Start a step and wait for its own process (not for what it left in the background).

        `output_fd` becomes its stdout and stderr; the caller keeps its own copy and closes it once this has been
        entered (it is sent before the first await). `guarded`: the first process is a sandbox, which `terminate`
        must not ask to end before the processes inside have. Raises KeeperLost.
        """
        order = {
            "argv": list(argv),
            "env": {**env, MARKER: self._marker},
            "cwd": str(cwd),
            "rlimits": dict(rlimits or {}),
            "guarded": guarded,
        }
        answer = await self._line.ask("exit", {"run": order}, fd=output_fd)
        return StepExit(**answer["exit"])

    async def terminate(self, grace_s: float) -> None:
        """SIGTERM to every process of the job, SIGKILL to those left after `grace_s`. Returns when all have ended.

        `run` returns by itself then. Raises KeeperLost.
        """
        answer = self._line.ask("terminated", {"terminate": grace_s})
        try:
            await asyncio.wait_for(asyncio.shield(answer), grace_s + ANSWER_S)
        except TimeoutError:
            self._owner.kill(self)
            raise KeeperLost(f"the job's processes could not be ended within {grace_s + ANSWER_S:.0f} s") from None

    async def end(self) -> int:
        """Kill every process of the job, daemons included, until there is none; then the keeper exits.

        Returns how many were found alive. Never raises: a keeper that is gone or stuck is killed, and what it
        left is ended by the zygote. May be called twice.
        """
        if self._found is None:
            try:
                answer = self._line.ask("ended", {"end": True})
                self._found = int((await asyncio.wait_for(asyncio.shield(answer), ANSWER_S))["ended"])
            except (KeeperLost, TimeoutError):
                self._owner.kill(self)
                self._found = await self._owner.settle(self.pid)
            self._line.close()
        return self._found

    def _gone(self) -> None:
        self._owner.forget(self)


class Zygote:
    """The small process that keepers are forked from. Started once per runner; started again when it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._shelter = Group()
        self._line: _Line | None = None
        self._count = 0
        self._keepers: set[Keeper] = set()
        self._fallen: set[int] = set()
        """Keepers that may have become our own children, because their zygote died: to be waited for."""
        self._zombies: dict[int, float] = {}
        self._deaths = 0

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it. Makes the runner a child subreaper."""
        zygote.become_reaper()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a vfork, about 1 ms, once per runner
                [sys.executable, "-I", "-S", zygote.__file__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={},
                cwd="/",
                start_new_session=True,  # ctrl-C on a terminal is for the runner, which then ends its jobs in order
            )
        self._line = _Line(ours, self._died)
        self._shelter.take(self._process.pid)

    def confine(self, shelter: Group) -> None:
        """Let it, and all that comes of it, belong to this control group (`Groups.shelter`)."""
        self._shelter = shelter
        if self._process:
            shelter.take(self._process.pid)

    async def keeper(self, marker: str, group: Group | None = None) -> Keeper:
        """A keeper for one job (about 1 ms). `marker` is the value of MARKER in its steps' environment.

        Raises KeeperLost when none can be had even from a new zygote (out of processes or memory).
        """
        try:
            return await self._fork(marker, group)
        except KeeperLost:
            self._drop()
            await self.start()
            return await self._fork(marker, group)

    async def stop(self) -> None:
        """End every keeper with all its processes, then the zygote."""
        await asyncio.gather(*(keeper.end() for keeper in list(self._keepers)))
        process = self._process
        if self._line:
            self._line.close()
        if process:
            await asyncio.to_thread(_wait, process)
        self.tidy()

    async def settle(self, pid: int) -> int:
        """Wait until a keeper that was killed has left nothing. Returns how many processes were found."""
        if self._line and self._line.open and pid:
            try:
                answer = self._line.ask("settled", {"settle": pid}, pid)
                return int((await asyncio.wait_for(asyncio.shield(answer), ANSWER_S))["found"])
            except (KeeperLost, TimeoutError):
                self._drop()
        # There is no zygote: once it and the keeper are waited for, what they left has become our own children.
        found: set[int] = set()
        until = time.monotonic() + ANSWER_S
        self._fallen |= {pid} - {0}
        while ((left := self.tidy()) or self._fallen) and time.monotonic() < until:
            found |= left
            await asyncio.sleep(0.01)
        return len(found)

    def kill(self, keeper: Keeper) -> None:
        """Kill a keeper that does not answer. Its number stays its own until it is waited for, so this is safe."""
        if keeper.pid and self._line and self._line.open:
            self._line.tell({"kill": keeper.pid})
        if keeper.pid and zygote.parent(keeper.pid) == os.getpid():
            os.kill(keeper.pid, signal.SIGKILL)

    def forget(self, keeper: Keeper) -> None:
        """Its socket is closed."""
        self._keepers.discard(keeper)
        if self._deaths and keeper.pid:
            self._fallen.add(keeper.pid)
        self._tend()

    def tidy(self) -> set[int]:
        """Wait for keepers and kill strays that fell to the runner itself. Returns the strays it found alive."""
        for pid in list(self._fallen):
            if _waited(pid):
                self._fallen.discard(pid)
        keep = frozenset(keeper.pid for keeper in self._keepers)
        strays: set[int] = set()
        zombies: dict[int, float] = {}
        for pid in set(zygote.children(os.getpid())) - keep if zygote.LINUX else ():
            stat = zygote.stat_of(pid)
            if stat and stat[0] == "Z":
                # Fallen to us from somewhere below, or a child of the runner's own that is about to be waited for.
                zombies[pid] = self._zombies.get(pid, time.monotonic())
                if (self._deaths and _is_job(pid)) or time.monotonic() - zombies[pid] > ANSWER_S:
                    _waited(pid)
            elif self._deaths and _is_job(pid):
                strays |= {pid} | zygote.kill_below(pid)
                zygote.send_signal(pid, os.getpid(), signal.SIGKILL)
        self._zombies = zombies
        return strays

    async def _fork(self, marker: str, group: Group | None) -> Keeper:
        if self._line is None or not self._line.open:
            raise KeeperLost("the process that starts jobs is gone")
        self._count += 1
        ours, theirs = socket.socketpair()
        keeper = Keeper(self, ours, marker)
        with theirs:
            join = list(group.join) if group else []
            answer = self._line.ask("keeper", {"keeper": self._count, "join": join}, self._count, theirs.fileno())
        try:
            told = await asyncio.wait_for(answer, ANSWER_S)
        except TimeoutError:
            told = {"error": "it does not answer"}
        except BaseException:
            keeper._line.close()
            raise
        if "pid" not in told:
            keeper._line.close()
            raise KeeperLost(f"no process could be started for the job: {told['error']}")
        keeper.pid = told["pid"]
        self._keepers.add(keeper)
        return keeper

    def _drop(self) -> None:
        """Give up a zygote that is dead or does not answer."""
        if self._process:
            self._process.kill()
        if self._line:
            self._line.close()

    def _died(self) -> None:
        """The zygote's socket is closed: it was killed, or we stop. Its keepers are our children now."""
        process, self._process = self._process, None
        if process:
            self._deaths += 1
            self._fallen.add(process.pid)
            process.returncode = 0  # waited for by `tidy`, not by Popen
        self._tend()

    def _tend(self) -> None:
        """Tidy until what is known to be dying has died: its children are ours only then."""
        if self.tidy() or self._fallen:
            asyncio.get_running_loop().call_later(0.02, self._tend)


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Until the zygote has gone by itself; it has ten seconds for that."""
    for _ in range(int(ANSWER_S * 100)):
        if _waited(process.pid):
            return
        time.sleep(0.01)
    zygote.send_signal(process.pid, os.getpid(), signal.SIGKILL)


def _waited(pid: int) -> bool:
    """Whether that child has ended, and is waited for now or was before."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return zygote.stat_of(pid) is None or zygote.parent(pid) != os.getpid()


def _is_job(pid: int) -> bool:
    """Whether a process carries the mark of keepers and all that descends from them."""
    try:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text()) == zygote.MARK_OOM
    except (OSError, ValueError):
        return False


def end_leftovers(owner: str) -> int:
    """At the runner's start: kill processes of earlier runs, by `MARKER=OWNER:...` in their environment.

    Returns how many were found. Blocking, a few ms; other users' processes cannot be seen and are not ours.
    """
    mark = f"{MARKER}={owner}:".encode()
    found: set[int] = set()
    until = time.monotonic() + ANSWER_S
    while (left := _marked(mark)) and time.monotonic() < until:
        found |= set(left)
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid, above in left.items():
                zygote.send_signal(pid, above, number)
        time.sleep(0.01)
    return len(found)


def _marked(mark: bytes) -> dict[int, int]:
    """Living processes with that mark in their environment, to their parents."""
    found = {}
    for name in os.listdir("/proc") if zygote.LINUX else ():
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            environ = Path(f"/proc/{name}/environ").read_bytes()
        except OSError:
            continue
        stat = zygote.stat_of(int(name))
        if stat and stat[0] != "Z" and any(part.startswith(mark) for part in environ.split(b"\0")):
            found[int(name)] = stat[1]
    return found
