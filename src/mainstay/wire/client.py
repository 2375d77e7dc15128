"""The one HTTP client: what runners, agents and the command line use to speak to a server.

Synchronous on purpose: a call is one blocking request on a kept-alive connection, made in a thread where the caller is
asynchronous. A refusal is raised as the error of `model.errors` that the server named, in the server's words; a server
that does not answer is `Unavailable`. urllib3 takes 50 ms to import: a command that may not need it imports this late.
So does msgspec, which only messages with a type need (a runner's): plain documents are read and written without it.
"""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Self, TypeVar, cast
from urllib.parse import urlencode, urlsplit

import urllib3
from urllib3.connection import HTTPConnection

from mainstay import __version__
from mainstay.model.errors import (
    BadInput,
    Conflict,
    MainstayError,
    NotAllowed,
    NotFound,
    NotSignedIn,
    TooLarge,
    Unavailable,
)

T = TypeVar("T")
Body = bytes | IO[bytes] | None

CONNECT_S = 10.0
READ_S = 60.0
"""How long an answer may take, beyond the time that a long poll asks for."""
MAX_ANSWER_BYTES = 256 * 1024 * 1024
"""Of an answer that is read whole; streams have no limit."""
REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
SOCKET_OPTIONS = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
"""urllib3's own are TCP_NODELAY."""

