"""What jobs print, moved from their pipes into files by one thread, without ever slowing a job or growing memory.

Bytes go from pipe to file inside the kernel (`splice`). Nobody looks at them here: `reading.py` does, in the file.
"""

import array
import asyncio
import errno
import fcntl
import logging
import os
import select
import termios
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PIPE_BYTES = 1 << 20
SLICE_BYTES = 1 << 20
"""At most this much of one job before the others have their turn."""
SMALL_BYTES = 64 << 10
PAUSE_S = 0.002
"""Short writes that come thick are left to gather in the pipe this long: a wake-up for each would slow the job."""

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Tap:
    """One job's output: the pipe it prints into and the file its bytes end in."""

    write_fd: int
    """To be handed to steps. Closed by `close`."""
    read_fd: int
    log_fd: int
    limit_bytes: int
    grown: Callable[[], None]
    """Called in the event loop when bytes have come, some time after they came."""
    loop: asyncio.AbstractEventLoop
    kept_bytes: int = 0
    """How much the file holds."""
    seen_bytes: int = 0
    """How much was printed, kept or not."""
    problem: str | None = None
    """Why bytes could not be kept, in words: the disk is full."""
    told: bool = False
    ended: bool = False
    busy: bool = False
    """Whether the thread is at it: bytes may have left the pipe that are not counted yet."""
    asked: deque[tuple[str, bytes, "asyncio.Future[None]"]] = field(default_factory=deque)


