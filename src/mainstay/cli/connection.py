"""What every client command shares: the options that name the server, and the server's API as calls."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeVar
from urllib.parse import quote

import click

from mainstay.cli import settings
from mainstay.model.errors import BadInput, MainstayError, NotSignedIn

API = "/api/v1"
READ_S = 60.0
"""How long an answer may take, beyond the time that a long poll asks for."""
NO_SUCH_RANGE = 416
PAGE = 200
"""Items of a list that are asked for at once; the server gives no more."""

R = TypeVar("R")


class LogEnded(Exception):
    """Nothing is stored of a log beyond the asked-for place (yet)."""


class Server:
    """The API of one server. What it refuses is raised as the errors of `model.errors`, in its own words."""

    def __init__(self, target: settings.Target) -> None:
        # Imported here: start-up time. `mainstay COMMAND --help` speaks to no server.
        from mainstay.wire.client import Client  # noqa: PLC0415

        self._client = Client(target.url, target.token, connections=1, origin=target.origin)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    @property
    def url(self) -> str:
        """Its address, without a slash at its end."""
        return self._client.url

    def get(self, path: str, query: Mapping[str, object] | None = None, *, wait_s: float = 0.0) -> Any:
        """Read a document. A query value of None is left out; `wait_s` asks for a long poll."""
        asked = {**(query or {}), "wait": f"{wait_s:g}" if wait_s else None}
        return self._called(lambda: self._client.call("GET", API + path, object, query=asked, read_s=READ_S + wait_s))

    def listed(self, path: str, query: Mapping[str, object], limit: int | None = None) -> dict[str, Any]:
        """A list's first `limit` items (None: all), read page by page, and where it goes on: `items` and `next`."""
        items: list[Any] = []
        cursor: str | None = None
        while True:
            room = PAGE if limit is None else min(limit - len(items), PAGE)
            page = self.get(path, {**query, "limit": room, "cursor": cursor})
            items += page["items"]
            cursor = page["next"]
            if cursor is None or len(items) == limit:
                return {"items": items, "next": cursor}

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """Ask for something to be done."""
        return self._called(lambda: self._client.send(API + path, body or {}, object))

    def patch(self, path: str, body: Mapping[str, object]) -> Any:
        """Change what is named in `body`."""
        return self._called(lambda: self._client.send(API + path, body, object, method="PATCH"))

    def put(self, path: str, body: Mapping[str, object]) -> Any:
        """Set what stands at that path."""
        return self._called(lambda: self._client.send(API + path, body, object, method="PUT", repeatable=True))

    def delete(self, path: str, query: Mapping[str, object] | None = None) -> None:
        """Remove. A query value of None is left out."""
        self._called(lambda: self._client.call("DELETE", API + path, object, query=query))

    def stream(self, path: str, *, offset: int = 0, follow: bool = False) -> Iterator[bytes]:
        """The bytes of a file from `offset` on, as they come. Raises LogEnded when there are none from there on."""
        try:
            # A followed log is silent for as long as its job prints nothing.
            read_s = None if follow else READ_S
            yield from self._client.stream(API + path, offset=offset, read_s=read_s, follow=1 if follow else None)
        except MainstayError as error:
            if error.status == NO_SUCH_RANGE:
                raise LogEnded from error
            raise

    def _called(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except NotSignedIn as error:
            raise NotSignedIn(f"{error.message} (A token is given with --token or {settings.TOKEN.name}.)") from error


# ------------------------------------------------------------------------------------------------ for command functions

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document to standard output.")
data_option = click.option("--data", metavar="DIR", help=f"The data folder ({settings.DATA.name}).")


def client_command(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options that name its server, and the server as its first argument."""

    @click.option("--server", "server_url", metavar="URL", help=f"The server's address ({settings.URL.name}).")
    @click.option("--token", metavar="TOKEN", help=f"Your token ({settings.TOKEN.name}).")
    @data_option
    @functools.wraps(function)
    def command(*args: Any, server_url: str | None, token: str | None, data: str | None, **kwargs: Any) -> R:
        with Server(settings.find_server(server_url, token, data)) as server:
            return function(server, *args, **kwargs)

    return command


def build_path(build: str) -> str:
    """Path of a build that is named by its id or as R#NUMBER. Raises BadInput for anything else."""
    repository, mark, number = build.rpartition("#")
    if not number.isascii() or not number.isdigit() or bool(mark) != bool(repository):
        raise BadInput(f"{build!r} names no build; give its id (41) or repository and number (demo#7).")
    return f"/builds/{quote(build, safe='')}"


def commit_path(name: str) -> str:
    """Path of a commit that is named as R@COMMIT. Raises BadInput for anything else."""
    repository, _, commit = name.rpartition("@")
    is_hex = all(sign in "0123456789abcdef" for sign in commit.lower())
    if not repository or not is_hex or not 7 <= len(commit) <= 64:
        raise BadInput(f"{name!r} names no commit; give repository and at least 7 hex digits (demo@3f2a91c).")
    return f"{repository_path(repository)}/commits/{commit.lower()}"


def repository_path(repository: str) -> str:
    """Path of a repository."""
    return f"/repositories/{quote(repository, safe='')}"
