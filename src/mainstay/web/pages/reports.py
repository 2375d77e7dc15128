"""Where reports of a repository go and what became of each message; and the way out of mail, without signing in."""

from dataclasses import dataclass

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mainstay.engine import subscriptions
from mainstay.engine.access import Identity
from mainstay.engine.channels import CHOICES, NewChannel
from mainstay.model.errors import BadInput, MainstayError, NotAllowed, NotFound, NotSignedIn
from mainstay.model.person import Role
from mainstay.model.report import Channel, ChannelKind, DeliveryState, ReportKind
from mainstay.notify.headline import heading
from mainstay.notify.words import words_in
from mainstay.store import channels as store
from mainstay.store import deliveries, repositories
from mainstay.store.database import Tx
from mainstay.store.deliveries import Backlog, Delivery
from mainstay.web import bodies
from mainstay.web.access import asking, reader
from mainstay.web.options import site_of
from mainstay.web.pages.acting import form_of
from mainstay.web.pages.marks import path_of
from mainstay.web.pages.rendering import Crumb, render, speak
from mainstay.web.pages.words import Words

PAGE = 50
SIGNS = {
    DeliveryState.SENT: "passed",
    DeliveryState.WAITING: "waiting",
    DeliveryState.FAILED: "failed",
    DeliveryState.DROPPED: "cancelled",
}


SAID = {
    ReportKind.BROKEN: "a branch breaks",
    ReportKind.STILL_BROKEN: "it is still broken",
    ReportKind.FIXED: "it is mended",
    ReportKind.FLAKY: "a test is flaky",
    ReportKind.DIGEST: "a scheduled build ends",
    ReportKind.FINISHED: "any build ends (webhooks only)",
}
"""What each report is about, as people choose it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One message as a line."""

    delivery: Delivery
    said: str
    sign: str


@dataclass(frozen=True, slots=True)
class _View:
    channels: tuple[Channel, ...]
    messages: tuple[Delivery, ...]
    backlog: dict[ChannelKind, Backlog]
    repository_id: int


def _read(tx: Tx, name: str, state: DeliveryState | None, before: int | None) -> _View:
    found = repositories.by_name(tx, name)
    messages = deliveries.newest(tx, found.id, [state] if state else [], before, PAGE)
    return _View(tuple(store.of_repository(tx, found.id)), tuple(messages), deliveries.backlog(tx, found.id), found.id)


async def notifications(request: Request) -> Response:
    """The channels of a repository, and its messages: who is written to is not for everybody who may read."""
    viewer = await reader(request)
    found = asking(request)
    if viewer is None:
        raise NotSignedIn("sign in to read this")
    if found is None or found.role is None or found.role < Role.DEVELOPER:
        raise NotAllowed("messages are shown to developers of this repository; an administrator can make you one")
    return await _page(request, viewer)


async def _page(
    request: Request,
    viewer: Identity | None,
    secret: tuple[str, str] | None = None,
    problem: str | None = None,
    typed: dict[str, str] | None = None,
) -> Response:
    words, _ = speak(request)
    name = request.path_params["name"]
    asked = request.query_params.get("state") or None
    before = request.query_params.get("before", "")
    if asked is not None and asked not in set(DeliveryState):
        raise BadInput("there is no such state of a message")
    if before and not (before.isascii() and before.isdigit() and len(before) < 19):
        raise BadInput("the place to go on from is not one that this page has given out")
    state = DeliveryState(asked) if asked else None
    view = await site_of(request).engine.db.read(_read, name, state, int(before) if before else None)
    english = words_in(words.language)
    path = path_of(name, "notifications")
    return render(
        request,
        "notifications.html",
        viewer,
        title=f"{words.plain('Messages')} {name}",
        status=200 if problem is None else 422,
        live=(f"repo:{view.repository_id}", "delivered"),
        crumbs=(Crumb(name, path_of(name)), Crumb(words.plain("Messages"), path)),
        heading=_heading(name, view, words),
        name=name,
        path=path,
        view=view,
        rows=[Row(each, heading(each.report, english)[2:], SIGNS[each.state]) for each in view.messages],
        states=list(DeliveryState),
        asked=asked,
        following=f"{path}?state={asked or ''}&before={view.messages[-1].id}" if len(view.messages) == PAGE else None,
        choices=CHOICES,
        said=SAID,
        kinds=list(ChannelKind),
        secret=secret,
        problem=problem,
        typed=typed or {},
    )


