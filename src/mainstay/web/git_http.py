"""`/git/R.git`: git's smart HTTP protocol.

An API token fetches for readers and pushes for developers of the repository; a job's source token fetches only.
"""

from collections.abc import AsyncIterator
from functools import partial

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mainstay.git import smart_http
from mainstay.git.smart_http import RECEIVE_PACK, UPLOAD_PACK, Answer
from mainstay.model.errors import MainstayError, NotAllowed, Unavailable
from mainstay.model.person import Role
from mainstay.model.repository import RefMove, Repository
from mainstay.store import repositories
from mainstay.web import problems
from mainstay.web.access import api_identity, check, token_of
from mainstay.web.options import Site, site_of

CHALLENGE = {"WWW-Authenticate": 'Basic realm="mainstay", charset="UTF-8"'}


async def info_refs(request: Request) -> Response:
    """What there is, for a fetch or a push that follows."""
    service = request.query_params.get("service", "")
    if service not in (UPLOAD_PACK, RECEIVE_PACK):
        return problems.problem(403, "not-allowed", "only git's smart protocol is spoken here; use git 1.6.6 or newer")
    opened = await _opened(request, push=service == RECEIVE_PACK)
    if isinstance(opened, Response):
        return opened
    path = site_of(request).engine.mirror_of(opened)
    return _response(await smart_http.advertise(path, service, request.headers.get("git-protocol")))


async def upload_pack(request: Request) -> Response:
    """A fetch."""
    opened = await _opened(request, push=False)
    if isinstance(opened, Response):
        return opened
    path = site_of(request).engine.mirror_of(opened)
    protocol, encoding = request.headers.get("git-protocol"), request.headers.get("content-encoding")
    return _response(await smart_http.upload(path, request.stream(), protocol=protocol, encoding=encoding))


async def receive_pack(request: Request) -> Response:
    """A push; git hears of its success only when its builds are stored."""
    opened = await _opened(request, push=True)
    if isinstance(opened, Response):
        return opened
    site = site_of(request)
    protocol, encoding = request.headers.get("git-protocol"), request.headers.get("content-encoding")
    answer = await smart_http.receive(
        site.engine.mirror_of(opened),
        request.stream(),
        partial(_moved, site, opened.id),
        protocol=protocol,
        encoding=encoding,
    )
    return _response(answer)


async def _moved(site: Site, repository_id: int, moves: list[RefMove]) -> None:
    await site.engine.pushed(repository_id, moves)


async def _opened(request: Request, *, push: bool) -> Repository | Response:
    """The repository that a request may use; the answer that asks for a token, or says no, where it may not."""
    site = site_of(request)
    name = request.path_params["name"]
    token = token_of(request)
    if token is None:
        return _challenge("git needs a token here: any user name, and an API token as the password")
    identity = await site.engine.authenticate(token)
    if identity is not None and identity.kind == "api":
        await check(request, await api_identity(request), Role.DEVELOPER if push else Role.READER)
    else:
        if not await site.engine.source_allowed(token, name):
            return _challenge("this token does not open that repository")
        if push:
            raise NotAllowed("a job may read its repository and not push to it")
    repository = await site.engine.db.read(repositories.by_name, name)
    if push and repository.url is not None:
        raise NotAllowed(f"{name} is a mirror of {repository.address}; push there")
    if push and repository.paused_at is not None:
        raise NotAllowed(f"{name} is paused, so nothing would be built; resume it first")
    if not (site.engine.mirror_of(repository) / "HEAD").is_file():
        if repository.url is None:
            raise Unavailable(f"{name} lives on another server of this database; send /git/ to that one")
        raise Unavailable(f"{name} has not been fetched yet; try again in a moment")
    return repository


def _challenge(detail: str) -> Response:
    return problems.problem(401, "not-signed-in", detail, headers=CHALLENGE)


def _response(answer: Answer) -> Response:
    return StreamingResponse(_logged(answer.body), answer.status, answer.headers)


async def _logged(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body; when it breaks off the connection is cut, so that git sees that it is not whole."""
    try:
        async for piece in body:
            yield piece
    except MainstayError as error:
        raise ConnectionError(error.message) from error
    finally:
        close = getattr(body, "aclose", None)
        if close is not None:
            await close()


routes = [
    Route("/git/{name}.git/info/refs", info_refs),
    Route("/git/{name}.git/git-upload-pack", upload_pack, methods=["POST"]),
    Route("/git/{name}.git/git-receive-pack", receive_pack, methods=["POST"]),
]
