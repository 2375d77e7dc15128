"""Builds and jobs: lists, one build, waiting for it, cancel, run again, why, logs."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from mainstay.model.errors import NotFound
from mainstay.model.job import Job
from mainstay.model.states import BuildState, JobState
from mainstay.store import events, jobs
from mainstay.store.database import Tx
from mainstay.store.views import builds as views
from mainstay.store.views import tests as test_views
from mainstay.store.views.asked import Asked, asked
from mainstay.store.views.tests import Outcome
from mainstay.web import listing, logs
from mainstay.web.access import sight_of
from mainstay.web.api import describe, shapes, shaping
from mainstay.web.api.asking import At, Cursor, Developer, Limit, answer, body_of, cursor_id, page
from mainstay.web.listing import Line
from mainstay.web.options import Site, address_of

router = APIRouter(tags=["builds"])
Build = Annotated[str, Path(description="A build's id, or `R#NUMBER` with `#` written as `%23`.")]
LONGEST_WAIT_S = 300.0
FAILED_TESTS = 50
BAD = (JobState.FAILED, JobState.ALLOWED)


@router.get("/builds", responses=describe.gives_page(shapes.BuildLine, "Builds, newest first."))
async def list_builds(
    request: Request,
    site: At,
    repo: Annotated[str | None, Query(max_length=100)] = None,
    commit: Annotated[str | None, Query(max_length=64, description="May be shortened.")] = None,
    branch: Annotated[str | None, Query(max_length=1000)] = None,
    state: BuildState | None = None,
    limit: Limit = listing.PAGE,
    cursor: Cursor = None,
) -> Response:
    """Builds, newest first. With `state` a page may be short and still have a next one."""
    query = listing.Query(repo, commit.lower() if commit else None, branch, state, sight_of(request))
    found, rest = await site.engine.db.read(listing.page, query, cursor_id(cursor), limit)
    address = address_of(request)
    return page([shaping.build_line(line, address) for line in found], rest)


def whole_build(tx: Tx, name: str) -> tuple[Line, list[Job], dict[int, Asked], list[tuple[str, Outcome]]]:
    """A build with everything. Raises NotFound."""
    build_id = listing.build_id(tx, name)
    head = views.head(tx, build_id)
    if head is None:
        raise NotFound(f"there is no build with the id {build_id}; `mainstay builds` shows the newest")
    found = jobs.of_build(tx, build_id)
    last = [job.attempts[-1].id for job in found if job.attempts and job.state in BAD]
    failed = test_views.failures(tx, last, FAILED_TESTS) if last else []
    return listing.lines(tx, [head])[0], found, asked(tx, build_id), failed


@router.get("/builds/{build}", responses=describe.gives(shapes.BuildShape, "The build."))
async def show_build(
    request: Request,
    site: At,
    build: Build,
    wait: Annotated[
        float, Query(ge=0, le=LONGEST_WAIT_S, description="Answer when it has ended, or after so long.")
    ] = 0,
) -> Response:
    """One build with its jobs, attempts and steps; `wait` holds the answer back until it has its verdict."""
    whole = await site.engine.db.read(whole_build, build)
    line, *_ = whole
    if wait and not line.ended:
        await _until_ended(site, line.head.id, wait)
        whole = await site.engine.db.read(whole_build, str(line.head.id))
    return answer(shaping.build(*whole, address_of(request)))


async def _until_ended(site: Site, build_id: int, wait_s: float) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    with site.streams.watch(site.engine.wake, f"build:{build_id}") as watch:
        while site.streams.going() and (left := until - loop.time()) > 0:
            line, *_ = await site.engine.db.read(whole_build, str(build_id))
            if line.ended:
                return
            await watch.wait(left)


@router.post(
    "/builds/{build}/cancel",
    responses=describe.gives(shapes.BuildShape, "The build as it is now."),
    openapi_extra=describe.takes(shapes.CancelAsk, required=False),
)
async def cancel_build(request: Request, site: At, asker: Developer, build: Build) -> Response:
    """Stop a build, or one of its jobs: what has not started never will, what runs is told to stop."""
    ask = await body_of(request, shapes.CancelAsk)
    build_id = await site.engine.db.read(listing.build_id, build)
    await site.engine.cancel_build(asker.actor, build_id, ask.reason, ask.job)
    whole = await site.engine.db.read(whole_build, str(build_id))
    return answer(shaping.build(*whole, address_of(request)))


@router.post(
    "/builds/{build}/rerun",
    responses=describe.gives(shapes.RerunAnswer, "The jobs that run again."),
    openapi_extra=describe.takes(shapes.RerunAsk, required=False),
)
async def rerun_build(request: Request, site: At, asker: Developer, build: Build) -> Response:
    """Run jobs again as new attempts: all that have ended, those that failed, or one."""
    ask = await body_of(request, shapes.RerunAsk)
    build_id = await site.engine.db.read(listing.build_id, build)
    names = await site.engine.rerun_build(asker.actor, build_id, ask.failed, ask.job)
    return answer(shapes.RerunAnswer(list(names)))


@router.post(
    "/builds/{build}/priority",
    responses=describe.gives(shapes.PriorityAnswer, "What was moved."),
    openapi_extra=describe.takes(shapes.PriorityAsk),
)
async def prioritise_build(request: Request, site: At, asker: Developer, build: Build) -> Response:
    """Let a build's jobs go before or after others of its repository. Below -500 they wait for all fresh work."""
    ask = await body_of(request, shapes.PriorityAsk)
    build_id = await site.engine.db.read(listing.build_id, build)
    moved = await site.engine.prioritise_build(asker.actor, build_id, ask.priority)
    return answer(shapes.PriorityAnswer(ask.priority, moved))


def _story_of_build(tx: Tx, name: str) -> list[shapes.Happened]:
    line, *_ = whole_build(tx, name)
    return [shaping.happened(event) for event in events.of_build(tx, line.head.id)]


@router.get("/builds/{build}/why", responses=describe.gives_page(shapes.Happened, "Its story, oldest first."))
async def why_build(site: At, build: Build) -> Response:
    """What happened to a build and its jobs, each with its cause."""
    return page(await site.engine.db.read(_story_of_build, build), None)


def _story_of_job(tx: Tx, job_id: int) -> list[shapes.Happened]:
    job = jobs.get(tx, job_id)
    return [shaping.happened(event) for event in events.of_build(tx, job.build_id) if event.job_id in (None, job_id)]


@router.get("/jobs/{job}/why", responses=describe.gives_page(shapes.Happened, "Its story, oldest first."))
async def why_job(site: At, job: Annotated[int, Path(ge=0, lt=1 << 62)]) -> Response:
    """What happened to a job and its build, each with its cause."""
    return page(await site.engine.db.read(_story_of_job, job), None)


@router.get(
    "/jobs/{job}/attempts/{attempt}/log",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, 206: {"content": {"text/plain": {}}}, 416: {}},
)
async def log(
    request: Request,
    job: Annotated[int, Path(ge=0, lt=1 << 62)],
    attempt: Annotated[int, Path(ge=1, lt=1 << 31)],
    follow: Annotated[bool, Query(description="Stay open until the attempt has ended.")] = False,
) -> Response:
    """An attempt's log, the bytes as they were printed; the header Range asks for a part."""
    return await logs.answer(request, job, attempt, follow=follow)
