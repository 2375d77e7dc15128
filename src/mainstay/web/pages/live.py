"""Tells an open page that what it shows has changed; the page then asks for itself again."""

import asyncio
import re
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from mainstay.model.errors import BadInput
from mainstay.web import streams
from mainstay.web.access import reader
from mainstay.web.options import Site, site_of

TOPIC = re.compile(r"(?:build|repo|runner|attempt):\d{1,18}|queue|events|runners")
GATHER_S = 0.1
"""Changes come in bursts; this long is waited for the rest of one."""


async def live(request: Request) -> Response:
    """`changed` events for the topics in `?topic=`."""
    await reader(request)
    topics = request.query_params.getlist("topic")
    if not 1 <= len(topics) <= 5 or not all(TOPIC.fullmatch(topic) for topic in topics):
        raise BadInput("live updates need one to five topics that are known here")
    return streams.events(_changes(site_of(request), topics))


async def _changes(site: Site, topics: list[str]) -> AsyncIterator[bytes]:
    yield streams.OPENING
    with site.streams.watch(site.engine.wake, *topics) as watch:
        yield streams.message("open", {})
        while site.streams.going():
            if not await watch.wait(streams.BEAT_S):
                yield streams.BEAT
                continue
            if not site.streams.going():
                return
            await asyncio.sleep(GATHER_S)
            yield streams.message("changed", {})
