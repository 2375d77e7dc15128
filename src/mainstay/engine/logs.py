"""Logs on their way in and out: appended by offset, read by range.

Small pieces are kept inline in the database, large ones as zstd frames in the blob store; `pack` turns the inline
pieces of an ended attempt into frames.
"""

import asyncio
from collections.abc import AsyncIterator

from mainstay.model.errors import BadInput, Conflict, NotFound, TooLarge
from mainstay.store import logs
from mainstay.store.blobs import Blobs
from mainstay.store.database import Database, Tx
from mainstay.store.logs import Piece
from mainstay.store.zstd import compress, decompress
from mainstay.wire.runner import Stored

INLINE_BYTES = 32 * 1024
"""Pieces up to this size stay in the database until the attempt has ended."""
PIECE_BYTES = 4 * 1024 * 1024
"""The largest piece a runner may send, decompressed."""
FRAME_BYTES = 1024 * 1024
"""Size of the frames that packing makes: what has to be unpacked to read one byte."""
KEPT_FRAMES, KEPT_S = 2, 2.0
"""Frames that were unpacked are kept for so long: a page asks for the same one when it looks for where its line
begins, for where it ends, for the lines before it, and for what it shows."""
UNCOUNTED_BYTES = 2 * 1024 * 1024
"""Lines of a log that was stored by a version which did not count them are counted up to here."""
OPEN_STATES = ("running", "lost")
"""States of an attempt whose log may still grow: what was given up as lost may come back."""


