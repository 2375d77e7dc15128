"""What `mainstay up` and `mainstay server` do once their options are known: serve, tell where, and end when told to."""

import asyncio
import logging
import shlex
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import uvloop

from mainstay.cli import sample as sample_project
from mainstay.cli import settings, terminal
from mainstay.cli.connection import Server
from mainstay.cli.hosting import Outgoing, Place, Running, hosted, until_told
from mainstay.engine.lease import LEASE_S, Lease
from mainstay.engine.openid import OpenId
from mainstay.flow.fleet import Bounds
from mainstay.flow.openid import mapping_of
from mainstay.model.errors import BadInput
from mainstay.web.hooks import FORGES

END = "End with Ctrl-C."


def place(where: Mapping[str, Any], runners: tuple[int, int] | None = None) -> Place:
    """What the options say, and the environment where they say nothing."""
    return Place(
        data=settings.data_folder(where["data"]),
        host=where["host"],
        port=where["port"],
        database=where["database"] or settings.value(settings.DATABASE),
        blobs=where["blobs"] or settings.value(settings.BLOBS),
        public_url=where["public_url"] or settings.value(settings.PUBLIC_URL),
        runners=Bounds(*runners, down_after_s=where["idle_s"]) if runners else None,
        labels=tuple(label.strip() for label in (where.get("labels") or "").split(",") if label.strip()),
        executor=where.get("executor"),
        lease=Lease(settings.lease_s() or LEASE_S),
        openid=_openid(),
        hook_secrets=settings.hook_secrets(FORGES),
        public_reading=settings.public_reading(),
        outgoing=Outgoing(
            where["smtp"] or settings.value(settings.SMTP),
            settings.secret(settings.SMTP_PASSWORD, settings.SMTP_PASSWORD_FILE),
            where["mail_from"] or settings.value(settings.MAIL_FROM),
            settings.value(settings.MAIL_AUTHORS),
            settings.value(settings.REACH),
        ),
        containers=_container_arguments(where),
    )


def _container_arguments(where: Mapping[str, Any]) -> tuple[str, ...]:
    """The options about containers, for the command line of a local runner."""
    words = [word for name in ("engine", "image") if where.get(name) for word in (f"--{name}", str(where[name]))]
    return (*words, *(["--open-containers"] if where.get("open_containers") else []))


def _openid() -> OpenId | None:
    """The identity provider that the settings name; None: none. Raises BadInput for one that is named by half."""
    issuer, client = settings.value(settings.OPENID_ISSUER), settings.value(settings.OPENID_CLIENT)
    if issuer is None and client is None:
        return None
    if issuer is None or client is None or not issuer.startswith(("https://", "http://")):
        raise BadInput(f"{settings.OPENID_ISSUER.name} must be an address, and {settings.OPENID_CLIENT.name} be set.")
    domains = (settings.value(settings.OPENID_DOMAINS) or "").lower().split(",")
    return OpenId(
        issuer,
        client,
        settings.secret(settings.OPENID_SECRET, settings.OPENID_SECRET_FILE),
        settings.value(settings.OPENID_LABEL) or "OpenID Connect",
        settings.value(settings.OPENID_CLAIM) or "groups",
        mapping_of(settings.value(settings.OPENID_GROUPS) or ""),
        frozenset(each.strip() for each in domains if each.strip()),
    )


def up(place: Place, *, sample: bool, once: bool) -> int:
    """Serve with local runners; `sample`: and have the sample project tested; `once`: and end with its verdicts."""

    async def work(running: Running) -> int:
        _say_where(running)
        if sample:
            good = await asyncio.to_thread(_test_sample, place, running, forced=once)
            if once:
                return 0 if good else 1
        terminal.output().line(f"Watch a repository: {_command(place, 'repo add NAME URL')}   {END}")
        return await _for_ever()

    return _serve(place, work)


def server(place: Place) -> int:
    """Serve, for runners that come from elsewhere."""

    async def work(running: Running) -> int:
        _say_where(running)
        terminal.output().line(f"A token for a runner: {_command(place, 'runner-token')}   {END}")
        return await _for_ever()

    return _serve(place, work)


def log_to_stderr(*, verbose: bool) -> None:
    """Warnings, and with `verbose` what goes on, one line each."""
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def _say_where(running: Running) -> None:
    out = terminal.output()
    out.line(f"Mainstay is up at {running.url}")
    out.line(f"Sign in: {running.sign_in}")


def _test_sample(place: Place, running: Running, *, forced: bool) -> bool:
    """Have the sample tested, where it has a place; give whether its verdicts are the expected ones."""
    out = terminal.output()
    folder = place.data / "sample"
    with Server(settings.find_server(running.url, None, str(place.data))) as api:
        if not forced and not sample_project.wanted(api):
            return True
        out.line("Testing every commit of the sample project:")
        good = sample_project.run(api, folder, out)
    out.line(f"Its repository is {folder}: change something there and commit, and it is tested at once.")
    return good


def _command(place: Place, arguments: str) -> str:
    """A client command as it can be copied: with its path where the shell would not find it, and with the data folder
    where it would look in another."""
    program, found = Path(sys.argv[0]), shutil.which("mainstay")
    called = program.name == "mainstay" and program.exists()
    name = shlex.quote(str(program.absolute())) if called and (not found or not program.samefile(found)) else "mainstay"
    elsewhere = "" if place.data == settings.data_folder(None) else f" --data {shlex.quote(str(place.data))}"
    return f"{name} {arguments}{elsewhere}"


async def _for_ever() -> int:
    await asyncio.Event().wait()
    return 0


def _serve(place: Place, work: Callable[[Running], Awaitable[int]]) -> int:
    async def main() -> int:
        async with hosted(place) as running:
            return await until_told(lambda: work(running))

    return uvloop.run(main())
