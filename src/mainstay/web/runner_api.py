"""The server's side of `wire.runner`: raw handlers without any framework in between, for they are the hot path."""

from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mainstay.model.errors import BadInput, Gone
from mainstay.web import bodies
from mainstay.web.access import runner_identity
from mainstay.web.options import site_of
from mainstay.web.paths import number
from mainstay.web.problems import decoded
from mainstay.wire.runner import Finish, Hello, Poll, Progress

LOG_BYTES = 5 << 20
"""A piece of a log as it is sent; the engine limits what comes out of it when it is unpacked."""
TESTS_BYTES = 64 << 20
"""All tests of an attempt, as they are sent."""
ARTIFACT_BYTES = 4 << 30
MAX_WAIT_S = 60.0
KINDS = ("artifact", "coverage")

_encode = msgspec.json.Encoder().encode


def _answer(value: object) -> Response:
    return Response(_encode(value), media_type="application/json")


async def _speaker(request: Request) -> int:
    """The runner that speaks, which its token must own."""
    identity = await runner_identity(request)
    value = request.headers.get("mainstay-runner", "")
    if not value:
        raise Gone("the header Mainstay-Runner is missing: say hello first, and send the number of its answer")
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise BadInput("the header Mainstay-Runner must be the runner's number, as the answer to hello gave it")
    runner_id = int(value)
    await site_of(request).engine.runner_of(identity.id, runner_id)
    return runner_id


def _attempt(request: Request) -> int:
    return number(request, "attempt")


async def hello(request: Request) -> Response:
    """A runner presents itself."""
    identity = await runner_identity(request)
    message = decoded(await bodies.whole(request, bodies.MESSAGE_BYTES), Hello, "the message Hello")
    return _answer(await site_of(request).engine.hello(identity.id, message))


async def poll(request: Request) -> Response:
    """Waits for work. A runner that goes away meanwhile waits no longer, so that nothing is given to it."""
    runner_id = await _speaker(request)
    message = decoded(await bodies.whole(request, bodies.MESSAGE_BYTES), Poll, "the message Poll")
    if not 0 <= message.wait_s <= MAX_WAIT_S:
        raise BadInput(f"wait_s must be between 0 and {MAX_WAIT_S:.0f}, not {message.wait_s}")
    return _answer(await bodies.while_connected(request, site_of(request).engine.poll(runner_id, message)))


async def progress(request: Request) -> Response:
    """Steps so far."""
    runner_id = await _speaker(request)
    message = decoded(await bodies.whole(request, bodies.MESSAGE_BYTES), Progress, "the message Progress")
    return _answer(await site_of(request).engine.progress(runner_id, _attempt(request), message))


async def append_log(request: Request) -> Response:
    """Bytes of the log from `?offset=N` on."""
    runner_id = await _speaker(request)
    value = request.query_params.get("offset", "")
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise BadInput("the log's place is missing: ?offset=N with the number of bytes before it")
    body = await bodies.whole(request, LOG_BYTES)
    encoding = request.headers.get("content-encoding")
    return _answer(await site_of(request).engine.append_log(runner_id, _attempt(request), int(value), body, encoding))


async def put_tests(request: Request) -> Response:
    """All tests of the attempt."""
    runner_id = await _speaker(request)
    body = await bodies.whole(request, TESTS_BYTES)
    encoding = request.headers.get("content-encoding")
    return _answer(await site_of(request).engine.put_tests(runner_id, _attempt(request), body, encoding))


async def put_artifact(request: Request) -> Response:
    """A bundle, streamed to the engine; its digest is checked before the last byte is handed on."""
    runner_id = await _speaker(request)
    kind = request.query_params.get("kind", "artifact")
    if kind not in KINDS:
        raise BadInput(f"the kind of an artifact is one of {', '.join(KINDS)}, not {kind[:40]!r}")
    days = request.query_params.get("retention_days")
    if days is not None and not (days.isascii() and days.isdigit() and len(days) < 6):
        raise BadInput("retention_days must be a number of days")
    stream = bodies.checked(bodies.pieces(request, ARTIFACT_BYTES), request.headers.get("digest"))
    name = str(request.path_params["name"])
    keep = None if days is None else int(days)
    return _answer(await site_of(request).engine.put_artifact(runner_id, _attempt(request), name, kind, stream, keep))


