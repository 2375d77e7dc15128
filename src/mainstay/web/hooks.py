"""Webhooks: a forge says that something was pushed. What it says is not trusted; it only makes us look at once."""

import hashlib
import hmac
import logging
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mainstay.model.errors import BadInput, NotFound, NotSignedIn
from mainstay.model.repository import Repository
from mainstay.store import repositories
from mainstay.web import bodies
from mainstay.web.options import Site, site_of
from mainstay.web.problems import decoded

log = logging.getLogger(__name__)

HOOK_BYTES = 8 << 20
FORGES = ("github", "gitea", "forgejo", "gogs", "gitlab", "bitbucket", "generic")
SIGNATURES = (
    "x-hub-signature-256", "x-hub-signature", "x-gitea-signature", "x-gogs-signature", "x-mainstay-signature",
    "x-gitlab-token",
)  # fmt: skip
"""Headers by which forges show that they know a secret."""
URL_KEYS = ("clone_url", "ssh_url", "html_url", "git_url", "git_http_url", "git_ssh_url", "http_url", "url", "web_url")


async def receive(request: Request) -> Response:
    """Take a notification and look at the repositories it names; 202 says that we do if we know them."""
    forge = request.path_params["forge"]
    if forge not in FORGES:
        raise NotFound(f"there are no webhooks for {forge[:40]!r}; there are {', '.join(FORGES)}")
    site = site_of(request)
    body = await bodies.whole(request, HOOK_BYTES)
    said = decoded(body or b"{}", dict[str, Any], "the webhook")
    watched = await site.engine.db.read(repositories.all_of)
    for repository in await _meant(request, site, forge, body, _named(request, said, watched)):
        if repository.paused_at is None:
            site.engine.notice(repository, "webhook")  # not waited for: how long it takes would tell as much
    return Response(status_code=202)


async def _meant(request: Request, site: Site, forge: str, body: bytes, named: list[Repository]) -> list[Repository]:
    """Those that it may make us look at: it is signed with their own secret, else with the one set for the forge.

    Where none is set an unsigned one is taken too, and answered the same whatever it names: strangers learn no names.
    Raises NotSignedIn, and BadInput when somebody who knows the secret names nothing that is watched.
    """
    for_all = site.options.hook_secrets.get(forge)
    by_server = for_all is not None and signed(request, body, for_all)
    unsigned = for_all is None and not any(header in request.headers for header in SIGNATURES)
    allowed = []
    for repository in named:
        own = await site.engine.secrets.webhook_secret(repository.id)
        if (by_server or unsigned) if own is None else signed(request, body, own):
            allowed.append(repository)
    if not allowed and unsigned:
        log.info("A webhook of %s without a signature named no repository that listens to such", forge)
    elif not allowed and by_server and not named:
        raise BadInput("no watched repository has the address in this webhook; add ?repository=NAME to its URL")
    elif not allowed:
        raise NotSignedIn(
            f"the signature of this webhook fits neither a secret of a repository that it names nor that for {forge}; "
            "a new one is made in the repository's settings"
        )
    return allowed


def address(repository: Repository, server: str) -> str:
    """Where a forge is to send the pushes of a repository."""
    host = place_of(repository.url or "").partition("/")[0]
    forge = next((each for each in FORGES if each in host), "generic")
    return f"{server}/hooks/{forge}?repository={repository.name}"


def signed(request: Request, body: bytes, secret: str) -> bool:
    """Whether the request proves that its sender knows the secret, in any of the ways forges do."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    for header, expected in (
        ("x-hub-signature-256", f"sha256={digest}"),
        ("x-hub-signature", f"sha256={digest}"),
        ("x-gitea-signature", digest),
        ("x-gogs-signature", digest),
        ("x-mainstay-signature", f"sha256={digest}"),
        ("x-gitlab-token", secret),
    ):
        given = request.headers.get(header)
        if given is not None and hmac.compare_digest(given.encode(), expected.encode()):
            return True
    return False


def _named(request: Request, body: dict[str, Any], watched: list[Repository]) -> list[Repository]:
    """The watched repositories that the webhook is about: by `?repository=NAME`, else by the addresses in it."""
    if (name := request.query_params.get("repository")) is not None:
        found = [each for each in watched if each.name == name]
    else:
        places = {place for url in _urls(body) if (place := place_of(url))}
        found = [each for each in watched if each.url and place_of(each.url) in places]
    return found


def _urls(body: dict[str, Any]) -> list[str]:
    described = [body.get("repository"), body.get("project"), body]
    return [
        value
        for each in described
        if isinstance(each, dict)
        for key in URL_KEYS
        if isinstance(value := each.get(key), str)
    ]


def place_of(url: str) -> str:
    """Host and path of a repository's address, the same however it is reached (https, ssh, `git@host:path`)."""
    text = url.strip()
    if "://" not in text and ":" in text and not text.startswith("/"):
        host, _, path = text.partition(":")
        text = f"ssh://{host}/{path}"
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        return ""
    return f"{host}{parts.path.rstrip('/').removesuffix('.git')}".lower()


routes = [Route("/hooks/{forge}", receive, methods=["POST"])]
