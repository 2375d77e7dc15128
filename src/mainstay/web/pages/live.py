"""Tells an open page that what it shows has changed; the page then asks for itself again."""

import asyncio
import re
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from mainstay.model.errors import BadInput, MainstayError, NotFound
from mainstay.store.views import places
from mainstay.web import streams
from mainstay.web.access import reader, sight_now
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
    await _visible(request, topics)
    return streams.events(_changes(request, site_of(request), topics))


async def _visible(request: Request, topics: list[str]) -> None:
    """Refuse the topics of a repository, build or attempt that is out of sight. Raises NotFound."""
    seen = await sight_now(request)
    if seen is None:
        return
    for topic in topics:
        thing, _, number = topic.partition(":")
        if not number or thing == "runner":
            continue
        find = {"build": places.of_build, "attempt": places.of_attempt}.get(thing)
        found = await site_of(request).engine.db.read(find, int(number)) if find is not None else int(number)
        if found not in seen:
            raise NotFound(f"there is no {thing} with the id {number}")


async def _changes(request: Request, site: Site, topics: list[str]) -> AsyncIterator[bytes]:
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
            try:
                await _visible(request, topics)  # a session may be ended, a role taken away, while this is open
            except MainstayError:
                return
            yield streams.message("changed", {})
