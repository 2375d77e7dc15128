"""The download behind an artifact's link, for those who may read pages."""

from starlette.requests import Request
from starlette.responses import Response

from mainstay.web import artifacts
from mainstay.web.access import reader
from mainstay.web.paths import number


async def download(request: Request) -> Response:
    """An artifact as a file."""
    await reader(request)
    return await artifacts.answer(request, number(request, "artifact"))