def _heading(name: str, view: _View, words: Words) -> Markup:
    failing = [each for each in view.backlog.values() if each.failing]
    if failing:
        count = sum(each.failing for each in failing)
        return words.count(count, "1 message cannot be delivered", "{n} messages cannot be delivered")
    if not view.channels:
        return words("Nobody is told when {name} breaks, besides authors of commits", name=name)
    return words.count(
        len(view.channels),
        "{name} tells 1 channel when it breaks and when it is mended",
        "{name} tells {n} channels when it breaks and when it is mended",
        name=name,
    )


async def add(request: Request) -> Response:
    """Add a channel; a webhook's secret is shown this once, on the page that answers."""
    person, fields = await form_of(request, Role.MAINTAINER)
    name = request.path_params["name"]
    try:
        new = NewChannel(
            fields.get("name", "").strip(),
            ChannelKind(fields.get("kind", "")),
            fields.get("address", "").strip(),
            tuple(fields.get("branches", "").split()) or ("*",),
            tuple(ReportKind(kind) for kind in CHOICES if fields.get(f"on-{kind}")),
            fields.get("language", "en"),
        )
        channel, secret = await site_of(request).engine.channels.add(person.actor, name, new)
    except ValueError:
        raise BadInput("a channel is mail, chat or webhook") from None
    except NotFound:
        raise
    except MainstayError as error:
        if error.status not in (409, 422):
            raise
        return await _page(request, person, problem=error.message, typed=fields)
    if secret is not None:
        return await _page(request, person, secret=(channel.name, secret))
    return RedirectResponse(path_of(name, "notifications"), 303)


async def act(request: Request) -> Response:
    """Try or remove a channel."""
    person, fields = await form_of(request, Role.MAINTAINER)
    name, action = request.path_params["name"], request.path_params["action"]
    channels, channel = site_of(request).engine.channels, fields.get("channel", "")
    match action:
        case "test":
            await channels.try_out(person.actor, name, channel)
        case "remove":
            await channels.remove(person.actor, name, channel)
        case _:
            raise NotFound("there is no such command for a channel")
    return RedirectResponse(path_of(name, "notifications"), 303)


async def message_act(request: Request) -> Response:
    """Send a message again or drop it."""
    person, _ = await form_of(request, Role.MAINTAINER)
    name, message = request.path_params["name"], int(request.path_params["message"])
    if message >= 1 << 62:
        raise NotFound("there is no message with this number")
    channels = site_of(request).engine.channels
    match request.path_params["action"]:
        case "send":
            await channels.send_again(person.actor, name, message)
        case "drop":
            await channels.drop(person.actor, name, message)
        case _:
            raise NotFound("there is no such command for a message")
    return RedirectResponse(path_of(name, "notifications"), 303)


# -- the way out of mail ----------------------------------------------------------------------------------------------


async def way_out(request: Request) -> Response:
    """What a mail's link opens. Nothing is changed yet: programs that look at mail open links too."""
    return await _out_page(request)


async def _out_page(request: Request) -> Response:
    words, _ = speak(request)
    engine = site_of(request).engine
    who = engine.delivering.way_out.reader(request.path_params["token"])
    refused, name = await engine.db.read(_refusals, who.address, who.repository_id)
    return render(
        request,
        "way_out.html",
        None,
        title=words.plain("Mail from Mainstay"),
        address=who.address,
        name=name,
        path=request.url.path,
        all_refused=None in refused,
        refused=name in refused,
    )


def _refusals(tx: Tx, address: str, repository_id: int) -> tuple[list[str | None], str]:
    return store.refusals_of(tx, address), repositories.get(tx, repository_id).name


async def leave(request: Request) -> Response:
    """Stop or take up mail to one address. The link proves whose it is, so no session and no form token is needed.

    Mail programs send `List-Unsubscribe=One-Click` (RFC 8058); people press one of the page's buttons.
    """
    engine = site_of(request).engine
    who = engine.delivering.way_out.reader(request.path_params["token"])
    fields = await bodies.form(request)
    wanted = "repository" if fields.get("List-Unsubscribe") == "One-Click" else fields.get("stop", "")
    await engine.db.read(repositories.get, who.repository_id)
    now = engine.clock.now()
    match wanted:
        case "repository":
            await engine.db.write(subscriptions.stop, who.address, who.repository_id, now)
        case "all":
            await engine.db.write(subscriptions.stop, who.address, None, now)
        case "nothing":
            await engine.db.write(subscriptions.take_up, who.address, who.repository_id, now)
        case _:
            raise BadInput("say what to stop: repository, all, or nothing")
    return await _out_page(request)
