"""Connections to the web server by whoever can reach its port."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mainstay.cli import connections
from mainstay.cli.connections import HEAD_BYTES, Connection

pytestmark = pytest.mark.anyio


async def told(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
async def port() -> AsyncIterator[int]:
    app = Starlette(routes=[Route("/", told, methods=["GET", "POST"])])
    config = uvicorn.Config(app, port=0, http=Connection, loop="none", lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


async def said(port: int, *pieces: bytes) -> bytes:
    """What the server says until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(30):
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
        except ConnectionError:
            return b"cut off"
        finally:
            writer.close()


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
LAST = HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nab"


async def test_a_body_may_be_large_and_a_later_request_on_a_connection_too(port: int) -> None:
    body = bytes(4 * HEAD_BYTES)
    first = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    answer = await said(port, first, first, LAST)
    assert answer.count(b"200 OK") == 3
    assert answer.endswith(b"2")


@pytest.mark.parametrize(
    "endless",
    [[b"X: " + b"a" * 65536, b"a" * 65536, b"a" * 65536], [b"A: b\r\n" * 11000] * 3, [b"GET /" + b"a" * 200_000]],
)
async def test_an_endless_head_is_refused_before_it_fills_the_memory(port: int, endless: list[bytes]) -> None:
    head = [] if endless[0].startswith(b"GET") else [HEAD]
    answer = await said(port, *head, *endless)
    assert answer == b"cut off" or answer.startswith(b"HTTP/1.1 431")


async def test_who_does_not_finish_a_head_is_not_waited_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.05)
    assert await said(port) == b""
    assert (await said(port, b"GET / HTTP/1.1\r\nHost: x\r\nX:")).startswith(b"HTTP/1.1 408")
    again = await said(port, HEAD + b"Content-Length: 0\r\n\r\n", b"GET / HT")
    assert again.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in again
