"""The settings of a repository: how it is watched, what its jobs are given, its keys, badges, and its end."""

from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from mainstay.engine.access import Identity
from mainstay.model.errors import BadInput
from mainstay.model.person import Role
from mainstay.model.repository import CommitPolicy, Repository, branch_of
from mainstay.model.secret import Secret, Variable
from mainstay.store import repositories, variables
from mainstay.store import secrets as secrets_store
from mainstay.store.database import Tx
from mainstay.store.views import commits as commit_views
from mainstay.store.views.environments import Environment, environments
from mainstay.web import hooks, listing
from mainstay.web.access import address_is_judged, check
from mainstay.web.options import address_of, site_of
from mainstay.web.pages import secrets
from mainstay.web.pages.acting import form_of, who_may
from mainstay.web.pages.forms import Forms
from mainstay.web.pages.marks import path_of
from mainstay.web.pages.rendering import Crumb, render, speak
from mainstay.web.pages.words import Words


@dataclass(frozen=True, slots=True)
class View:
    """What the page shows."""

    repository: Repository
    secrets: tuple[Secret, ...]
    variables: tuple[Variable, ...]
    environments: tuple[Environment, ...]
    webhook_by: str | None
    """Who made the secret of its webhooks; None: it has none of its own."""
    branch: str
    """That badges show."""


def _view(tx: Tx, name: str) -> View:
    found = repositories.by_name(tx, name)
    kept, values = secrets_store.listed(tx, found.id), variables.listed(tx, found.id)
    hook = secrets_store.webhook(tx, found.id)
    main = listing.main_branch(commit_views.branches(tx, found.id))
    return View(
        found,
        tuple(kept),
        tuple(values),
        tuple(environments(tx, found.id, kept, values)),
        None if hook is None else hook.made_by,
        (branch_of(main) if main else None) or "main",
    )


async def settings(request: Request) -> Response:
    """All settings of a repository, for those who may change them."""
    return await page(request, await who_may(request, Role.MAINTAINER))


async def page(request: Request, person: Identity, *, webhook_secret: str | None = None) -> Response:
    """The page. `webhook_secret`: a new one, which is shown this once."""
    words, forms = speak(request)
    name, site = request.path_params["name"], site_of(request)
    view = await site.engine.db.read(_view, name)
    address = address_of(request)
    return render(
        request,
        "settings.html",
        person,
        title=words.plain("Settings of {name}", name=name),
        crumbs=(Crumb(name, path_of(name)), Crumb(words.plain("Settings"), path_of(name, "settings"))),
        view=view,
        heading=_heading(view.repository, words, forms),
        path=path_of(name, "settings"),
        lives=view.repository.address or f"{address}/git/{name}.git",
        policies=[each.value for each in CommitPolicy],
        badges=badges(name, view.branch, address),
        hook=hooks.address(view.repository, address),
        webhook_secret=webhook_secret,
        public_repositories=site.options.public_repositories,
    )


def _heading(repository: Repository, words: Words, forms: Forms) -> Markup:
    if repository.paused_at is not None:
        text = "{name} is paused since {when}, by {who}: pushes and schedules start nothing"
        who = repository.paused_by or ""
        return words(text, name=repository.name, when=forms.clock(repository.paused_at), who=who)
    if repository.url is None:
        return words("{name} lives here; people push to it", name=repository.name)
    return words("{name} is watched at {address}", name=repository.name, address=repository.address or "")


def badges(name: str, branch: str, address: str) -> tuple[tuple[str, str], ...]:
    """The badge of a branch, to be pasted: kind and text."""
    image = f"{address}/badge/{quote(name)}/{quote(branch)}.svg"
    page = f"{address}{path_of(name)}"
    return (
        ("Markdown", f"[![tests]({image})]({page})"),
        ("reStructuredText", f".. image:: {image}\n   :target: {page}\n   :alt: tests"),
        ("HTML", f'<a href="{escape(page)}"><img src="{escape(image)}" alt="tests"></a>'),
    )


async def change(request: Request) -> Response:
    """How it is watched."""
    person, fields = await form_of(request, Role.MAINTAINER)
    name, engine = request.path_params["name"], site_of(request).engine
    values: dict[str, object] = {
        "branches": fields.get("branches", "").split(),
        "commits": _policy(fields.get("commits", "")),
        "supersede": fields.get("supersede") == "on",
        "bisect": fields.get("bisect") == "on",
    }
    found = await engine.repositories.by_name(name)
    public = fields.get("public") == "on"
    if public != found.public and "may_publish" in fields:  # the form of somebody who may has that field
        await check(request, person, Role.ADMIN)
        values["public"] = public
    if found.url is not None:
        values["poll_s"] = _seconds(fields.get("poll_s", ""))
        # An address with a password in it is shown without; sent back as shown it means that it stays.
        if (url := fields.get("url", "").strip()) and url != found.address:
            values |= {"url": url, "judged": address_is_judged(person, url)}
    await engine.set_repository(person.actor, name, **values)
    return _back(name)


def _policy(word: str) -> CommitPolicy:
    try:
        return CommitPolicy(word)
    except ValueError:
        raise BadInput(f"commits must be one of {', '.join(CommitPolicy)}, not {word[:40]!r}") from None


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"{text[:40]!r} is no number of seconds") from None


async def pause(request: Request) -> Response:
    """Let neither pushes nor schedules start anything, or again."""
    person, fields = await form_of(request, Role.MAINTAINER)
    name = request.path_params["name"]
    await site_of(request).engine.set_repository(person.actor, name, paused=fields.get("pause") == "yes")
    return _back(name, "end")


async def remove(request: Request) -> Response:
    """Watch it no longer; the form repeats its name."""
    person, fields = await form_of(request, Role.ADMIN)
    name = request.path_params["name"]
    if fields.get("confirm", "").strip() != name:
        raise BadInput(f"nothing was removed: write the name {name} into the field to remove it")
    await site_of(request).engine.remove_repository(person.actor, name)
    return RedirectResponse("/", 303)


async def key(request: Request) -> Response:
    """Make its deploy key."""
    person, _ = await form_of(request, Role.MAINTAINER)
    name = request.path_params["name"]
    await site_of(request).engine.repository_key(person.actor, name)
    return _back(name, "key")


async def webhook(request: Request) -> Response:
    """Make or replace the secret of its webhooks, shown this once; or forget it."""
    person, fields = await form_of(request, Role.MAINTAINER)
    name, engine = request.path_params["name"], site_of(request).engine
    if fields.get("do") == "remove":
        await engine.secrets.remove_webhook_secret(person.actor, name)
        return _back(name, "webhook")
    secret = await engine.secrets.make_webhook_secret(person.actor, name)
    return await page(request, person, webhook_secret=secret)


def _back(name: str, part: str = "") -> Response:
    return RedirectResponse(path_of(name, "settings") + (f"#{part}" if part else ""), 303)


_HERE = "/repositories/{name}/settings"
routes = [
    Route(_HERE, settings),
    Route(_HERE, change, methods=["POST"]),
    Route(f"{_HERE}/pause", pause, methods=["POST"]),
    Route(f"{_HERE}/remove", remove, methods=["POST"]),
    Route(f"{_HERE}/key", key, methods=["POST"]),
    Route(f"{_HERE}/webhook", webhook, methods=["POST"]),
    Route(f"{_HERE}/{{kind}}", secrets.of_repository, methods=["POST"]),
    Route("/settings", secrets.settings),
    Route("/settings/{kind}", secrets.of_all, methods=["POST"]),
]