_BY_CODE: dict[str, type[MainstayError]] = {
    kind.code: kind for kind in (BadInput, NotAllowed, NotSignedIn, NotFound, Conflict, TooLarge, Unavailable)
}
_BY_STATUS: dict[int, type[MainstayError]] = {
    400: BadInput,
    401: NotSignedIn,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    416: BadInput,
    422: BadInput,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


class Client:
    """The HTTP interface of one server. Safe to use from several threads at once."""

    def __init__(
        self,
        server: str,
        token: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        connections: int = 8,
        origin: str = "",
    ) -> None:
        """`server`: see `server_url`. `headers` go with every request. `origin`: where the address is from, for errors.

        Raises BadInput when the address makes no sense.
        """
        self.url = server_url(server)
        self.headers: dict[str, str] = {"User-Agent": f"mainstay/{__version__}", **(headers or {})}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"
        self._place = f"{self.url} (from {origin})" if origin else self.url
        self._pool = _pool(self.url, connections)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._pool.clear()

    def get(self, path: str, answer: type[T], *, read_s: float = READ_S, **query: object) -> T:
        """Read a document. A query value of None is left out."""
        return self.call("GET", path, answer, query=query, read_s=read_s)

    def send(
        self,
        path: str,
        message: object,
        answer: type[T],
        *,
        method: str = "POST",
        read_s: float = READ_S,
        repeatable: bool = False,
    ) -> T:
        """Send a message as JSON. `repeatable`: twice does no harm, so a dropped connection is tried again."""
        body = _written(message)
        headers = {"Content-Type": "application/json"}
        return self.call(method, path, answer, body=body, headers=headers, read_s=read_s, repeatable=repeatable)

    def call(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        query: Mapping[str, object] | None = None,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        read_s: float | None = READ_S,
        repeatable: bool | None = None,
    ) -> T:
        """One request whose answer is a JSON document of the type `answer` (`object`: any, None when empty).

        `body` may be an open file, sent as it is read. Raises Unavailable, and what `refusal` makes of an error.
        """
        with (
            self.open(
                method, path, query=query, body=body, headers=headers, read_s=read_s, repeatable=repeatable
            ) as response,
            self._reached(),
        ):
            raw = response.read(MAX_ANSWER_BYTES, decode_content=True)
        try:
            return _read(raw, answer)
        except (ValueError, RecursionError) as error:
            raise Unavailable(
                f"{self._place} answered {method} {path} with something unexpected ({error}). "
                "Is it a Mainstay server, and of the same version as this program?"
            ) from error

    def stream(
        self, path: str, *, offset: int = 0, read_s: float | None = READ_S, chunk_bytes: int = 1 << 18, **query: object
    ) -> Iterator[bytes]:
        """The bytes behind `path` from `offset` on, as they come. `read_s` is the longest silence; None: any."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        with self.open("GET", path, query=query, headers=headers, read_s=read_s) as response, self._reached():
            yield from response.stream(chunk_bytes, decode_content=True)

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        read_s: float | None = READ_S,
        repeatable: bool | None = None,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """A request whose answer the caller reads; closed afterwards. An answer that is an error is raised."""
        asked = urlencode({name: value for name, value in (query or {}).items() if value is not None})
        address = f"{self.url}{path}{'?' if asked else ''}{asked}"
        again = repeatable if repeatable is not None else method in REPEATABLE
        sent = {**self.headers, **(headers or {})}
        with self._reached():
            response = self._request(method, address, body, sent, read_s, again=again)
        try:
            if response.status >= 400:
                with self._reached():
                    raise refusal(response.status, response.read(1 << 20, decode_content=True), f"{method} {path}")
            yield response
        finally:
            # One that was read to its end has gone back to the pool; any other cannot be used again.
            response.close()

    def _request(
        self, method: str, address: str, body: Body, headers: Mapping[str, str], read_s: float | None, *, again: bool
    ) -> urllib3.BaseHTTPResponse:
        start = body.tell() if body is not None and not isinstance(body, bytes) else 0
        timeout = urllib3.Timeout(connect=CONNECT_S, read=read_s)
        while True:
            try:
                return self._pool.request(
                    method,
                    address,
                    body=body,
                    headers=headers,
                    timeout=timeout,
                    preload_content=False,
                    redirect=False,
                    retries=False,
                )
            except urllib3.exceptions.ProtocolError:
                # Most often a kept-alive connection that the other side closed as we wrote: one more try, on a new one.
                if not again:
                    raise
                again = False
                if body is not None and not isinstance(body, bytes):
                    body.seek(start)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable(f"{self._place} cannot be reached: {_plain(error)}") from error


def server_url(text: str) -> str:
    """The address of a server as `http(s)://host[:port][/prefix]`, without a slash at its end. Raises BadInput."""
    wrong = f"{text[:200]!r} is not the address of a server: "
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError as error:
        raise BadInput(f"{wrong}{error}") from None
    if parts.scheme not in ("http", "https"):
        raise BadInput(f"{wrong}it begins with http:// or https://, as in http://ci.example.org:8080")
    if not parts.hostname or any(sign <= " " or sign in '\\"<>' for sign in text.strip()):
        raise BadInput(f"{wrong}the host is missing or malformed")
    if parts.username is not None or parts.query or parts.fragment:
        raise BadInput(f"{wrong}it holds no user name, query or fragment; the token is given by itself")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}"


def refusal(status: int, body: bytes, asked: str) -> MainstayError:
    """The error that an answer stands for; `details` holds what else the problem document says."""
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        problem = None
    if not isinstance(problem, dict):
        problem = {"detail": f"{asked} was answered with {status}: {_first_line(body)}"}
    message = problem.pop("detail", None) or problem.pop("title", None) or f"{asked} was answered with {status}"
    code = problem.pop("code", None)
    kind = _BY_CODE.get(str(code)) or _BY_STATUS.get(status) or (Unavailable if status >= 500 else MainstayError)
    details = {
        str(name): value for name, value in problem.items() if name not in ("type", "title", "status", "message")
    }
    error = kind(str(message), **details)
    error.status = status
    if code:
        error.code = str(code)
    return error


def _written(message: object) -> bytes:
    """A message as JSON."""
    if isinstance(message, dict):
        return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    import msgspec  # noqa: PLC0415  (slow to import, and a client command sends dictionaries)

    return msgspec.json.encode(message)


def _read(raw: bytes, answer: type[T]) -> T:
    """A document of that type. Raises ValueError (msgspec's errors are some), RecursionError."""
    if answer is object:
        return cast("T", json.loads(raw) if raw else None)
    import msgspec  # noqa: PLC0415  (slow to import, and a client command takes what comes)

    return msgspec.json.decode(raw, type=answer)


def _pool(url: str, connections: int) -> urllib3.PoolManager:
    proxy = _proxy_for(url)
    if proxy is None:
        return urllib3.PoolManager(num_pools=2, maxsize=connections, block=False, socket_options=SOCKET_OPTIONS)
    return urllib3.ProxyManager(proxy, num_pools=2, maxsize=connections, block=False, socket_options=SOCKET_OPTIONS)


def _proxy_for(url: str) -> str | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name for this address."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415  (slow to import)

    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _plain(error: BaseException) -> str:
    """The reason without the machinery around it."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, urllib3.exceptions.NameResolutionError):
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror.lower()
        inner = inner.__cause__ or inner.__context__
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "its name is not known"
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return "it does not answer"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return "it took too long to answer"
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "the connection broke"
    return str(error)


def _first_line(body: bytes) -> str:
    text = body.decode("utf-8", "replace").strip()
    return text.splitlines()[0][:200] if text else "nothing"
