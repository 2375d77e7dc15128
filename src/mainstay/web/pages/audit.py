"""The audit trail: who did what, when, from where."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from mainstay.model.errors import BadInput
from mainstay.store import audit as store
from mainstay.store import repositories
from mainstay.store.audit import Asked, Entry
from mainstay.store.database import Tx
from mainstay.web.access import admin
from mainstay.web.options import site_of
from mainstay.web.pages.rendering import Crumb, render, speak

PAGE = 100
FILTERS = ("actor", "action", "repository")


def listed(
    tx: Tx, actor: str | None, action: str | None, repository: str | None, before: int | None, limit: int
) -> tuple[list[Entry], int | None]:
    """A page of the trail. Raises NotFound for an unknown repository."""
    repository_id = None if repository is None else repositories.by_name(tx, repository).id
    return store.page(tx, Asked(action, repository_id, actor), before, limit)


async def audit(request: Request) -> Response:
    """The trail, newest first."""
    viewer = await admin(request)
    words, _ = speak(request)
    asked = {key: request.query_params.get(key, "").strip()[:200] for key in FILTERS}
    before = request.query_params.get("before")
    if before is not None and not (before.isascii() and before.isdigit() and len(before) < 19):
        raise BadInput("the place to go on from is not one that this page has given out")
    rows, rest = await site_of(request).engine.db.read(
        listed,
        asked["actor"] or None,
        asked["action"] or None,
        asked["repository"] or None,
        None if before is None else int(before),
        PAGE,
    )
    kept = {key: value for key, value in asked.items() if value}
    return render(
        request,
        "audit.html",
        viewer,
        title=words.plain("Audit trail"),
        crumbs=(Crumb(words.plain("Audit trail"), "/audit"),),
        heading=words("What people have changed") if rows else words("Nothing was changed yet that fits"),
        rows=rows,
        asked=asked,
        following=None if rest is None else f"/audit?{urlencode({**kept, 'before': rest})}",
    )