async def list_artifacts(request: Request) -> Response:
    """The artifacts of the attempt's build so far."""
    runner_id = await _speaker(request)
    return _answer(await site_of(request).engine.artifacts.of_attempt(runner_id, _attempt(request)))


async def get_artifact(request: Request) -> Response:
    """The bytes of one of them."""
    runner_id = await _speaker(request)
    name = str(request.path_params["name"])
    size, stream = await site_of(request).engine.artifacts.open_named(runner_id, _attempt(request), name)
    return _bytes(size, stream)


async def find_cache(request: Request) -> Response:
    """The cache that fits `?key=K`, or the first `restore=` that a key begins with."""
    runner_id = await _speaker(request)
    asked = request.query_params
    found = await site_of(request).engine.caches.find(
        runner_id, _attempt(request), asked.get("key", ""), asked.getlist("restore"), asked.get("version", "")[:64]
    )
    return _answer(found)


async def get_cache(request: Request) -> Response:
    """The bytes of a cache."""
    runner_id = await _speaker(request)
    cache = int(request.path_params["cache"])
    size, stream = await site_of(request).engine.caches.open(runner_id, _attempt(request), cache)
    return _bytes(size, stream)


async def put_cache(request: Request) -> Response:
    """Keep a cache for later builds."""
    runner_id = await _speaker(request)
    asked = request.query_params
    stream = bodies.checked(bodies.pieces(request, ARTIFACT_BYTES), request.headers.get("digest"))
    stored = await site_of(request).engine.caches.put(
        runner_id, _attempt(request), asked.get("key", ""), asked.get("version", "")[:64], stream
    )
    return _answer(stored)


def _bytes(size: int, stream: AsyncIterator[bytes]) -> Response:
    headers = {"Content-Length": str(size)}
    return StreamingResponse(stream, media_type="application/octet-stream", headers=headers)


async def get_durations(request: Request) -> Response:
    """How long tests take, for jobs that divide them."""
    runner_id = await _speaker(request)
    data = await site_of(request).engine.durations.of_attempt(runner_id, _attempt(request))
    return Response(data, media_type="application/json")


async def finish(request: Request) -> Response:
    """How the attempt ended."""
    runner_id = await _speaker(request)
    message = decoded(await bodies.whole(request, bodies.MESSAGE_BYTES), Finish, "the message Finish")
    return _answer(await site_of(request).engine.finish(runner_id, _attempt(request), message))


def _route(path: str, method: str, handler: Callable[[Request], Awaitable[Response]]) -> Route:
    return Route(f"/runner/v1{path}", handler, methods=[method])


routes = [
    _route("/poll", "POST", poll),
    _route("/attempts/{attempt:int}/log", "POST", append_log),
    _route("/attempts/{attempt:int}/progress", "POST", progress),
    _route("/attempts/{attempt:int}/finish", "POST", finish),
    _route("/attempts/{attempt:int}/tests", "PUT", put_tests),
    _route("/attempts/{attempt:int}/artifacts/{name:path}", "PUT", put_artifact),
    _route("/attempts/{attempt:int}/artifacts", "GET", list_artifacts),
    _route("/attempts/{attempt:int}/artifacts/{name:path}", "GET", get_artifact),
    _route("/attempts/{attempt:int}/durations", "GET", get_durations),
    _route("/attempts/{attempt:int}/caches", "GET", find_cache),
    _route("/attempts/{attempt:int}/caches", "PUT", put_cache),
    _route("/attempts/{attempt:int}/caches/{cache:int}", "GET", get_cache),
    _route("/hello", "POST", hello),
]
