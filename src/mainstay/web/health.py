"""For those who operate the server, and for load balancers: `/healthz`."""

import logging

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mainstay import __version__
from mainstay.model.errors import MainstayError
from mainstay.store import events
from mainstay.web.options import site_of
from mainstay.web.problems import of_error, problem

log = logging.getLogger(__name__)


async def healthz(request: Request) -> Response:
    """200 while the database answers; 503 with words when it does not."""
    try:
        await site_of(request).engine.db.read(events.last_id)
    except MainstayError as error:
        return of_error(error)
    except Exception:
        log.exception("The database does not answer")
        return problem(503, "unavailable", "the database does not answer; see the server's log")
    return Response(f'{{"status":"ok","version":"{__version__}"}}', media_type="application/json")


routes = [Route("/healthz", healthz)]
