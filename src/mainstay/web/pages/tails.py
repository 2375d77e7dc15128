"""The tail of a log that grows: its lines as pieces of HTML in server-sent events, until the attempt has ended."""

from collections.abc import AsyncIterator

from starlette.requests import Request

from mainstay.web import logs, streams
from mainstay.web.access import still_seen
from mainstay.web.options import site_of
from mainstay.web.pages import ansi
from mainstay.web.pages.ansi import LogLine
from mainstay.web.pages.rendering import environment
from mainstay.web.pages.screens import Fold, some_before
from mainstay.web.pages.words import Words

TAIL_BYTES = 64 << 10
BEHIND_BYTES = 1 << 20
"""A reader that is further behind than this is taken to the end."""


class Tail:
    """What one reader was sent of one log."""

    def __init__(self, request: Request, attempt_id: int, words: Words) -> None:
        self._request = request
        self._site = site_of(request)
        self._attempt = attempt_id
        self._words = words
        self._look = ansi.Look()
        self._inside = False
        """Within a line of which enough was shown."""
        self._unended = b""
        """The last line, as far as it was printed."""

    async def events(self, start: int) -> AsyncIterator[bytes]:
        """`lines` with HTML to be added, `unended` with the last line so far, `skipped`, at last `ended`."""
        yield streams.OPENING
        site, attempt = self._site, self._attempt
        number = await self._number(start)
        with site.streams.watch(site.engine.wake, f"log:{attempt}", f"attempt:{attempt}") as grown:
            while site.streams.going():
                size, ended = await site.engine.log_size(attempt)
                if not await still_seen(self._request):
                    return
                if size - start > BEHIND_BYTES:
                    start = await some_before(site, attempt, size - TAIL_BYTES, start)
                    number, self._inside = await self._number(start), False
                    yield streams.message("skipped", {"to": start}, str(start))
                data = await logs.read(site, attempt, start, min(size, start + TAIL_BYTES))
                taken = self._taken(data, whole=ended and start + len(data) >= size)
                if taken:
                    html = self._html(data[:taken], start, number)
                    start += taken
                    number = None if number is None else number + data.count(b"\n", 0, taken)
                    yield streams.message("lines", {"html": html, "end": start}, str(start))
                    continue
                if ended:
                    yield streams.message("ended", {"size": size})
                    return
                if data and data != self._unended and not self._inside:
                    self._unended = data
                    yield streams.message("unended", {"html": self._drawn([*ansi.lines(data, start, number)])})
                if not await grown.wait(streams.BEAT_S):
                    yield streams.BEAT

    async def _number(self, start: int) -> int | None:
        breaks = await self._site.engine.logs.breaks_before(self._attempt, start)
        return None if breaks is None else breaks + 1

    def _taken(self, data: bytes, *, whole: bool) -> int:
        """How much of the bytes can be sent: whole lines, or all of it when no more comes or it is much."""
        return len(data) if whole or (len(data) >= TAIL_BYTES and b"\n" not in data) else data.rfind(b"\n") + 1

    def _html(self, data: bytes, start: int, number: int | None) -> str:
        """The lines as HTML. Of a line without an end only the first part is shown."""
        rest = data.find(b"\n") + 1 or len(data) if self._inside else 0
        first = number if number is None or not rest else number + 1
        html = self._drawn([*ansi.lines(data[rest:], start + rest, first, self._look)])
        self._inside = not data.endswith(b"\n")
        self._unended = b""
        return html

    def _drawn(self, found: list[LogLine]) -> str:
        template = environment().get_template("lines.html")
        return template.render(folds=[Fold(None, tuple(found))], t=self._words)
