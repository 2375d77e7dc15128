"""People, their roles, and what they have done: for administrators."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from mainstay.model.errors import BadInput
from mainstay.model.person import Person, role_named
from mainstay.store import audit as trail
from mainstay.store import people, repositories
from mainstay.store.audit import Asked, Entry
from mainstay.store.database import Tx
from mainstay.web import listing
from mainstay.web.api import describe
from mainstay.web.api import people_shapes as shapes
from mainstay.web.api.asking import Admin, At, Cursor, Limit, ServerAdmin, answer, body_of, cursor_id, page
from mainstay.web.api.shaping import moment, sure
from mainstay.web.options import address_of

router = APIRouter(tags=["people"])


def _fields(tx: Tx, person: Person) -> dict[str, Any]:
    how = "openid" if person.issuer else "password" if person.has_password else "nothing"
    return {
        "name": person.name,
        "full_name": person.full_name,
        "email": person.email,
        "role": person.role.word if person.role else None,
        "group_role": person.group_role.word if person.group_role else None,
        "roles": [
            shapes.RoleShape(name, role.word, origin) for _, name, role, origin in people.roles_of(tx, person.id)
        ],
        "signs_in_with": how,
        "created_at": sure(person.created_at),
        "seen_at": moment(person.seen_at),
    }


def _one(tx: Tx, name: str) -> dict[str, Any]:
    return _fields(tx, people.by_name(tx, name))


def _listed(tx: Tx, after: str, limit: int) -> tuple[list[shapes.PersonShape], str | None]:
    found = people.all_of(tx, after, limit + 1)
    shown = [shapes.PersonShape(**_fields(tx, each)) for each in found[:limit]]
    return shown, found[limit - 1].name if len(found) > limit else None


@router.get("/people", responses=describe.gives_page(shapes.PersonShape, "Everybody who can sign in, by name."))
async def list_people(site: At, asker: ServerAdmin, limit: Limit = listing.PAGE, cursor: Cursor = None) -> Response:  # noqa: ARG001 - it must be somebody who may
    """Everybody who can sign in, by name."""
    found, rest = await site.engine.db.read(_listed, cursor or "", limit)
    return page(found, rest)


@router.post(
    "/people",
    status_code=201,
    responses=describe.gives(shapes.InvitedPerson, "The person, and the link for them.", 201),
    openapi_extra=describe.takes(shapes.NewPerson),
)
async def add_person(request: Request, site: At, asker: ServerAdmin) -> Response:
    """Let somebody in."""
    new = await body_of(request, shapes.NewPerson)
    role = None if new.role is None else role_named(new.role)
    person, link = await site.engine.accounts.add(
        asker.actor, new.name, full_name=new.full_name, email=new.email, role=role
    )
    fields = await site.engine.db.read(_one, person.name)
    return answer(shapes.InvitedPerson(**fields, link=address_of(request) + link), 201)


@router.get("/people/{person}", responses=describe.gives(shapes.PersonShape, "The person."))
async def show_person(site: At, asker: ServerAdmin, person: str) -> Response:  # noqa: ARG001 - it must be somebody who may
    """One person."""
    return answer(shapes.PersonShape(**await site.engine.db.read(_one, person)))


@router.patch(
    "/people/{person}",
    responses=describe.gives(shapes.PersonShape, "The person as it is now."),
    openapi_extra=describe.takes(shapes.PersonChange),
)
async def set_person(request: Request, site: At, asker: ServerAdmin, person: str) -> Response:
    """Change a person's name in full, mail address or role in all repositories."""
    change = await body_of(request, shapes.PersonChange)
    values = {key: value for key, value in msgspec.structs.asdict(change).items() if value is not msgspec.UNSET}
    if not values:
        raise BadInput("nothing is to be changed; name at least one of full_name, email, role")
    changed = await site.engine.accounts.change(asker.actor, person, values)
    return answer(shapes.PersonShape(**await site.engine.db.read(_one, changed.name)))


@router.delete("/people/{person}", status_code=204, response_class=Response)
async def remove_person(site: At, asker: ServerAdmin, person: str) -> Response:
    """Let nobody be this person any more; sessions and tokens end at once."""
    await site.engine.accounts.remove(asker.actor, person)
    return Response(status_code=204)


@router.post("/people/{person}/link", responses=describe.gives(shapes.Link, "The link, shown this once."))
async def invite_person(request: Request, site: At, asker: ServerAdmin, person: str) -> Response:
    """A link with which a person sets a new password."""
    return answer(shapes.Link(address_of(request) + await site.engine.accounts.invite(asker.actor, person)))


def _members(tx: Tx, name: str) -> list[shapes.MemberShape]:
    found = people.members_of(tx, repositories.by_name(tx, name).id)
    return [shapes.MemberShape(person, role.word, origin) for person, role, origin in found]


@router.get(
    "/repositories/{name}/people",
    responses=describe.gives_page(shapes.MemberShape, "Who has a role in that very repository."),
)
async def list_members(site: At, asker: Admin, name: str) -> Response:  # noqa: ARG001 - it must be somebody who may
    """Who has a role in this repository, besides those who have one in all."""
    return page(await site.engine.db.read(_members, name), None)


@router.put(
    "/repositories/{name}/people/{person}",
    status_code=204,
    response_class=Response,
    openapi_extra=describe.takes(shapes.RoleAsk),
)
async def give_role(request: Request, site: At, asker: Admin, name: str, person: str) -> Response:
    """Give somebody a role in this repository."""
    ask = await body_of(request, shapes.RoleAsk)
    await site.engine.accounts.give(asker.actor, person, name, role_named(ask.role))
    return Response(status_code=204)


@router.delete("/repositories/{name}/people/{person}", status_code=204, response_class=Response)
async def take_role(site: At, asker: Admin, name: str, person: str) -> Response:
    """Take somebody's role in this repository away."""
    await site.engine.accounts.give(asker.actor, person, name, None)
    return Response(status_code=204)


def _trail(
    tx: Tx, asked: tuple[str | None, str | None, str | None], before: int | None, limit: int
) -> tuple[list[Entry], int | None]:
    actor, action, repository = asked
    repository_id = None if repository is None else repositories.by_name(tx, repository).id
    return trail.page(tx, Asked(action, repository_id, actor), before, limit)


@router.get("/audit", responses=describe.gives_page(shapes.AuditShape, "Commands, newest first."))
async def list_audit(
    site: At,
    asker: ServerAdmin,  # noqa: ARG001 - it must be somebody who may
    actor: Annotated[str | None, Query(max_length=200)] = None,
    action: Annotated[str | None, Query(max_length=60, description="`build.cancel`, or `build` for all of it.")] = None,
    repo: Annotated[str | None, Query(max_length=100)] = None,
    limit: Limit = listing.PAGE,
    cursor: Cursor = None,
) -> Response:
    """Every command that changed something: who, what, when, from where."""
    found, rest = await site.engine.db.read(_trail, (actor, action, repo), cursor_id(cursor), limit)
    rows = [
        shapes.AuditShape(row.id, sure(row.at), row.actor, row.action, row.subject, row.detail, row.token, row.address)
        for row in found
    ]
    return page(rows, rest)
