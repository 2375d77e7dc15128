"""The web application: all routes in one place, hot paths first."""

import asyncio
import importlib
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mainstay.engine.server import Engine
from mainstay.model.errors import MainstayError
from mainstay.web import feeds, git_http, health, hooks, pages, problems, runner_api
from mainstay.web.guard import SecurityHeaders
from mainstay.web.options import Options, Site
from mainstay.web.streams import Streams

PROGRAMS = ("/api/", "/runner/", "/git/", "/hooks/", "/healthz", "/metrics")
"""Paths whose errors are for programs; all others answer people."""


class Later:
    """An application that is imported when it is first asked for, or as soon as the server has nothing better to do.

    FastAPI with pydantic takes about 0.4 s to import, nearly half of what the whole server may take to start; runners,
    pages and git do not need it.
    """

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._app: ASGIApp | None = None

    def ready(self) -> ASGIApp:
        """The application; made now if it was not yet."""
        with self._lock:
            if self._app is None:
                self._app = self._make()
            return self._app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app if self._app is not None else await asyncio.to_thread(self.ready)
        await app(scope, receive, send)


def create_app(engine: Engine, options: Options | None = None) -> Starlette:
    """The application that serves `engine`. `app.state.site.streams.close()` ends the streams when the server stops."""
    site = Site(engine, options or Options(), Streams())
    api = Later(lambda: _api(site))

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        warming = asyncio.get_running_loop().call_later(0.5, _warm, api)
        yield
        warming.cancel()
        site.streams.close()

    routes: list[BaseRoute] = [
        *runner_api.routes,
        *git_http.routes,
        Mount("/api", app=api),
        *health.routes,
        Route("/metrics", _metrics),
        *hooks.routes,
        *feeds.routes,
        *pages.routes,
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={
            MainstayError: _error,
            HTTPException: _error,
            ClientDisconnect: problems.gone,
            Exception: _error,
        },
        lifespan=life,
    )
    app.router.redirect_slashes = False
    app.state.site = site
    return app


def _api(site: Site) -> ASGIApp:
    from mainstay.web.api.app import create_api  # noqa: PLC0415 - see `Later`

    return create_api(site)


async def _metrics(request: Request) -> Response:
    """Imported when it is first scraped: memory, and many servers never are."""
    metrics = await asyncio.to_thread(importlib.import_module, "mainstay.web.metrics")
    answer: Response = await metrics.metrics(request)
    return answer


def _warm(api: Later) -> None:
    threading.Thread(target=api.ready, name="mainstay-api", daemon=True).start()


async def _error(request: Request, error: Exception) -> Response:
    if request.url.path.startswith(PROGRAMS):
        return await problems.answer(request, error)
    return await pages.error(request, error)
