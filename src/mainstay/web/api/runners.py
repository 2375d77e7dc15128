"""Runners, their tokens, and what waits for them."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from mainstay.engine import failing
from mainstay.model.runner import Runner
from mainstay.model.states import JobState
from mainstay.store import runners
from mainstay.store.database import Tx
from mainstay.store.views import queue
from mainstay.store.views.queue import OpenJob
from mainstay.web.access import insider, sight_of
from mainstay.web.api import describe, shapes, shaping
from mainstay.web.api.asking import Admin, At, Limit, answer, body_of, page
from mainstay.web.api.runner_shapes import FailingRunner
from mainstay.web.options import Site

router = APIRouter(tags=["runners"])
RunnerId = Annotated[int, Path(ge=0, lt=1 << 62)]


async def all_runners(site: Site) -> list[Runner]:
    """All runners by name, online or not."""
    return await site.engine.db.read(runners.all_of, site.engine.clock.now(), site.engine.lease.seconds)


@router.get("/runners", responses=describe.gives_page(shapes.RunnerShape, "All runners, by name."))
async def list_runners(request: Request, site: At) -> Response:
    """All runners, by name."""
    insider(request)
    return page([shaping.runner(each) for each in await all_runners(site)], None)


@router.get(
    "/runners/failing", responses=describe.gives_page(FailingRunner, "Local runners that do not start; mostly none.")
)
async def list_failing(request: Request, site: At) -> Response:
    """Local runners of this server that do not start now, and why."""
    insider(request)
    found = await site.engine.db.read(failing.listed, site.engine.clock.now())
    return page([shaping.failing_runner(each) for each in found], None)


@router.post("/runners/{runner}/drain", status_code=204, response_class=Response)
async def drain(site: At, asker: Admin, runner: RunnerId) -> Response:
    """Let a runner take no new work."""
    await site.engine.drain_runner(asker.actor, runner)
    return Response(status_code=204)


@router.post("/runners/{runner}/resume", status_code=204, response_class=Response)
async def resume(site: At, asker: Admin, runner: RunnerId) -> Response:
    """Let a drained runner take work again."""
    await site.engine.resume_runner(asker.actor, runner)
    return Response(status_code=204)


@router.delete("/runners/{runner}", status_code=204, response_class=Response)
async def remove(site: At, asker: Admin, runner: RunnerId) -> Response:
    """Forget a runner that holds no work."""
    await site.engine.remove_runner(asker.actor, runner)
    return Response(status_code=204)


@router.post(
    "/runner-tokens",
    status_code=201,
    responses=describe.gives(shapes.NewToken, "The token, shown this once.", 201),
    openapi_extra=describe.takes(shapes.TokenAsk, required=False),
)
async def new_runner_token(request: Request, site: At, asker: Admin) -> Response:
    """A token that runners enrol with."""
    ask = await body_of(request, shapes.TokenAsk)
    return answer(shapes.NewToken(ask.name, await site.engine.new_runner_token(asker.actor, ask.name)), 201)


def waiting(tx: Tx, limit: int, seen: frozenset[int] | None) -> list[OpenJob]:
    """Open jobs: those that run, then the queue in its order, then those that wait."""
    return [job for state in queue.OPEN for job in queue.open_jobs(tx, JobState(state), limit, seen)][:limit]


@router.get("/queue", responses=describe.gives_page(shapes.QueuedJob, "Open jobs."))
async def show_queue(request: Request, site: At, limit: Limit = 100) -> Response:
    """What runs and what waits, with the reason in words."""
    found = await site.engine.db.read(waiting, limit, sight_of(request))
    return page([shaping.queued_job(job) for job in found], None)
