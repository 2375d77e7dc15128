"""One connection to the web server: uvicorn's, with bounds for what uvicorn takes without end.

A head (request line and headers) must come whole within some seconds and be of a bounded size: else whoever can reach
the port holds connections open for nothing until no more can be opened, or fills the memory with one header.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S = 20.0
HEAD_BYTES = 64 << 10
REFUSED = {
    408: b"HTTP/1.1 408 Request Timeout\r\n",
    431: b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
}


class Connection(HttpToolsProtocol):
    """Counts what comes of a head, and how long it takes."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._head_bytes = 0
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head is awaited from now on."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Refuse a head that is too large as soon as that is known."""
        super().data_received(data)
        if self._patience is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(431)

    def on_message_begin(self) -> None:
        """A head begins, of a later request on this connection too."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """It has come whole."""
        self._head_came()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head_came()
        self._patience = self.loop.call_later(HEAD_S, self._refuse, 408)

    def _head_came(self) -> None:
        self._head_bytes = 0
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _refuse(self, status: int) -> None:
        begun = self._head_bytes > 0
        self._head_came()
        # Not into the answer to an earlier request; and whoever opened a connection only for later is told nothing.
        if begun and getattr(self.cycle, "response_complete", True):
            self.transport.write(REFUSED[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()
