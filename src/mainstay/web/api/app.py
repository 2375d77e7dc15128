"""The API as one FastAPI application, mounted at `/api`."""

from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from mainstay import __version__
from mainstay.model.errors import MainstayError
from mainstay.web import problems
from mainstay.web.access import api_reader
from mainstay.web.api import (
    artifacts,
    builds,
    describe,
    events,
    labels,
    people,
    reports,
    repositories,
    runners,
    secrets,
    starts,
    subscriptions,
    tests,
    tokens,
)
from mainstay.web.api.asking import answer, known_parameters
from mainstay.web.options import Site

ABOUT = (
    "Every request carries `Authorization: Bearer TOKEN`. Errors are `application/problem+json`. "
    "Lists are read on with `cursor`."
)


def create_api(site: Site) -> FastAPI:
    """The application for paths below `/api`."""
    api = FastAPI(
        title="Mainstay",
        version=__version__,
        description=ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    api.state.site = site
    api.add_exception_handler(MainstayError, problems.answer)
    api.add_exception_handler(HTTPException, problems.answer)
    api.add_exception_handler(ClientDisconnect, problems.gone)
    api.add_exception_handler(RequestValidationError, _not_valid)
    api.add_exception_handler(Exception, problems.answer)
    for part in (
        builds,
        artifacts,
        repositories,
        reports,
        secrets,
        starts,
        subscriptions,
        tests,
        runners,
        labels,
        events,
        people,
        tokens,
    ):
        api.include_router(
            part.router,
            prefix="/v1",
            dependencies=[Depends(api_reader), Depends(known_parameters)],
            responses=describe.PROBLEMS,
        )
    api.add_route("/openapi.json", _description, include_in_schema=False)
    return api


async def _not_valid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [f"{each['loc'][-1]}: {each['msg']}" for each in error.errors()]
    return problems.problem(422, "bad-input", "; ".join(found)[:2000])


async def _description(request: Request) -> Response:
    """The API's description. It is made when it is first asked for."""
    api = request.app
    if api.openapi_schema is None:
        api.openapi_schema = _described(api)
    return answer(api.openapi_schema)


def _described(api: FastAPI) -> dict[str, Any]:
    schema = api.openapi()
    components = schema.setdefault("components", {})
    components["schemas"] = {**components.get("schemas", {}), **describe.components()}
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    schema["security"] = [{"token": []}]
    schema["servers"] = [{"url": "/api"}]
    return schema
