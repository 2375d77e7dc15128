"""Secrets and variables: set, listed by name, removed. They are one shape; a secret's value is never given out."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from mainstay.engine.secrets import Secrets
from mainstay.engine.server import Engine, Identity
from mainstay.model.secret import MAX_VALUE_BYTES
from mainstay.web.api import describe, shapes, shaping
from mainstay.web.api.asking import Admin, At, Maintainer, answer, body_of, page

router = APIRouter(tags=["secrets"])

BODY_BYTES = 8 * MAX_VALUE_BYTES
"""A value, every sign of it escaped as JSON allows."""
Environment = Annotated[str | None, Query(max_length=1000, description="Only for jobs of this environment.")]

_BODY = describe.takes(shapes.ValueAsk)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What jobs are given by name, and what the engine does with it."""

    word: str
    shape: Any
    listing: str
    """What a list of them holds, in words."""
    of_repository: str
    shown: Callable[[Any, str | None], Any]
    listed: Callable[[Secrets, str | None], Awaitable[list[Any]]]
    put: Callable[..., Awaitable[Any]]
    remove: Callable[..., Awaitable[None]]

    async def page(self, engine: Engine, repository: str | None) -> Response:
        """A repository's, or with None those of all repositories."""
        return page([self.shown(each, repository) for each in await self.listed(engine.secrets, repository)], None)

    async def set(
        self, request: Request, engine: Engine, asker: Identity, repository: str | None, name: str
    ) -> Response:
        """Set one to the value of the request's body."""
        ask = await body_of(request, shapes.ValueAsk, BODY_BYTES)
        kept = await self.put(engine.secrets, asker.actor, repository, ask.environment, name, ask.value)
        return answer(self.shown(kept, repository))


def _offer(kind: _Kind) -> None:
    """The routes of a kind: for all repositories, and for one."""
    word = kind.word
    lists = describe.gives_page(kind.shape, kind.listing)
    sets = describe.gives(kind.shape, "It is set.")
    key = Annotated[str, Path(alias=word)]

    @router.get(
        f"/{word}s", responses=lists, name=f"list_server_{word}s", description=f"The {word}s of all repositories."
    )
    async def list_of_server(site: At, asker: Admin) -> Response:  # noqa: ARG001 - it must be somebody who may
        return await kind.page(site.engine, None)

    @router.get(
        f"/repositories/{{name}}/{word}s", responses=lists, name=f"list_{word}s", description=kind.of_repository
    )
    async def list_of_repository(site: At, asker: Maintainer, name: str) -> Response:  # noqa: ARG001
        return await kind.page(site.engine, name)

    @router.put(
        f"/{word}s/{{{word}}}",
        responses=sets,
        openapi_extra=_BODY,
        name=f"set_server_{word}",
        description=f"Set a {word} for all repositories.",
    )
    async def set_of_server(request: Request, site: At, asker: Admin, called: key) -> Response:
        return await kind.set(request, site.engine, asker, None, called)

    @router.put(
        f"/repositories/{{name}}/{word}s/{{{word}}}",
        responses=sets,
        openapi_extra=_BODY,
        name=f"set_{word}",
        description=f"Set a {word} of a repository or of one of its environments.",
    )
    async def set_of_repository(request: Request, site: At, asker: Maintainer, name: str, called: key) -> Response:
        return await kind.set(request, site.engine, asker, name, called)

    @router.delete(
        f"/{word}s/{{{word}}}",
        status_code=204,
        response_class=Response,
        name=f"remove_server_{word}",
        description=f"Remove a {word} of all repositories.",
    )
    async def remove_of_server(site: At, asker: Admin, called: key) -> Response:
        await kind.remove(site.engine.secrets, asker.actor, None, None, called)
        return Response(status_code=204)

    @router.delete(
        f"/repositories/{{name}}/{word}s/{{{word}}}",
        status_code=204,
        response_class=Response,
        name=f"remove_{word}",
        description=f"Remove a {word} of a repository or of one of its environments.",
    )
    async def remove_of_repository(
        site: At, asker: Maintainer, name: str, called: key, environment: Environment = None
    ) -> Response:
        await kind.remove(site.engine.secrets, asker.actor, name, environment, called)
        return Response(status_code=204)


_offer(
    _Kind(
        "secret",
        shapes.SecretShape,
        "Names and places, never values.",
        "The secrets that jobs of a repository can have: its own, those of its environments,"
        " those of all repositories.",
        shaping.secret,
        Secrets.listed,
        Secrets.put,
        Secrets.remove,
    )
)
_offer(
    _Kind(
        "variable",
        shapes.VariableShape,
        "Variables with their values.",
        "The variables that jobs of a repository can have.",
        shaping.variable,
        Secrets.listed_variables,
        Secrets.put_variable,
        Secrets.remove_variable,
    )
)
