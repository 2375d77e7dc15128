"""Repositories and their commits."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from mainstay.model.errors import BadInput
from mainstay.model.person import Role
from mainstay.model.repository import CommitPolicy
from mainstay.store import repositories
from mainstay.store.database import Tx
from mainstay.web import hooks, listing
from mainstay.web.access import address_is_judged, check, sight_of
from mainstay.web.api import describe, shapes, shaping
from mainstay.web.api.asking import Admin, At, Cursor, Developer, Limit, Maintainer, answer, body_of, cursor_id, page
from mainstay.web.listing import CommitLine
from mainstay.web.options import address_of

router = APIRouter(tags=["repositories"])


@router.get("/repositories", responses=describe.gives_page(shapes.RepositoryShape, "All repositories, by name."))
async def list_repositories(request: Request, site: At) -> Response:
    """All watched repositories, by name."""
    address = address_of(request)
    found = await site.engine.db.read(repositories.all_of, sight_of(request))
    return page([shaping.repository(each, address) for each in found], None)


@router.post(
    "/repositories",
    status_code=201,
    responses=describe.gives(shapes.RepositoryShape, "It is watched from now on.", 201),
    openapi_extra=describe.takes(shapes.NewRepository),
)
async def add_repository(request: Request, site: At, asker: Admin) -> Response:
    """Watch a repository."""
    new = await body_of(request, shapes.NewRepository)
    added = await site.engine.add_repository(
        asker.actor, new.name, new.url, new.branches, policy_of(new.commits), new.poll_s, new.since, new.supersede
    )
    return answer(shaping.repository(added, address_of(request)), 201)


@router.get("/repositories/{name}", responses=describe.gives(shapes.RepositoryShape, "The repository."))
async def show_repository(request: Request, site: At, name: str) -> Response:
    """One repository."""
    return answer(shaping.repository(await site.engine.db.read(repositories.by_name, name), address_of(request)))


@router.patch(
    "/repositories/{name}",
    responses=describe.gives(shapes.RepositoryShape, "The repository as it is now."),
    openapi_extra=describe.takes(shapes.RepositoryChange),
)
async def set_repository(request: Request, site: At, asker: Maintainer, name: str) -> Response:
    """Change how a repository is watched."""
    change = await body_of(request, shapes.RepositoryChange)
    values = {key: value for key, value in msgspec.structs.asdict(change).items() if value is not msgspec.UNSET}
    if "commits" in values:
        values["commits"] = policy_of(values["commits"])
    if not values:
        raise BadInput(f"nothing is to be changed; name at least one of {', '.join(msgspec.structs.asdict(change))}")
    if "public" in values:
        await check(request, asker, Role.ADMIN)  # shows to everybody what was for some
    if "url" in values:
        values["judged"] = address_is_judged(asker, values["url"])
    changed = await site.engine.set_repository(asker.actor, name, **values)
    return answer(shaping.repository(changed, address_of(request)))


@router.delete("/repositories/{name}", status_code=204, response_class=Response)
async def remove_repository(site: At, asker: Admin, name: str) -> Response:
    """Stop watching a repository."""
    await site.engine.remove_repository(asker.actor, name)
    return Response(status_code=204)


@router.post("/repositories/{name}/key", responses=describe.gives(shapes.Key, "The public half."))
async def repository_key(site: At, asker: Maintainer, name: str) -> Response:
    """The deploy key of a repository, made when it is first asked for."""
    return answer(shapes.Key(await site.engine.repository_key(asker.actor, name)))


@router.post("/repositories/{name}/webhook", responses=describe.gives(shapes.Webhook, "Its address and new secret."))
async def make_webhook(request: Request, site: At, asker: Maintainer, name: str) -> Response:
    """A new secret for a repository's webhooks, in place of an earlier one; from then on only it signs them."""
    found = await site.engine.db.read(repositories.by_name, name)
    secret = await site.engine.secrets.make_webhook_secret(asker.actor, name)
    return answer(shapes.Webhook(hooks.address(found, address_of(request)), secret))


@router.delete("/repositories/{name}/webhook", status_code=204, response_class=Response)
async def remove_webhook(site: At, asker: Maintainer, name: str) -> Response:
    """Forget the secret of a repository's webhooks: they need only what the server asks of all."""
    await site.engine.secrets.remove_webhook_secret(asker.actor, name)
    return Response(status_code=204)


@router.post("/repositories/{name}/look", status_code=202, response_class=Response)
async def look(site: At, asker: Developer, name: str) -> Response:  # noqa: ARG001 - it must be somebody who may
    """Look at the remote now."""
    await site.engine.look(name)
    return Response(status_code=202)


def policy_of(word: str) -> CommitPolicy:
    """The policy that a word names."""
    try:
        return CommitPolicy(word)
    except ValueError:
        raise BadInput(f"commits must be one of {', '.join(CommitPolicy)}, not {word[:40]!r}") from None


def _commits(
    tx: Tx, name: str, branch: str | None, before: int | None, limit: int
) -> tuple[list[CommitLine], int | None]:
    return listing.commits(tx, repositories.by_name(tx, name), branch, before, limit)


@router.get("/repositories/{name}/commits", responses=describe.gives_page(shapes.CommitShape, "Commits, newest first."))
async def list_commits(
    request: Request,
    site: At,
    name: str,
    branch: Annotated[str | None, Query(max_length=1000)] = None,
    limit: Limit = listing.PAGE,
    cursor: Cursor = None,
) -> Response:
    """The commits that have builds, newest first, each with its verdict."""
    found, rest = await site.engine.db.read(_commits, name, branch, cursor_id(cursor), limit)
    address = address_of(request)
    return page([shaping.commit(each, name, address) for each in found], rest)


def one_commit(tx: Tx, name: str, commit: str) -> CommitLine:
    """A commit with its builds. Raises NotFound."""
    repository = repositories.by_name(tx, name)
    sha = listing.commit_of(tx, repository, commit.lower())
    found = listing.commit_lines(tx, repository.id, [sha])
    return found[0] if found else listing.untested(tx, repository.id, sha)


@router.get(
    "/repositories/{name}/commits/{commit}",
    responses=describe.gives(shapes.CommitShape, "The commit with its verdict."),
)
async def show_commit(request: Request, site: At, name: str, commit: str) -> Response:
    """One commit with its builds; its id may be shortened. Its verdict is folded over its builds."""
    found = await site.engine.db.read(one_commit, name, commit)
    return answer(shaping.commit(found, name, address_of(request)))
