"""The story as a stream of server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from mainstay.flow import permit
from mainstay.model.errors import BadInput, NotSignedIn
from mainstay.store import events
from mainstay.web import streams
from mainstay.web.access import grants_now, insider
from mainstay.web.api import shaping
from mainstay.web.api.asking import At
from mainstay.web.options import Site

router = APIRouter(tags=["events"])


@router.get("/events", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}})
async def follow(
    request: Request,
    site: At,
    since: Annotated[
        int | None, Query(ge=0, lt=1 << 62, description="Begin after this event; else with the next.")
    ] = None,
) -> Response:
    """What happens, as it happens. After a break the header Last-Event-ID goes on where it broke off."""
    insider(request)
    last = request.headers.get("last-event-id")
    if last is not None:
        if not (last.isascii() and last.isdigit() and len(last) < 19):
            raise BadInput("the header Last-Event-ID is not the id of an event")
        since = int(last)
    if since is None:
        since = await site.engine.db.read(events.last_id)
    return streams.events(_story(request, site, since))


async def _story(request: Request, site: Site, last_id: int) -> AsyncIterator[bytes]:
    yield streams.OPENING
    with site.streams.watch(site.engine.wake, "events") as watch:
        while site.streams.going():
            try:
                grants = await grants_now(request)  # a token may be revoked, a role taken away, while this is open
            except NotSignedIn:
                return
            found = await site.engine.db.read(events.since, last_id)
            for event in found:
                last_id = event.id or last_id
                if not permit.hears(grants, event.kind, event.repository_id):
                    continue
                yield streams.message(event.kind.value, shaping.happened(event), str(last_id))
            if not found and not await watch.wait(streams.BEAT_S):
                yield streams.BEAT
