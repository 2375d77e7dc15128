"""Artifacts: those of a build, and the bytes of one."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from mainstay.store import artifacts as stored
from mainstay.store.database import Tx
from mainstay.web import artifacts
from mainstay.web.api import describe, shapes, shaping
from mainstay.web.api.asking import At, page
from mainstay.web.api.builds import Build, whole_build
from mainstay.web.options import address_of

router = APIRouter(tags=["artifacts"])


def _of_build(tx: Tx, name: str) -> list[Any]:
    line, *_ = whole_build(tx, name)
    return stored.of_build(tx, line.head.id)


@router.get(
    "/builds/{build}/artifacts",
    responses=describe.gives_page(shapes.ArtifactShape, "Its artifacts by name, the newest of each name."),
)
async def list_artifacts(request: Request, site: At, build: Build) -> Response:
    """What the jobs of a build have kept."""
    address = address_of(request)
    return page([shaping.artifact(row, address) for row in await site.engine.db.read(_of_build, build)], None)


@router.get("/artifacts/{artifact}", response_class=Response, responses={200: {"content": {"application/zip": {}}}})
async def get_artifact(request: Request, artifact: Annotated[int, Path(ge=0, lt=1 << 62)]) -> Response:
    """The bytes of an artifact, to be kept as a file."""
    return await artifacts.answer(request, artifact)
