"""What the command line decides about the web, and the place where every handler finds it and the engine."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from starlette.requests import Request

from mainstay.engine.server import Engine
from mainstay.web.streams import Streams


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the web."""

    public_reading: bool = False
    """Pages, badges and feeds of all repositories can be read without signing in. The command line turns it on for a
    server that only listens on the loopback address. Commands and the API always need a token."""
    open_hosts: frozenset[str] | None = None
    """The names by which the server must be addressed for `public_reading`; None: any. Where it is open because only
    this machine reaches it, a page of a stranger could otherwise give its own name our address, and read us."""
    public_repositories: bool = True
    """Those of repositories that are marked public can, wherever the server listens."""
    address: str | None = None
    """The server's URL as others reach it (`https://ci.example.org`). None: as the request was addressed."""
    hook_secrets: dict[str, str] = field(default_factory=dict)
    """Forge name to the secret its webhooks are signed with."""
    data: Path | None = None
    """The data folder, shown where the token has to be found."""


@dataclass(frozen=True, slots=True)
class Site:
    """The engine, the options and the open streams: what `app.state.site` holds."""

    engine: Engine
    options: Options
    streams: Streams


def site_of(request: Request) -> Site:
    """The site that serves a request."""
    return cast(Site, request.app.state.site)


def address_of(request: Request) -> str:
    """The server's URL without a slash at its end."""
    configured = site_of(request).options.address
    return configured.rstrip("/") if configured else f"{request.url.scheme}://{request.url.netloc}"
