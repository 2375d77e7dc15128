"""Reading along what a push asks for and what is answered, however it is cut into pieces."""

from collections.abc import AsyncIterator, Iterator

import pytest

from mainstay.git.pushing import Exchange
from mainstay.model.repository import RefMove

pytestmark = pytest.mark.anyio

OLD, NEW, NONE = "a" * 40, "b" * 40, "0" * 40


def packet(data: bytes) -> bytes:
    return b"%04x" % (len(data) + 4) + data


def cut(data: bytes, size: int) -> Iterator[bytes]:
    yield from (data[start : start + size] for start in range(0, len(data), size))


async def read(request: bytes, answer: bytes, size: int) -> list[RefMove] | None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in cut(request, size):
            yield piece

    exchange = Exchange()
    assert b"".join([piece async for piece in exchange.reading(pieces())]) == request
    for piece in cut(answer, size):
        exchange.answered(piece)
    return exchange.moves()


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("banded", [False, True])
async def test_the_moves_that_were_accepted_are_told(size: int, banded: bool) -> None:
    capabilities = b"\0report-status side-band-64k" if banded else b"\0report-status"
    request = packet(f"{OLD} {NEW} refs/heads/main".encode() + capabilities)
    request += packet(f"{NONE} {NEW} refs/heads/new".encode()) + packet(f"{OLD} {NONE} refs/heads/gone".encode())
    request += packet(f"{OLD} {NEW} refs/heads/late".encode()) + b"0000" + b"PACK\0\0 and whatever follows"
    report = packet(b"unpack ok\n") + packet(b"ok refs/heads/main\n") + packet(b"ok refs/heads/new\n")
    report += packet(b"ok refs/heads/gone\n") + packet(b"ng refs/heads/late failed to update ref\n") + b"0000"
    if banded:
        report = packet(b"\2progress") + packet(b"\1" + report[:50]) + packet(b"\1" + report[50:]) + b"0000"
    assert await read(request, report, size) == [
        RefMove("refs/heads/main", OLD, NEW),
        RefMove("refs/heads/new", None, NEW),
        RefMove("refs/heads/gone", OLD, None),
    ]


async def test_what_cannot_be_read_is_not_guessed() -> None:
    request = packet(f"{OLD} {NEW} refs/heads/main".encode() + b"\0report-status") + b"0000"
    assert await read(request, b"", 10) is None
    assert await read(b"no packets", packet(b"unpack ok\n") + b"0000", 10) is None
