"""The command palette: where a few typed letters can lead. Its rows are found here, its keys are in `keys.js`."""

import re
from dataclasses import dataclass
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mainstay.model.repository import Repository
from mainstay.store import repositories
from mainstay.store.database import Tx
from mainstay.store.views import builds as views
from mainstay.store.views import finding
from mainstay.web.access import reader, sight_of
from mainstay.web.listing import HEX
from mainstay.web.options import site_of
from mainstay.web.pages.forms import branch
from mainstay.web.pages.marks import path_of
from mainstay.web.pages.rendering import speak
from mainstay.web.pages.words import Words

LONGEST = 200
FEW = 8
SEARCHED = 200
"""Repositories that are searched for a commit."""
_BUILD = re.compile(r"(?:(.{1,100})#|#?)(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Place:
    """A row of the palette."""

    kind: str
    text: str
    href: str


async def palette(request: Request) -> Response:
    """The places for `?q=`, best first; `?here=` names the repository that the page is about."""
    await reader(request)
    words, _ = speak(request)
    text = request.query_params.get("q", "").strip()[:LONGEST]
    here = request.query_params.get("here", "")[:LONGEST]
    seen = sight_of(request)
    found = _pages(text, here, words) + await site_of(request).engine.db.read(_found, text, here, seen, words)
    body = msgspec.json.encode([{"kind": each.kind, "text": each.text, "href": each.href} for each in found])
    return Response(body, headers={"Cache-Control": "no-store"}, media_type="application/json")


def _pages(text: str, here: str, words: Words) -> list[Place]:
    """The pages that have that in their name; all of them for nothing."""
    pages = [("Repositories", "/"), ("Queue", "/queue"), ("Runners", "/runners"), ("Schedules", "/schedules")]
    found = [Place(words.plain("Page"), words.plain(name), href) for name, href in pages]
    if here:
        at = path_of(here)
        mine = [("Commits", at), ("Tests", f"{at}/tests"), ("Start a workflow", f"{at}/start")]
        found[:0] = [Place(here, words.plain(name), href) for name, href in mine]
    return [each for each in found if text.lower() in each.text.lower()]


def _found(tx: Tx, text: str, here: str, seen: frozenset[int] | None, words: Words) -> list[Place]:
    known = repositories.all_of(tx, seen)
    mine = next((each for each in known if each.name == here), None)
    wanted = text.lower()
    named = sorted((each for each in known if wanted in each.name.lower()), key=lambda each: _rank(each, wanted))
    found = [*_builds(tx, text, known, mine, words)]
    found += [Place(words.plain("Repository"), each.name, path_of(each.name)) for each in named[:FEW]]
    if HEX.fullmatch(wanted):
        order = ([mine] if mine else []) + [each for each in known if each is not mine]
        names = {each.id: each.name for each in known}
        for repository_id, sha, subject in finding.commits_by_prefix(
            tx, [each.id for each in order[:SEARCHED]], wanted
        ):
            name = names[repository_id]
            found.append(Place(words.plain("Commit"), f"{sha[:8]} {subject}", path_of(name, "commits", sha)))
    if mine is not None and len(text) >= 2:
        for ref in finding.refs_like(tx, mine.id, text):
            href = f"{path_of(mine.name)}?branch={quote(branch(ref), safe='')}"
            found.append(Place(words.plain("Branch"), branch(ref), href))
        for name in finding.tests_like(tx, mine.id, text):
            found.append(Place(words.plain("Test"), name, f"{path_of(mine.name)}/tests/{quote(name, safe='')}"))
    return found


def _rank(repository: Repository, wanted: str) -> tuple[bool, str]:
    return not repository.name.lower().startswith(wanted), repository.name


def _builds(tx: Tx, text: str, known: list[Repository], mine: Repository | None, words: Words) -> list[Place]:
    """The build that `12`, `#12` or `demo#12` means."""
    match = _BUILD.fullmatch(text)
    if match is None:
        return []
    repository = mine if match[1] is None else next((each for each in known if each.name == match[1]), None)
    build_id = views.id_of_number(tx, repository.id, int(match[2])) if repository else None
    if repository is None or build_id is None:
        return []
    return [Place(words.plain("Build"), f"{repository.name}#{match[2]}", f"/builds/{build_id}")]
