"""Brings one attempt to the server: log bytes in the order of their offsets, steps, tests, artifacts, at last its end.

Everything is sent from the journal, repeated until the server has answered, and harmless when repeated; so it does not
matter whether the server was away for a second or a day, or whether this process was started in between. Memory holds
at most two pieces of the log.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from mainstay.model.errors import BadInput, Conflict, MainstayError, NotFound, TooLarge
from mainstay.model.job import Annotation
from mainstay.runner.backoff import Backoff
from mainstay.runner.calls import Calls
from mainstay.runner.journal import Journal, KeptArtifact
from mainstay.runner.threads import Threads
from mainstay.runner.zstd import compress
from mainstay.wire.runner import Finish, Progress, Stored

PIECE_BYTES = 4 << 20
"""The largest piece of a log; more than the server takes at once is refused."""
PACE_S = 0.1
"""While a job prints, pieces go out this often, or at once when a lot has gathered."""
FIRST_S = 0.02
"""The first piece waits this long: a job that ends within it needs no message but that of its end."""
MUCH_BYTES = 1 << 20
COMPRESS_FROM_BYTES = 16 << 10
TAIL_BYTES = 64 << 10
"""The end of a log that goes along with the end of the attempt."""
PROGRESS_S = 0.25
GREET = 410
UNKNOWN_S = 30.0
"""How long to wait before an attempt is tried again that the server says it does not know."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of the log, ready to be sent."""

    offset: int
    end: int
    body: bytes
    encoding: str | None


class Unwanted(Exception):
    """The server does not want the attempt any more; the message is its reason."""


