"""What the caller asked to be told of."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from mainstay.engine import subscriptions
from mainstay.engine.access import Identity
from mainstay.model.errors import NotAllowed
from mainstay.model.report import ReportKind, Subscription
from mainstay.store import subscriptions as store
from mainstay.web.access import api_identity
from mainstay.web.api import describe, report_shapes
from mainstay.web.api.asking import At, answer, body_of, page
from mainstay.web.api.reports import word_of
from mainstay.web.api.shaping import moment

router = APIRouter(tags=["reports"])


async def _caller(request: Request) -> Identity:
    identity = await api_identity(request)
    if identity.kind == "session":
        raise NotAllowed("a browser's session may only read the API; commands need an API token")
    return identity


Caller = Annotated[Identity, Depends(_caller)]
"""Whoever has a token: what is changed is the caller's own."""


def _shape(each: Subscription) -> report_shapes.SubscriptionShape:
    return report_shapes.SubscriptionShape(
        each.id,
        each.repository,
        list(each.branches),
        [kind.value for kind in each.kinds],
        each.language,
        moment(each.created_at),
    )


@router.get(
    "/subscriptions", responses=describe.gives_page(report_shapes.SubscriptionShape, "The caller's, by repository.")
)
async def list_subscriptions(site: At, caller: Caller) -> Response:
    """What the caller asked to be told of."""
    if caller.person_id is None:
        return page([], None)
    return page([_shape(each) for each in await site.engine.db.read(store.of_person, caller.person_id)], None)


@router.post(
    "/subscriptions",
    status_code=201,
    responses=describe.gives(report_shapes.Subscribed, "The caller is told from now on.", 201),
    openapi_extra=describe.takes(report_shapes.NewSubscription, required=False),
)
async def subscribe(request: Request, site: At, caller: Caller) -> Response:
    """Tell the caller of a repository, or of all that they may see."""
    new = await body_of(request, report_shapes.NewSubscription)
    kinds = tuple(word_of(ReportKind, kind) for kind in new.kinds)
    now = site.engine.clock.now()
    made = await site.engine.db.write(
        subscriptions.subscribe, caller.actor, new.repository, new.branches, kinds, new.language, now
    )
    return answer(report_shapes.Subscribed(made), 201)


@router.delete("/subscriptions/{subscription}", status_code=204, response_class=Response)
async def unsubscribe(site: At, caller: Caller, subscription: Annotated[int, Path(ge=0, lt=1 << 62)]) -> Response:
    """Take a subscription back."""
    await site.engine.db.write(subscriptions.unsubscribe, caller.actor, subscription, site.engine.clock.now())
    return Response(status_code=204)
