"""What a person is told of, by mail: their own choice."""

from dataclasses import dataclass, field

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mainstay.engine import subscriptions
from mainstay.engine.access import Identity
from mainstay.flow import audience, permit
from mainstay.model.errors import BadInput, MainstayError, NotSignedIn
from mainstay.model.report import FOR_PEOPLE, ReportKind, Subscription
from mainstay.store import channels, people, repositories
from mainstay.store import subscriptions as store
from mainstay.store.database import Tx
from mainstay.web.access import signed_in
from mainstay.web.options import site_of
from mainstay.web.pages.acting import form_of
from mainstay.web.pages.rendering import Crumb, render, speak
from mainstay.web.pages.reports import SAID
from mainstay.web.pages.words import Words

PATH = "/account/messages"


@dataclass(frozen=True, slots=True)
class _Mine:
    """What a person is told of, and what they can choose from."""

    asked: list[Subscription] = field(default_factory=list)
    address: str | None = None
    names: list[str] = field(default_factory=list)
    """Repositories that they may see."""
    refused: list[str | None] = field(default_factory=list)
    as_author: bool = False


def _read(tx: Tx, viewer: Identity) -> _Mine:
    if viewer.person_id is None:
        return _Mine()
    person = people.get(tx, viewer.person_id)
    names = [each.name for each in repositories.all_of(tx, permit.sight(viewer.grants))]
    address = audience.address_of(person.email or "")
    refused = channels.refusals_of(tx, address) if address else []
    return _Mine(store.of_person(tx, person.id), address, names, refused, person.told_as_author)


async def mine(request: Request) -> Response:
    """What the reader is told of."""
    viewer = await signed_in(request)
    if viewer is None:
        raise NotSignedIn("sign in to read this")
    return await _page(request, viewer)


async def _page(request: Request, viewer: Identity, problem: str | None = None) -> Response:
    words, _ = speak(request)
    engine = site_of(request).engine
    found = await engine.db.read(_read, viewer)
    return render(
        request,
        "my_messages.html",
        viewer,
        title=words.plain("My messages"),
        status=200 if problem is None else 422,
        crumbs=(Crumb(words.plain("Your account"), "/account"), Crumb(words.plain("My messages"), PATH)),
        heading=_heading(found, words),
        path=PATH,
        mine=found,
        mail_is_set=engine.delivering.outlet.mail is not None,
        choices=FOR_PEOPLE,
        said=SAID,
        problem=problem,
    )


def _heading(found: _Mine, words: Words) -> Markup:
    if found.asked:
        one, many = "You have asked to be told of 1 thing", "You have asked to be told of {n} things"
        return words.count(len(found.asked), one, many)
    if found.as_author:
        return words("You are told when commits of yours break a branch")
    return words("You are told of nothing")


async def subscribe(request: Request) -> Response:
    """Be told of a repository, or of all."""
    person, fields = await form_of(request, None)
    engine = site_of(request).engine
    kinds = tuple(ReportKind(kind) for kind in FOR_PEOPLE if fields.get(f"on-{kind}"))
    branches = tuple(fields.get("branches", "").split())
    repository = fields.get("repository") or None
    language, now = fields.get("language", "en"), engine.clock.now()
    try:
        await engine.db.write(subscriptions.subscribe, person.actor, repository, branches, kinds, language, now)
    except MainstayError as error:
        if error.status not in (404, 422):
            raise
        return await _page(request, person, error.message)
    return RedirectResponse(PATH, 303)


async def unsubscribe(request: Request) -> Response:
    """Be told no more of something."""
    person, _ = await form_of(request, None)
    engine = site_of(request).engine
    number = min(int(request.path_params["subscription"]), 1 << 61)
    await engine.db.write(subscriptions.unsubscribe, person.actor, number, engine.clock.now())
    return RedirectResponse(PATH, 303)


async def write_again(request: Request) -> Response:
    """Take back what was refused with links in mails."""
    person, _ = await form_of(request, None)
    engine = site_of(request).engine
    found = await engine.db.read(_read, person)
    if found.address is not None:
        await engine.db.write(subscriptions.write_again, person.actor, found.address, engine.clock.now())
    return RedirectResponse(PATH, 303)


async def as_author(request: Request) -> Response:
    """Be told, or not, when commits of one's own break a branch."""
    person, fields = await form_of(request, None)
    engine = site_of(request).engine
    wanted = fields.get("wanted") == "yes"
    try:
        await engine.db.write(subscriptions.as_author, person.actor, wanted, engine.clock.now())
    except BadInput as error:
        return await _page(request, person, error.message)
    return RedirectResponse(PATH, 303)
