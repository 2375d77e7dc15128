"""API tokens: one's own, and for administrators everybody's; tokens of runners."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from mainstay.engine.personal_tokens import Listed, Wish
from mainstay.model.errors import BadInput
from mainstay.model.person import Scope
from mainstay.web.api import describe
from mainstay.web.api import people_shapes as shapes
from mainstay.web.api.asking import Admin, At, Self, answer, body_of, page
from mainstay.web.api.shaping import moment, sure

router = APIRouter(tags=["tokens"])
TokenId = Annotated[int, Path(ge=0, lt=1 << 53)]


def _fields(found: Listed) -> dict[str, Any]:
    token = found.token
    return {
        "id": token.id,
        "name": token.name,
        "person": found.person,
        "scope": token.scope.value,
        "repositories": None if found.repositories is None else list(found.repositories),
        "created_at": sure(token.created_at),
        "expires_at": moment(token.expires_at),
        "used_at": moment(token.used_at),
    }


@router.get("/tokens", responses=describe.gives_page(shapes.TokenShape, "Tokens, newest first."))
async def list_tokens(
    site: At,
    asker: Self,
    everybody: Annotated[bool, Query(alias="all", description="Those of others too; for administrators.")] = False,
) -> Response:
    """One's own live tokens; the server's own token sees all."""
    found = await site.engine.tokens.listed(asker, "api", all_of_them=everybody)
    return page([shapes.TokenShape(**_fields(each)) for each in found], None)


@router.post(
    "/tokens",
    status_code=201,
    responses=describe.gives(shapes.FreshToken, "The token, shown this once.", 201),
    openapi_extra=describe.takes(shapes.PersonalTokenAsk),
)
async def create_token(request: Request, site: At, asker: Self) -> Response:
    """Make a token of one's own. It carries no more than the one it is asked for with, which must have the scope
    `admin`."""
    ask = await body_of(request, shapes.PersonalTokenAsk)
    try:
        scope = Scope(ask.scope)
    except ValueError:
        raise BadInput(f"a scope is one of {', '.join(Scope)}, not {ask.scope[:40]!r}") from None
    made, text = await site.engine.tokens.create(asker, Wish(ask.name, scope, ask.repositories, ask.days))
    return answer(shapes.FreshToken(**_fields(made), token=text), 201)


@router.delete("/tokens/{token}", status_code=204, response_class=Response)
async def revoke_token(site: At, asker: Self, token: TokenId) -> Response:
    """Make a token worthless, now: one's own, or for administrators any."""
    await site.engine.tokens.revoke(asker, token)
    return Response(status_code=204)


@router.get("/runner-tokens", responses=describe.gives_page(shapes.TokenShape, "Tokens of runners, newest first."))
async def list_runner_tokens(site: At, asker: Admin) -> Response:
    """The tokens that runners enrol and work with."""
    found = await site.engine.tokens.listed(asker, "runner", all_of_them=True)
    return page([shapes.TokenShape(**_fields(each)) for each in found], None)


@router.delete("/runner-tokens/{token}", status_code=204, response_class=Response)
async def revoke_runner_token(site: At, asker: Admin, token: TokenId) -> Response:
    """Make a runner's token worthless, now: its runners get no more work and can deliver nothing."""
    await site.engine.tokens.revoke(asker, token, ("runner",))
    return Response(status_code=204)
