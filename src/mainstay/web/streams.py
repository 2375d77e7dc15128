"""Answers that stay open: server-sent events and followed logs. They end when the server stops."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import msgspec
from starlette.responses import StreamingResponse

from mainstay.engine.wake import Wake, Watch

BEAT_S = 15.0
"""At least this often something is sent, so that proxies keep the connection and a vanished reader is noticed."""


class Streams:
    """All open streams of this process. uvicorn waits for open answers before it stops, so they must be told to end."""

    def __init__(self) -> None:
        self._watches: set[Watch] = set()
        self._closing = False

    @contextmanager
    def watch(self, wake: Wake, *topics: str) -> Iterator[Watch]:
        """Watch topics for a stream; `close` wakes it too."""
        with wake.watch(*topics) as watch:
            self._watches.add(watch)
            try:
                yield watch
            finally:
                self._watches.discard(watch)

    def going(self) -> bool:
        """Whether streams may go on: the server has not been asked to stop."""
        return not self._closing

    def close(self) -> None:
        """Let every stream end now. Call it when the server is asked to stop."""
        self._closing = True
        for watch in tuple(self._watches):
            watch.fire()

    @property
    def size(self) -> int:
        """How many are open."""
        return len(self._watches)


def message(event: str | None, data: object, place: str | None = None) -> bytes:
    """One server-sent event with JSON data (which never holds a line break). `place`: where to go on after it."""
    lines = []
    if place is not None:
        lines.append(f"id: {place}")
    if event is not None:
        lines.append(f"event: {event}")
    lines.append("data: " + msgspec.json.encode(data).decode())
    return ("\n".join(lines) + "\n\n").encode()


BEAT = b": still here\n\n"
OPENING = b"retry: 2000\n\n"


def events(source: AsyncIterator[bytes]) -> StreamingResponse:
    """An answer of server-sent events. Proxies are asked not to hold it back."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(source, media_type="text/event-stream", headers=headers)
