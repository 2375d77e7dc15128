"""Logs on their way in and out: appended by offset, read by range, followed while they grow.

Small pieces are kept inline in the database, large ones as zstd frames in the blob store; `pack` turns the inline
pieces of an ended attempt into frames.
"""

import asyncio
from collections.abc import AsyncIterator

from mainstay.engine.wake import Wake
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
OPEN_STATES = ("running", "lost")
"""States of an attempt whose log may still grow: what was given up as lost may come back."""


class Logs:
    """The logs of all attempts."""

    def __init__(self, database: Database, blobs: Blobs, wake: Wake, limit_bytes: int) -> None:
        self._database = database
        self._blobs = blobs
        self._wake = wake
        self._limit_bytes = limit_bytes

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

    async def follow(self, attempt_id: int, start: int) -> AsyncIterator[bytes]:
        """The bytes from `start` on, waiting for more until the attempt has ended."""
        with self._wake.watch(f"log:{attempt_id}") as grown:
            while True:
                stored, ended = await self.size(attempt_id)
                async for part in self.read(attempt_id, start, stored):
                    start += len(part)
                    yield part
                if ended and start >= stored:
                    return
                if start >= stored:
                    await grown.wait(30.0)

    async def _bytes_of(self, piece: Piece) -> bytes:
        if piece.data is not None:
            return piece.data
        if piece.blob is None:
            raise NotFound("a piece of this log has been removed")
        frame = await self._blobs.get(piece.blob)
        return await asyncio.to_thread(decompress, frame, piece.size)

    async def pack(self, attempt_id: int) -> None:
        """Turn the inline pieces of an ended attempt's log into frames in the blob store."""
        stored, _ = await self.size(attempt_id)
        buffer = bytearray()
        start, first, packed = 0, 0, list[Piece]()
        while start < stored:
            found = await self._database.read(logs.pieces, attempt_id, start, stored)
            if not found:
                return
            for piece in found:
                if piece.data is None:
                    packed.extend(await self._frames(first, bytes(buffer)))
                    buffer.clear()
                    packed.append(piece)
                    first = piece.start + piece.size
                else:
                    buffer += piece.data
                    while len(buffer) >= FRAME_BYTES:
                        packed.extend(await self._frames(first, bytes(buffer[:FRAME_BYTES])))
                        first += FRAME_BYTES
                        del buffer[:FRAME_BYTES]
                start = piece.start + piece.size
        packed.extend(await self._frames(first, bytes(buffer)))
        await self._database.write(logs.replace, attempt_id, 0, stored, packed)

    async def _frames(self, start: int, raw: bytes) -> list[Piece]:
        if not raw:
            return []
        frame = await asyncio.to_thread(compress, raw)
        return [Piece(start, len(raw), None, await self._blobs.put(frame))]


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
        whole = blob is not None and len(fresh) == len(raw)
        logs.append(tx, attempt_id, Piece(place.stored, len(fresh), None if whole else fresh, blob if whole else None))
    return Stored(stored=max(place.stored, offset + len(raw)))
