"""Secrets and variables: set, listed by name, removed. A secret's value is never given out."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from mainstay.engine.server import Engine, Identity
from mainstay.model.secret import MAX_VALUE_BYTES
from mainstay.web.api import describe, shapes, shaping
from mainstay.web.api.asking import Admin, At, Maintainer, answer, body_of, page

router = APIRouter(tags=["secrets"])

BODY_BYTES = 8 * MAX_VALUE_BYTES
"""A value, every sign of it escaped as JSON allows."""
Environment = Annotated[str | None, Query(max_length=1000, description="Only for jobs of this environment.")]

_SECRETS = describe.gives_page(shapes.SecretShape, "Names and places, never values.")
_SECRET = describe.gives(shapes.SecretShape, "It is set.")
_VARIABLES = describe.gives_page(shapes.VariableShape, "Variables with their values.")
_VARIABLE = describe.gives(shapes.VariableShape, "It is set.")
_BODY = describe.takes(shapes.ValueAsk)


@router.get("/secrets", responses=_SECRETS)
async def list_server_secrets(site: At, asker: Admin) -> Response:  # noqa: ARG001 - it must be somebody who may
    """The secrets of all repositories."""
    return page([shaping.secret(each, None) for each in await site.engine.secrets.listed(None)], None)


@router.get("/repositories/{name}/secrets", responses=_SECRETS)
async def list_secrets(site: At, asker: Maintainer, name: str) -> Response:  # noqa: ARG001
    """The secrets that jobs of a repository can have: its own, those of its environments, those of all repositories."""
    return page([shaping.secret(each, name) for each in await site.engine.secrets.listed(name)], None)


@router.put("/secrets/{secret}", responses=_SECRET, openapi_extra=_BODY)
async def set_server_secret(request: Request, site: At, asker: Admin, secret: str) -> Response:
    """Set a secret for all repositories."""
    return await _set_secret(request, site.engine, asker, None, secret)


@router.put("/repositories/{name}/secrets/{secret}", responses=_SECRET, openapi_extra=_BODY)
async def set_secret(request: Request, site: At, asker: Maintainer, name: str, secret: str) -> Response:
    """Set a secret of a repository or of one of its environments."""
    return await _set_secret(request, site.engine, asker, name, secret)


@router.delete("/secrets/{secret}", status_code=204, response_class=Response)
async def remove_server_secret(site: At, asker: Admin, secret: str) -> Response:
    """Remove a secret of all repositories."""
    await site.engine.secrets.remove(asker.actor, None, None, secret)
    return Response(status_code=204)


@router.delete("/repositories/{name}/secrets/{secret}", status_code=204, response_class=Response)
async def remove_secret(
    site: At, asker: Maintainer, name: str, secret: str, environment: Environment = None
) -> Response:
    """Remove a secret of a repository or of one of its environments."""
    await site.engine.secrets.remove(asker.actor, name, environment, secret)
    return Response(status_code=204)


@router.get("/variables", responses=_VARIABLES)
async def list_server_variables(site: At, asker: Admin) -> Response:  # noqa: ARG001
    """The variables of all repositories."""
    return page([shaping.variable(each, None) for each in await site.engine.secrets.listed_variables(None)], None)


@router.get("/repositories/{name}/variables", responses=_VARIABLES)
async def list_variables(site: At, asker: Maintainer, name: str) -> Response:  # noqa: ARG001
    """The variables that jobs of a repository can have."""
    return page([shaping.variable(each, name) for each in await site.engine.secrets.listed_variables(name)], None)


@router.put("/variables/{variable}", responses=_VARIABLE, openapi_extra=_BODY)
async def set_server_variable(request: Request, site: At, asker: Admin, variable: str) -> Response:
    """Set a variable for all repositories."""
    return await _set_variable(request, site.engine, asker, None, variable)


@router.put("/repositories/{name}/variables/{variable}", responses=_VARIABLE, openapi_extra=_BODY)
async def set_variable(request: Request, site: At, asker: Maintainer, name: str, variable: str) -> Response:
    """Set a variable of a repository or of one of its environments."""
    return await _set_variable(request, site.engine, asker, name, variable)


@router.delete("/variables/{variable}", status_code=204, response_class=Response)
async def remove_server_variable(site: At, asker: Admin, variable: str) -> Response:
    """Remove a variable of all repositories."""
    await site.engine.secrets.remove_variable(asker.actor, None, None, variable)
    return Response(status_code=204)


@router.delete("/repositories/{name}/variables/{variable}", status_code=204, response_class=Response)
async def remove_variable(
    site: At, asker: Maintainer, name: str, variable: str, environment: Environment = None
) -> Response:
    """Remove a variable of a repository or of one of its environments."""
    await site.engine.secrets.remove_variable(asker.actor, name, environment, variable)
    return Response(status_code=204)


async def _set_secret(request: Request, engine: Engine, asker: Identity, repository: str | None, name: str) -> Response:
    ask = await body_of(request, shapes.ValueAsk, BODY_BYTES)
    kept = await engine.secrets.put(asker.actor, repository, ask.environment, name, ask.value)
    return answer(shaping.secret(kept, repository))


async def _set_variable(
    request: Request, engine: Engine, asker: Identity, repository: str | None, name: str
) -> Response:
    ask = await body_of(request, shapes.ValueAsk, BODY_BYTES)
    kept = await engine.secrets.put_variable(asker.actor, repository, ask.environment, name, ask.value)
    return answer(shaping.variable(kept, repository))