class Capture:
    """The thread that serves all taps. Started with the first one."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._taps: dict[int, Tap] = {}
        self._asking: deque[Tap] = deque()
        self._thread: threading.Thread | None = None
        self._dense = 0
        self._stopping = False

    def open(self, log_fd: int, limit_bytes: int, grown: Callable[[], None], name: Path | None = None) -> Tap:
        """A new tap that writes to `log_fd` from its present position on (not opened for appending).

        `name`: a path at which others than children of ours can open its pipe, made here.
        """
        if name is None:
            read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(read_fd, False)
        else:
            name.unlink(missing_ok=True)
            os.mkfifo(name, 0o600)
            read_fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            write_fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            log.debug("the system grants no larger pipe; a job that prints very fast may wait for the disk")
        tap = Tap(write_fd, read_fd, log_fd, limit_bytes, grown, asyncio.get_running_loop())
        self._taps[read_fd] = tap
        self._epoll.register(read_fd, select.EPOLLIN)
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="mainstay-capture", daemon=True)
            self._thread.start()
        return tap

    async def drain(self, tap: Tap) -> None:
        """Return when everything that had been printed before this call is in the file (or counted).

        Most often that is so already, which is seen here: to ask the thread takes two changes of threads.
        """
        if not tap.busy and not tap.asked and (tap.ended or (_waiting(tap) == 0 and not tap.busy)):
            return  # in this order: what is no longer in the pipe was taken by a thread that had said so before
        await self._ask(tap, "drain", b"")

    async def write(self, tap: Tap, text: bytes) -> None:
        """Put the runner's own words into the log, behind what had been printed before this call."""
        await self._ask(tap, "write", text)

    async def close(self, tap: Tap) -> None:
        """Take what is left in the pipe and close it; whoever still prints into it hears that nobody listens."""
        if not tap.ended:
            await self._ask(tap, "close", b"")
            os.close(tap.write_fd)

    def stop(self) -> None:
        """End the thread. Open taps are forgotten."""
        if self._thread is not None:
            self._stopping = True
            os.eventfd_write(self._bell, 1)
            self._thread.join(5.0)
            self._thread = None

    async def _ask(self, tap: Tap, what: str, text: bytes) -> None:
        answer: asyncio.Future[None] = tap.loop.create_future()
        tap.asked.append((what, text, answer))
        self._asking.append(tap)
        os.eventfd_write(self._bell, 1)
        await answer

    # From here on everything runs in the thread.

    def _serve(self) -> None:
        before = 0.0
        while True:
            moved = 0
            for fd, _ in self._epoll.poll():
                if fd == self._bell:
                    if not self._answer_all():
                        return
                elif (tap := self._taps.get(fd)) is not None:
                    tap.busy = True
                    try:
                        moved = max(moved, self._move(tap, SLICE_BYTES))
                    finally:
                        tap.busy = False
            now = time.monotonic()
            self._dense = self._dense + 1 if moved and now - before < 2 * PAUSE_S else 0
            before = now
            if moved < SMALL_BYTES and self._dense > 3:
                time.sleep(PAUSE_S)

    def _answer_all(self) -> bool:
        os.eventfd_read(self._bell)
        if self._stopping:
            return False
        while self._asking:
            tap = self._asking.popleft()
            tap.busy = True
            what, text, answer = tap.asked.popleft()
            try:
                self._answer(tap, what, text)
            except Exception:
                log.exception("taking a job's output failed")
                tap.problem = tap.problem or "its output could not be read; see the runner's log"
            finally:
                tap.busy = False
            tap.loop.call_soon_threadsafe(_set, answer)
        return True

    def _answer(self, tap: Tap, what: str, text: bytes) -> None:
        if tap.ended:
            return
        left = _waiting(tap)
        while left > 0 and (moved := self._move(tap, min(left, SLICE_BYTES))):
            left -= moved
        if what == "write":
            self._put(tap, text)
        elif what == "close":
            tap.ended = True
            self._epoll.unregister(tap.read_fd)
            del self._taps[tap.read_fd]
            os.close(tap.read_fd)

    def _move(self, tap: Tap, most: int) -> int:
        """Move up to `most` bytes on; 0: there are none now."""
        room = tap.limit_bytes - tap.kept_bytes
        keep = room > 0 and tap.problem is None
        try:
            moved = os.splice(tap.read_fd, tap.log_fd if keep else self._null, min(most, room) if keep else most)
        except BlockingIOError:
            return 0
        except OSError as error:
            if not keep:
                raise
            return self._copy(tap, min(most, room)) if error.errno == errno.EINVAL else self._fail(tap, error)
        tap.seen_bytes += moved
        if keep:
            tap.kept_bytes += moved
        self._tell(tap)
        return moved

    def _copy(self, tap: Tap, most: int) -> int:
        """For file systems that know no splice."""
        data = os.read(tap.read_fd, min(most, SMALL_BYTES))
        tap.seen_bytes += len(data)
        self._put(tap, data, seen=True)
        return len(data)

    def _put(self, tap: Tap, data: bytes, *, seen: bool = False) -> None:
        if not seen:
            tap.seen_bytes += len(data)
        data = data[: max(0, tap.limit_bytes - tap.kept_bytes)] if tap.problem is None else b""
        try:
            while data:
                written = os.write(tap.log_fd, data)
                tap.kept_bytes += written
                data = data[written:]
        except OSError as error:
            self._fail(tap, error)
        self._tell(tap)

    def _fail(self, tap: Tap, error: OSError) -> int:
        tap.problem = f"{(error.strerror or str(error)).lower()} while writing its log"
        log.warning("a job's output is not kept any more: %s", tap.problem)
        self._tell(tap)
        return 1  # something may be left: the next round throws it away

    @staticmethod
    def _tell(tap: Tap) -> None:
        if not tap.told:
            tap.told = True
            tap.loop.call_soon_threadsafe(_grown, tap)


def _waiting(tap: Tap) -> int:
    """How many bytes are in its pipe."""
    waiting = array.array("i", [0])
    fcntl.ioctl(tap.read_fd, termios.FIONREAD, waiting)
    return waiting[0]


def _grown(tap: Tap) -> None:
    tap.told = False
    tap.grown()


def _set(answer: "asyncio.Future[None]") -> None:
    if not answer.done():
        answer.set_result(None)
