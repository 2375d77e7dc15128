"""What other programs show of us: badges, cctray, Atom feeds. Readable as pages are."""

import hashlib
import re
from datetime import datetime
from xml.sax.saxutils import escape, quoteattr

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mainstay.flow import build as build_flow
from mainstay.model.states import BuildState
from mainstay.store import repositories
from mainstay.store.database import Tx
from mainstay.store.views import builds as views
from mainstay.store.views import commits as commit_views
from mainstay.web import listing
from mainstay.web.access import reader, sight_of
from mainstay.web.api.shaping import sure
from mainstay.web.history import OPEN
from mainstay.web.listing import Line
from mainstay.web.options import address_of, site_of

COLOURS = {
    BuildState.PASSED: "#1a7f4b",
    BuildState.FAILED: "#c0322f",
    BuildState.ALLOWED: "#9a6700",
    BuildState.RUNNING: "#1f6feb",
}
GREY = "#5f6b76"
RECENT = 30
LABEL = re.compile(r"[^A-Za-z0-9 ._-]")
"""What a badge's label leaves out: what would be no text in a picture, or not as wide as it is reckoned."""
NOT_XML = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def last_verdict(tx: Tx, name: str, branch: str, workflow: str | None = None) -> BuildState | None:
    """The verdict of the newest commit of a branch that has one; None: there is none yet.

    `workflow`: only of its builds, by its name or its file.
    """
    repository = repositories.by_name(tx, name)
    heads = views.last_of_ref(tx, repository.id, listing.ref_of(branch), RECENT)
    shas = list(dict.fromkeys(head.commit for head in heads))
    for line in listing.commit_lines(tx, repository.id, shas, listing.ref_of(branch)):
        wanted = [each.state for each in line.builds if workflow in (None, each.head.workflow, each.head.source)]
        state = build_flow.verdict(wanted) if wanted else None
        if state is not None and state not in OPEN:
            return state
    return None


async def badge(request: Request) -> Response:
    """A picture of a branch's state; with `?workflow=NAME` of one of its workflows."""
    await reader(request)
    name, branch = request.path_params["name"], request.path_params["branch"]
    workflow = request.query_params.get("workflow") or None
    state = await site_of(request).engine.db.read(last_verdict, name, branch, workflow)
    label = LABEL.sub("", workflow or "")[:40] or "tests"
    picture = drawn(label, state)
    # Whoever keeps it asks before it is shown again, and is answered without a body while it is the same.
    tag = f'"{hashlib.sha256(picture.encode()).hexdigest()[:16]}"'
    headers = {"Cache-Control": "no-cache, max-age=0", "Cross-Origin-Resource-Policy": "cross-origin", "ETag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(picture, headers=headers, media_type="image/svg+xml")


def drawn(label: str, state: BuildState | None) -> str:
    """The badge as SVG; its parts are as wide as their words."""
    word = state.value if state else "no verdict"
    left, right = 12 + 7 * len(label), 12 + 7 * len(word)
    colour = COLOURS.get(state, GREY) if state else GREY
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{label}: {word}"><title>{label}: {word}</title>'
        f'<path fill="#3a444d" d="M3 0h{left - 3}v20H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z"/>'
        f'<path fill="{colour}" d="M{left} 0h{right - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3H{left}z"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="{left / 2}" y="14" textLength="{left - 12}">{label}</text>'
        f'<text x="{left + right / 2}" y="14" textLength="{right - 12}">{word}</text></g></svg>'
    )


def _projects(tx: Tx, seen: frozenset[int] | None) -> list[tuple[str, str, list[Line]]]:
    """Repository, branch and newest builds of each repository's main branch."""
    found = []
    for repository in repositories.all_of(tx, seen):
        ref = listing.main_branch(commit_views.branches(tx, repository.id))
        if ref is not None:
            lines = listing.lines(tx, views.last_of_ref(tx, repository.id, ref, 10))
            found.append((repository.name, ref.rpartition("refs/heads/")[2], lines))
    return found


async def cctray(request: Request) -> Response:
    """The state of every main branch, as desktop and wall monitors read it."""
    await reader(request)
    address = address_of(request)
    rows = ['<?xml version="1.0" encoding="UTF-8"?>', "<Projects>"]
    for name, branch, lines in await site_of(request).engine.db.read(_projects, sight_of(request)):
        ended = next((line for line in lines if line.ended), None)
        if not lines:
            continue
        activity = "Sleeping" if lines[0].ended else "Building"
        attributes = {
            "name": _clean(f"{name} {branch}"),
            "activity": activity,
            "lastBuildStatus": _status(ended),
            "lastBuildLabel": str((ended or lines[0]).head.number),
            "lastBuildTime": sure(_end(ended or lines[0])),
            "webUrl": f"{address}/repositories/{name}",
        }
        rows.append("  <Project " + " ".join(f"{key}={quoteattr(value)}" for key, value in attributes.items()) + "/>")
    return Response("\n".join([*rows, "</Projects>", ""]), media_type="application/xml")


def _status(line: Line | None) -> str:
    if line is None:
        return "Unknown"
    return {BuildState.PASSED: "Success", BuildState.ALLOWED: "Success", BuildState.FAILED: "Failure"}.get(
        line.state, "Unknown"
    )


def _end(line: Line) -> datetime:
    return line.finished_at or line.head.created_at


def _ended_builds(tx: Tx, name: str) -> list[Line]:
    found, _ = listing.page(tx, listing.Query(repository=name), None, 50)
    return [line for line in found if line.ended]


async def atom(request: Request) -> Response:
    """The last verdicts of a repository."""
    await reader(request)
    name, address = request.path_params["name"], address_of(request)
    lines = await site_of(request).engine.db.read(_ended_builds, name)
    updated = max((_end(line) for line in lines), default=site_of(request).engine.clock.now())
    rows = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<feed xmlns="http://www.w3.org/2005/Atom">',
        f"<id>{escape(address)}/feeds/{escape(name)}.atom</id>",
        f"<title>{escape(name)}: builds</title>",
        f"<updated>{sure(updated)}</updated>",
        f"<link rel={quoteattr('self')} href={quoteattr(f'{address}/feeds/{name}.atom')}/>",
        *(_entry(line, address) for line in lines),
        "</feed>",
        "",
    ]
    return Response("\n".join(rows), media_type="application/atom+xml")


def _entry(line: Line, address: str) -> str:
    head = line.head
    url = f"{address}/builds/{head.id}"
    title = _clean(f"{head.repository}#{head.number} {line.state}: {head.ref.removeprefix('refs/heads/')}")
    detail = _clean(f"{head.workflow} on {head.commit[:8]} {line.state}. {head.reason or ''}".strip())
    return (
        f"<entry><id>{escape(url)}</id><title>{escape(title)}</title><updated>{sure(_end(line))}</updated>"
        f"<author><name>Mainstay</name></author><link href={quoteattr(url)}/>"
        f"<content>{escape(detail)}</content></entry>"
    )


def _clean(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return NOT_XML.sub(" ", text)


routes = [
    Route("/badge/{name}/{branch:path}.svg", badge),
    Route("/cctray.xml", cctray),
    Route("/feeds/{name}.atom", atom),
]