class Logs:
    """The logs of all attempts."""

    def __init__(self, database: Database, blobs: Blobs, limit_bytes: int) -> None:
        self._database = database
        self._blobs = blobs
        self._limit_bytes = limit_bytes
        self._unpacked: dict[str, bytes] = {}
        """The frames unpacked last, by their digests, oldest first."""
        self._forgetting: asyncio.TimerHandle | None = None

    async def append(self, runner_id: int, attempt_id: int, offset: int, body: bytes, encoding: str | None) -> Stored:
        """Store the bytes of a log from `offset` on. Bytes that are stored already are passed over."""
        raw = await _decoded(body, encoding)
        if not raw:
            raise BadInput("an empty piece of a log")
        if offset + len(raw) > self._limit_bytes:
            raise TooLarge(f"the log would have {offset + len(raw)} bytes; the limit is {self._limit_bytes}")
        blob = None
        if len(raw) > INLINE_BYTES:
            place = await self._database.read(logs.place, attempt_id)
            if place is not None and place.stored == offset:  # else it is a repeat, or will be refused
                frame = body if encoding == "zstd" else await asyncio.to_thread(compress, raw)
                blob = await self._blobs.put(frame)
        return await self._database.write(_append, runner_id, attempt_id, offset, raw, blob)

    async def size(self, attempt_id: int) -> tuple[int, bool]:
        """How many bytes are stored, and whether no more will come."""
        place = await self._database.read(logs.place, attempt_id)
        if place is None:
            raise NotFound(f"there is no attempt with the id {attempt_id}")
        return place.stored, place.state not in ("queued", "running")

    async def read(self, attempt_id: int, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end` (or to where the log ends), in pieces of any size."""
        while start < end:
            found = await self._database.read(logs.pieces, attempt_id, start, end)
            if not found:
                return
            for piece in found:
                data = await self._bytes_of(piece)
                part = data[max(0, start - piece.start) : end - piece.start]
                if part:
                    yield part
                start = piece.start + piece.size
                if start >= end:
                    return

    async def _bytes_of(self, piece: Piece) -> bytes:
        if piece.data is not None:
            return piece.data
        if piece.blob is None:
            raise NotFound("a piece of this log has been removed")
        if (kept := self._unpacked.get(piece.blob)) is not None:
            return kept
        frame = await self._blobs.get(piece.blob)
        data = await asyncio.to_thread(decompress, frame, piece.size)
        self._keep(piece.blob, data)
        return data

    def _keep(self, digest: str, data: bytes) -> None:
        """Remember a frame for a moment: whoever reads a whole log leaves nothing behind."""
        self._unpacked[digest] = data
        while len(self._unpacked) > KEPT_FRAMES:
            del self._unpacked[next(iter(self._unpacked))]
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._forgetting = asyncio.get_running_loop().call_later(KEPT_S, self._unpacked.clear)

    async def breaks_before(self, attempt_id: int, offset: int) -> int | None:
        """How many line breaks stand before a byte; None in the depth of a log that was not counted."""
        start, breaks = await self._database.read(logs.piece_holding, attempt_id, offset)
        if breaks is None:
            if offset > UNCOUNTED_BYTES:
                return None
            start, breaks = 0, 0
        return breaks + sum([part.count(b"\n") async for part in self.read(attempt_id, start, offset)])

    async def line_start(self, attempt_id: int, line: int) -> int | None:
        """Where a line begins (from 1); None: there is no such line (yet), or it is too deep in an uncounted log."""
        if line <= 1:
            return 0
        stored, _ = await self.size(attempt_id)
        found = await self._database.read(logs.piece_breaking, attempt_id, line - 2)
        place, breaks = found or (0, 0)
        end = stored if found else min(stored, UNCOUNTED_BYTES)
        missing = line - 1 - breaks
        async for part in self.read(attempt_id, place, end):
            count = part.count(b"\n")
            if count >= missing:
                return place + _after_break(part, missing)
            missing -= count
            place += len(part)
        return None

    async def line_end(self, attempt_id: int, offset: int, end: int) -> int:
        """Where the line of a byte ends, with its line break; `end` when it is not over before.

        The pieces tell: of a line of 1 GB only its last piece is read.
        """
        breaks = await self.breaks_before(attempt_id, offset)
        found = None if breaks is None else await self._database.read(logs.piece_breaking, attempt_id, breaks)
        place = max(offset, found[0]) if found else offset
        limit = end if found else min(end, offset + UNCOUNTED_BYTES)
        async for part in self.read(attempt_id, place, limit):
            at = part.find(b"\n")
            if at >= 0:
                return place + at + 1
            place += len(part)
        return end

    async def pack(self, attempt_id: int) -> None:
        """Turn the inline pieces of an ended attempt's log into frames in the blob store."""
        stored, _ = await self.size(attempt_id)
        buffer = bytearray()
        start, packed = 0, list[Piece]()
        first: tuple[int, int | None] = (0, 0)
        while start < stored:
            found = await self._database.read(logs.pieces, attempt_id, start, stored)
            if not found:
                return
            for piece in found:
                if piece.data is None:
                    packed.extend(await self._frames(first, bytes(buffer)))
                    buffer.clear()
                    packed.append(piece)
                else:
                    first = first if buffer else (piece.start, piece.breaks)
                    buffer += piece.data
                    whole = len(buffer) - len(buffer) % FRAME_BYTES
                    frames = await self._frames(first, bytes(buffer[:whole]))
                    packed.extend(frames)
                    if frames:
                        first = _follows(frames[-1], buffer[whole - FRAME_BYTES : whole])
                        del buffer[:whole]
                start = piece.start + piece.size
        packed.extend(await self._frames(first, bytes(buffer)))
        await self._database.write(logs.replace, attempt_id, 0, stored, packed)

    async def _frames(self, first: tuple[int, int | None], raw: bytes) -> list[Piece]:
        """The bytes as frames; `first`: where they begin, and the line breaks before them."""
        found = []
        for place in range(0, len(raw), FRAME_BYTES):
            part = raw[place : place + FRAME_BYTES]
            frame = await asyncio.to_thread(compress, part)
            found.append(Piece(first[0], len(part), None, await self._blobs.put(frame), first[1]))
            first = _follows(found[-1], part)
        return found


def _follows(piece: Piece, raw: bytes | bytearray) -> tuple[int, int | None]:
    """Where the next piece begins, and the line breaks before it."""
    return piece.start + piece.size, None if piece.breaks is None else piece.breaks + raw.count(b"\n")


def _after_break(data: bytes, count: int) -> int:
    """The place after so many line breaks, which are there."""
    place = 0
    for _ in range(count):
        place = data.index(b"\n", place) + 1
    return place


async def _decoded(body: bytes, encoding: str | None) -> bytes:
    if encoding in (None, "", "identity"):
        raw = body
    elif encoding == "zstd":
        raw = (
            await asyncio.to_thread(decompress, body, PIECE_BYTES)
            if len(body) > 4096
            else decompress(body, PIECE_BYTES)
        )
    else:
        raise BadInput(f"the encoding {encoding[:40]!r} is not known here; send zstd or none")
    if len(raw) > PIECE_BYTES:
        raise TooLarge(f"a piece of a log has {len(raw)} bytes; at most {PIECE_BYTES} are taken at once")
    return raw


def _append(tx: Tx, runner_id: int, attempt_id: int, offset: int, raw: bytes, blob: str | None) -> Stored:
    place = logs.place(tx, attempt_id)
    if place is None or place.runner_id != runner_id:
        raise NotFound(f"this runner holds no attempt {attempt_id}")
    if place.state not in OPEN_STATES:
        return Stored(stored=place.stored, accepted=False, reason=f"the attempt is {place.state}")
    if offset > place.stored:
        raise Conflict(f"the log is stored up to byte {place.stored}, not {offset}", stored=place.stored)
    fresh = raw[place.stored - offset :]
    if fresh:
        logs.append(tx, place, fresh, blob if len(fresh) == len(raw) else None)
    return Stored(stored=max(place.stored, offset + len(raw)))
