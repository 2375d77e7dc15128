"""What a push asks for and what became of it, read along while git's own programs speak with each other.

The refs before and after do not tell: somebody else may have pushed to the same ref in between, and then a commit that
was accepted is nowhere to be seen any more. Source: git's Documentation/gitprotocol-pack.txt ("Pushing Data To a
Server", "Report Status") and gitprotocol-common.txt ("pkt-line Format").
"""

from collections.abc import AsyncIterator

from mainstay.git.names import is_sha
from mainstay.model.repository import RefMove

LIMIT_BYTES = 16 * 1024 * 1024
"""A push whose commands or report are longer is not read along."""
_DATA = 1
"""The band of a sideband that carries the report; the others are for people."""


class Exchange:
    """One push. Feed it both directions; then `moves` tells."""

    def __init__(self) -> None:
        self._commands = _Packets()
        self._answer = _Packets()
        self._report = _Packets()
        self._asked: dict[str, RefMove] = {}
        self._accepted: list[str] = []
        self._banded = False
        self._reported = False

    async def reading(self, request: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The request, read along."""
        async for data in request:
            for line in self._commands.feed(data):
                self._command(line)
            yield data

    def answered(self, data: bytes) -> None:
        """Some of the answer."""
        for line in self._answer.feed(data, flushes=not self._banded):
            if not self._banded:
                self._said(line)
            elif line[:1] == bytes([_DATA]):
                for inner in self._report.feed(line[1:]):
                    self._said(inner)

    def moves(self) -> list[RefMove] | None:
        """The refs that it moved, in the order in which they were asked for; None: it cannot be told."""
        if not self._reported or self._commands.lost or self._answer.lost or self._report.lost:
            return None
        return [self._asked[ref] for ref in self._accepted if ref in self._asked]

    def _command(self, line: bytes) -> None:
        told, _, capabilities = line.partition(b"\0")
        if not self._asked:
            self._banded = b"side-band" in capabilities
        parts = told.rstrip(b"\n").decode("utf-8", "surrogateescape").split(" ", 2)
        if len(parts) == 3 and is_sha(parts[0]) and is_sha(parts[1]):
            old, new, ref = parts
            self._asked[ref] = RefMove(ref, _there(old), _there(new))

    def _said(self, line: bytes) -> None:
        text = line.rstrip(b"\n").decode("utf-8", "surrogateescape")
        self._reported = self._reported or text.startswith("unpack ")
        if text.startswith("ok "):
            self._accepted.append(text[3:])


class _Packets:
    """Cuts a stream into pkt-lines, up to the first flush packet."""

    def __init__(self) -> None:
        self._held = b""
        self._read = 0
        self._over = False
        self.lost = False
        """It was too long, or no pkt-lines."""

    def feed(self, data: bytes, *, flushes: bool = True) -> list[bytes]:
        """The lines that are whole with this. `flushes`: the first flush packet ends them."""
        if self._over or self.lost:
            return []
        self._read += len(data)
        self._held += data
        lines = []
        while len(self._held) >= 4 and not self._over:
            try:
                size = int(self._held[:4], 16)
            except ValueError:
                self.lost = True
                return []
            if size < 4:
                self._held = self._held[4:]
                self._over = flushes and size == 0
                continue
            if len(self._held) < size:
                break
            lines.append(self._held[4:size])
            self._held = self._held[size:]
        if self._over:
            self._held = b""
        elif self._read > LIMIT_BYTES:
            self.lost, self._held = True, b""
        return lines


def _there(sha: str) -> str | None:
    return None if set(sha) == {"0"} else sha
