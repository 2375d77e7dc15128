"""Logs on their way in and out: by offset, in any pieces, read by range, packed."""

from pathlib import Path

import pytest

from mainstay.engine.logs import FRAME_BYTES, INLINE_BYTES, KEPT_FRAMES, Logs
from mainstay.model.errors import BadInput, Conflict, NotFound, TooLarge
from mainstay.store import logs as log_store
from mainstay.store.blobs import open_blobs
from mainstay.store.database import Database
from mainstay.store.zstd import compress, decompress
from tests.engine.road import Road, road
from tests.git.waiting import until

pytestmark = pytest.mark.anyio

LIMIT = 64 * 1024 * 1024


def all_logs(database: Database, folder: Path, limit: int = LIMIT) -> Logs:
    return Logs(database, open_blobs(str(folder / "blobs")), limit)


async def running(here: Road) -> tuple[int, int]:
    """A runner and the attempt it runs."""
    runner = await here.hello()
    await here.build(await here.repository())
    return runner, (await here.given(runner)).attempt


async def whole(logs: Logs, attempt: int, start: int = 0, end: int = LIMIT) -> bytes:
    return b"".join([part async for part in logs.read(attempt, start, end)])


async def test_bytes_come_back_as_they_were_sent_in_whatever_pieces(database: Database, tmp_path: Path) -> None:
    async with road(database) as here:
        logs = all_logs(database, tmp_path)
        runner, attempt = await running(here)
        sent = b""
        for size in (1, 10, INLINE_BYTES, INLINE_BYTES + 1, 3 * FRAME_BYTES + 7, 5):
            piece = bytes((len(sent) + n * 7) % 256 for n in range(size))
            packed = size > 100
            body = compress(piece) if packed else piece
            stored = await logs.append(runner, attempt, len(sent), body, "zstd" if packed else None)
            sent += piece
            assert stored.stored == len(sent)
        assert await whole(logs, attempt) == sent
        middle = len(sent) // 2
        assert await whole(logs, attempt, middle - 3, middle + 9) == sent[middle - 3 : middle + 9]
        await here.finish(runner, attempt, "passed", log_offset=len(sent), log_bytes=len(sent))
        await logs.pack(attempt)
        assert await whole(logs, attempt) == sent
        pieces = await database.read(log_store.pieces, attempt, 0, len(sent))
        assert all(piece.data is None for piece in pieces), "nothing is left inline"


async def test_a_frame_is_unpacked_once_for_all_that_a_page_asks_of_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked: list[int] = []

    def counted(data: bytes, max_bytes: int) -> bytes:
        unpacked.append(max_bytes)
        return decompress(data, max_bytes)

    monkeypatch.setattr("mainstay.engine.logs.decompress", counted)
    async with road(database) as here:
        logs = all_logs(database, tmp_path)
        runner, attempt = await running(here)
        pieces = [b"".join(b"%d %d\n" % (part, n) for n in range(9000)) for part in range(5)]
        sent = b"".join(pieces)
        for number, piece in enumerate(pieces):
            await logs.append(runner, attempt, len(b"".join(pieces[:number])), compress(piece), "zstd")
        unpacked.clear()
        start = await logs.line_start(attempt, 9000 * 2 + 5001)
        assert start is not None
        assert await logs.line_end(attempt, start, len(sent)) == start + len(b"2 5000\n")
        assert await logs.breaks_before(attempt, start) == 9000 * 2 + 5000
        assert await whole(logs, attempt, start, start + 20) == sent[start : start + 20]
        assert len(unpacked) == 1
        assert await whole(logs, attempt) == sent
        assert len(logs._unpacked) == KEPT_FRAMES
        monkeypatch.setattr("mainstay.engine.logs.KEPT_S", 0.0)
        assert await whole(logs, attempt, 0, 10) == sent[:10]
        await until(lambda: not logs._unpacked)
        assert await whole(logs, attempt) == sent


async def test_any_line_is_found_by_its_number(database: Database, tmp_path: Path) -> None:
    lines = [b"x" * (n * 37 % 90) + b"\n" for n in range(2000)]
    lines[700] = b"y" * 3 * FRAME_BYTES + b"\n"  # longer than frames: no piece within it has a line break
    printed = b"".join(lines)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    async with road(database) as here:
        logs = all_logs(database, tmp_path)
        runner, attempt = await running(here)
        place = 0
        for size in (1, 2000, INLINE_BYTES + 1, FRAME_BYTES, FRAME_BYTES, len(printed)):
            piece = printed[place : place + size]
            await logs.append(runner, attempt, place, piece, None)
            place += len(piece)
        for packed in (False, True):
            for number in (1, 2, 3, 500, 700, 701, 702, 1500, 2000, 2001):
                at = starts[number - 1]
                assert await logs.line_start(attempt, number) == at
                assert await logs.breaks_before(attempt, at) == number - 1
            assert await logs.line_start(attempt, 2002) is None
            assert await logs.line_end(attempt, starts[700] + 5, len(printed)) == starts[701]
            assert await logs.line_end(attempt, starts[3], len(printed)) == starts[4]
            if not packed:
                await here.finish(runner, attempt, "passed", log_offset=len(printed), log_bytes=len(printed))
                await logs.pack(attempt)


async def test_repeats_and_overlaps_are_stored_once_and_gaps_are_refused(database: Database, tmp_path: Path) -> None:
    async with road(database) as here:
        logs = all_logs(database, tmp_path)
        runner, attempt = await running(here)
        for _ in range(2):
            assert (await logs.append(runner, attempt, 0, b"abcdef", None)).stored == 6
        assert (await logs.append(runner, attempt, 3, b"defghi", None)).stored == 9
        with pytest.raises(Conflict) as refused:
            await logs.append(runner, attempt, 20, b"x", None)
        assert refused.value.details == {"stored": 9}
        assert await whole(logs, attempt) == b"abcdefghi"


async def test_what_makes_no_sense_is_refused_in_words(database: Database, tmp_path: Path) -> None:
    async with road(database) as here:
        logs = all_logs(database, tmp_path, limit=100)
        runner, attempt = await running(here)
        with pytest.raises(TooLarge):
            await logs.append(runner, attempt, 50, b"x" * 60, None)
        with pytest.raises(TooLarge):
            await logs.append(runner, attempt, 0, compress(b"x" * 50_000_000), "zstd")
        for body, encoding in ((b"", None), (b"no zstd", "zstd"), (b"x", "gzip")):
            with pytest.raises(BadInput):
                await logs.append(runner, attempt, 0, body, encoding)
        with pytest.raises(NotFound):
            await logs.append(runner + 1, attempt, 0, b"x", None)
        assert await whole(logs, attempt) == b""
