"""Builds that no push brings: started by hand, and by schedule."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from mainstay.store import repositories, schedules
from mainstay.store.database import Tx
from mainstay.web.api import describe, shapes, shaping
from mainstay.web.api.asking import At, Developer, answer, body_of, page

router = APIRouter(tags=["starts"])


@router.post(
    "/repositories/{name}/starts",
    status_code=201,
    responses=describe.gives(shapes.Started, "The ids of the new builds.", 201),
    openapi_extra=describe.takes(shapes.StartAsk),
)
async def start_workflow(request: Request, site: At, asker: Developer, name: str) -> Response:
    """Start a workflow at a branch or tag, with inputs."""
    ask = await body_of(request, shapes.StartAsk)
    started = await site.engine.start_workflow(asker.actor, name, ask.workflow, ask.ref, ask.inputs)
    return answer(shapes.Started(started), 201)


def _schedules(tx: Tx, name: str) -> list[shapes.ScheduleShape]:
    found = schedules.of_repository(tx, repositories.by_name(tx, name).id)
    return [shaping.schedule(each) for each in found]


@router.get(
    "/repositories/{name}/schedules",
    responses=describe.gives_page(shapes.ScheduleShape, "The schedules, the next to come first."),
)
async def list_schedules(site: At, name: str) -> Response:
    """When the workflows of a repository start by themselves."""
    return page(await site.engine.db.read(_schedules, name), None)