class Delivery:
    """The delivery of one attempt. `run` ends when all of it is stored, or nobody wants it."""

    def __init__(
        self, journal: Journal, calls: Calls, threads: Threads, ready: Callable[[], int], greet: Callable[[], None]
    ) -> None:
        """`ready`: how many bytes of the log may be sent. `greet`: the server wants to hear hello (again)."""
        self.journal = journal
        self.attempt = journal.attempt
        self._calls = calls
        self._threads = threads
        self._ready = ready
        self._greet = greet
        self._news = asyncio.Event()
        self._back = asyncio.Event()
        self._backoff = Backoff()
        self._sent = 0
        """How much of the log is stored on the server."""
        self._log_refused: str | None = None
        self._sent_at = float("-inf")
        self._prepared: Piece | None = None
        self._progress: Progress | None = None
        self._progress_at = 0.0
        self._sequence = 0
        self._artifacts: list[KeptArtifact] = []
        self._tests_done = False
        self._given_up: str | None = None
        self._remarks: list[Annotation] = []
        """What could not be delivered, told with the attempt's end."""

    def grew(self) -> None:
        """More of the log is ready, or the attempt has ended (`journal.ended`)."""
        if self._sent_at == float("-inf"):
            self._sent_at = asyncio.get_running_loop().time() + FIRST_S - PACE_S
        self._news.set()

    def retry_now(self) -> None:
        """The server is back: do not wait any longer."""
        self._back.set()

    def give_up(self, reason: str) -> None:
        """The server does not want the attempt: `run` raises Unwanted."""
        self._given_up = reason
        self._news.set()
        self._back.set()

    def tell(self, progress: Progress) -> None:
        """The steps have changed. Sent after a while, unless the attempt has ended by then."""
        if self._progress is None:
            self._progress_at = asyncio.get_running_loop().time() + PROGRESS_S
        self._sequence += 1
        self._progress = msgspec.structs.replace(progress, sequence=self._sequence)
        self._news.set()

    def add_artifact(self, kept: KeptArtifact) -> None:
        """An artifact is in the journal."""
        self._artifacts.append(kept)
        self._news.set()

    async def run(self) -> None:
        """Deliver. Raises Unwanted when the server says so; the caller stops the attempt and removes the journal."""
        while True:
            if self._given_up is not None:
                raise Unwanted(self._given_up)
            pause = self._pause()
            if pause is None or pause > 0:
                await _wait(self._news, pause)
                continue
            try:
                ended = await self._send()
                self._backoff.worked()
            except MainstayError as error:
                await _wait(self._back, self._after(error))
                continue
            if ended:
                await self._threads.run(self.journal.remove)
                return

    def _pause(self) -> float | None:
        """How long until there is something to send: 0 now, None not before there is news."""
        if self.journal.ended is not None or self._artifacts:
            return 0.0
        now = asyncio.get_running_loop().time()
        due = []
        backlog = self._ready() - self._sent
        if backlog > 0 and self._log_refused is None:
            due.append(0.0 if backlog >= MUCH_BYTES else self._sent_at + PACE_S - now)
        if self._progress is not None:
            due.append(self._progress_at - now)
        return max(0.0, min(due)) if due else None

    async def _send(self) -> bool:
        """Send what comes next; whether that was the last of all."""
        ended = self.journal.ended
        backlog = self._ready() - self._sent if self._log_refused is None else 0
        if backlog > (TAIL_BYTES if ended else 0) and (ended or backlog >= MUCH_BYTES or self._log_is_due()):
            await self._send_log()
        elif self._artifacts:
            await self._send_artifact()
        elif ended is None:
            await self._send_progress()
        elif not self._tests_done:
            await self._send_tests()
        else:
            await self._send_finish(ended.finish)
            return True
        return False

    def _log_is_due(self) -> bool:
        return asyncio.get_running_loop().time() >= self._sent_at + PACE_S

    def _after(self, error: MainstayError) -> float:
        """How long to wait after a failure, which is put right as far as it can be."""
        stored = error.details.get("stored")
        if isinstance(error, Conflict) and isinstance(stored, int):
            log.info("attempt %d: the server has %d bytes of the log, going on there", self.attempt, stored)
            moved = stored != self._sent
            self._sent, self._prepared = stored, None
            return 0.0 if moved else self._backoff.failed()
        if error.status == GREET:
            self._greet()
            return self._backoff.failed()
        if isinstance(error, NotFound):
            log.warning("attempt %d: %s; saying hello again", self.attempt, error)
            self._greet()
            return UNKNOWN_S
        if not self._backoff.failing:
            log.warning("attempt %d: not delivered yet, trying again: %s", self.attempt, error)
        return self._backoff.failed()

    async def _send_log(self) -> None:
        piece = self._prepared
        if piece is None or piece.offset != self._sent:
            piece = await self._threads.run(self._prepare, self._sent)
        self._prepared = None
        following: Awaitable[Piece] | None = None
        if self._ready() - piece.end >= PIECE_BYTES:
            following = asyncio.ensure_future(self._threads.run(self._prepare, piece.end))
        self._sent_at = asyncio.get_running_loop().time()
        try:
            stored = _wanted(
                await self._threads.run(self._calls.log, self.attempt, piece.offset, piece.body, piece.encoding)
            )
            self._sent = stored.stored
        except (BadInput, TooLarge) as error:
            self._log_refused = f"the server took {self._sent:,} bytes of the log and refused the rest: {error}"
            log.warning("attempt %d: %s", self.attempt, self._log_refused)
        finally:
            if following is not None:
                self._prepared = await following

    def _prepare(self, offset: int) -> Piece:
        """Read and compress a piece (in a thread)."""
        size = min(PIECE_BYTES, self._ready() - offset)
        raw = self.journal.log.read(offset, size)
        if len(raw) < COMPRESS_FROM_BYTES:
            return Piece(offset, offset + len(raw), raw, None)
        return Piece(offset, offset + len(raw), compress(raw, 1), "zstd")

    async def _send_progress(self) -> None:
        progress, self._progress = self._progress, None
        if progress is None:
            return
        try:
            _wanted(await self._threads.run(self._calls.progress, self.attempt, progress))
        except BadInput as error:
            log.warning("attempt %d: its progress was refused: %s", self.attempt, error)
        except MainstayError:
            if self._progress is None:  # else there is a newer one
                self._progress = progress
            raise

    async def _send_artifact(self) -> None:
        kept = self._artifacts[0]
        try:
            _wanted(await self._threads.run(self._calls.artifact, self.attempt, kept.artifact, kept.path))
        except (BadInput, TooLarge, OSError) as error:
            self._remark(f"the artifact {kept.artifact.name} was not stored: {error}")
        self._artifacts.pop(0)

    async def _send_tests(self) -> None:
        if not self.journal.tests.exists():  # most jobs test nothing: a look is quicker than a thread
            self._tests_done = True
            return
        content = await self._threads.run(self.journal.tests.read_bytes)
        packed = len(content) >= COMPRESS_FROM_BYTES
        body = await self._threads.run(compress, content, 1) if packed else content
        try:
            _wanted(await self._threads.run(self._calls.tests, self.attempt, body, "zstd" if packed else None))
        except (BadInput, TooLarge) as error:
            self._remark(f"the test results were not stored: {error}")
        self._tests_done = True

    async def _send_finish(self, finish: Finish) -> None:
        tail = b""
        if self._log_refused is None and finish.log_bytes > self._sent:
            tail = self.journal.log.read(self._sent, min(finish.log_bytes - self._sent, TAIL_BYTES))
        whole = self._sent + len(tail)
        notice = self._log_refused or finish.log_notice
        if whole < finish.log_bytes and self._log_refused is None and self._ready() <= whole:
            notice = f"{finish.log_bytes - whole:,} bytes at its end were lost when the runner's machine went down"
        message = msgspec.structs.replace(
            finish,
            log_offset=self._sent,
            log_tail=tail,
            log_bytes=min(whole, finish.log_bytes),
            log_notice=notice,
            annotations=(*finish.annotations, *self._remarks),
        )
        try:
            _wanted(await self._threads.run(self._calls.finish, self.attempt, message))
        except (BadInput, TooLarge) as error:
            await self._send_bare_finish(message, error)

    async def _send_bare_finish(self, message: Finish, error: MainstayError) -> None:
        """The server does not take the end as it is: its state and log are what must not be lost."""
        why = f"(steps, outputs and annotations were refused by the server: {error})"
        log.warning("attempt %d: its end was refused, sending the bare state: %s", self.attempt, error)
        bare = Finish(
            state=message.state,
            started_at=message.started_at,
            finished_at=message.finished_at,
            log_bytes=message.log_bytes,
            exit_code=message.exit_code,
            reason=f"{message.reason or ''} {why}".strip(),
            commit=message.commit,
            log_offset=message.log_offset,
            log_tail=message.log_tail,
        )
        try:
            _wanted(await self._threads.run(self._calls.finish, self.attempt, bare))
        except (BadInput, TooLarge) as again:
            raise Unwanted(f"the server refused its end twice: {again}") from again

    def _remark(self, text: str) -> None:
        log.warning("attempt %d: %s", self.attempt, text)
        self._remarks.append(Annotation("warning", text))


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    """Until the event or for so long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    event.clear()


def _wanted(stored: Stored) -> Stored:
    """The answer, if the attempt is still wanted."""
    if not stored.accepted:
        raise Unwanted(stored.reason or "the server does not want it any more")
    return stored
