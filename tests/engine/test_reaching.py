"""Where the address of a repository may lead that no administrator of everything gave."""

import socket
from pathlib import Path
from typing import Any

import pytest

from mainstay.engine import reaching
from mainstay.engine.repositories import Repositories
from mainstay.git.process import INHERITED_PROXIES
from mainstay.model.errors import BadInput, Unavailable
from mainstay.model.person import Actor
from mainstay.notify.reach import Reach
from mainstay.store.database import open_database
from mainstay.store.seal import Seal
from tests.web.conftest import Clock
from tests.web.filling import NOON

OUTSIDE = "93.184.216.34"


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server: `inside.test` is this machine, all other names are out in the world or not known."""
    known = socket.getaddrinfo

    def told(host: str, port: int, **more: Any) -> Any:
        if host.endswith(".unknown"):
            raise socket.gaierror(-2, "Name or service not known")
        address = {"inside.test": "127.0.0.1", "metadata.test": "169.254.169.254"}.get(host)
        if address is None and not host[0].isdigit() and ":" not in host and host != "localhost":
            address = OUTSIDE
        return known(address or host, port, **more)

    monkeypatch.setattr(socket, "getaddrinfo", told)
    for name in INHERITED_PROXIES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://git.example.org/team/x.git", ("git.example.org", 443)),
        ("http://u:p%40@git.example.org:8080/x", ("git.example.org", 8080)),
        ("ssh://git@git.example.org:2222/x", ("git.example.org", 2222)),
        ("git@git.example.org:team/x.git", ("git.example.org", 22)),
    ],
)
def test_a_plain_address_is_kept_at_the_place_that_was_judged(url: str, place: tuple[str, int]) -> None:
    found = reaching.judge(url, Reach.INTERNET)
    assert (found.host, found.port) == place
    assert found.addresses == (OUTSIDE,)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8080/git/other.git",
        "http://127.0.0.1/x",
        "http://2130706433/x",
        "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://inside.test/x",
        "https://metadata.test/latest/meta-data",
        "ssh://git@inside.test/x",
        "git@inside.test:x",
        "git@[::1]:x",
    ],
)
def test_what_leads_to_this_machine_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="where nothing that people add may lead"):
        reaching.judge(url, Reach.NETWORK)


@pytest.mark.parametrize(
    "url",
    [
        "git://git.example.org/x",  # neither encrypted nor kept at an address
        "http://git.example.org\\@127.0.0.1/x",
        "http://git.example.org@a@127.0.0.1/x",
        "http://git.example.org#@127.0.0.1/x",
        "http://git.example.org?@127.0.0.1/x",
        "http://git.example.org",
        "http://ｇit.example.org/x",
        "http://[::1%25lo]/x",
        "[127.0.0.1:22]:x",
        "ext::sh -c id",
        "http://git.example.org:99999/x",
        "http://-oProxyCommand=id/x",
    ],
)
def test_what_two_programs_may_read_differently_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        reaching.judge(url, Reach.MACHINE)


def test_a_name_that_only_the_proxy_knows_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable):
        reaching.judge("https://git.unknown/x", Reach.NETWORK)
    monkeypatch.setenv("https_proxy", "http://proxy.example.org:3128")
    assert reaching.judge("https://git.unknown/x", Reach.NETWORK).addresses == ()
    with pytest.raises(Unavailable):
        reaching.judge("ssh://git.unknown/x", Reach.NETWORK)
    with pytest.raises(BadInput):
        reaching.judge("https://inside.test/x", Reach.NETWORK)


@pytest.mark.anyio
async def test_the_servers_own_ssh_identities_are_lent_to_administrators_addresses_only(tmp_path: Path) -> None:
    database = await open_database(f"sqlite:///{tmp_path / 'db'}")
    there = Repositories(database, Seal.from_file(tmp_path / "seal.key"), Clock(NOON), tmp_path)
    try:
        actor = Actor("ada")
        await there.add(actor, "shop", "ssh://git@inside.test/x", ("*",), "every", 60, False, None)  # type: ignore[arg-type]
        assert (await there.access(await there.by_name("shop"))).pinned is None
        with pytest.raises(BadInput, match="nothing that people add"):
            await there.change(actor, "shop", {"url": "ssh://git@inside.test/y", "judged": True})
        changed = await there.change(actor, "shop", {"url": "git@git.example.org:y", "judged": True})
        with pytest.raises(BadInput, match="mainstay repo key shop"):
            await there.access(changed)
        await there.key(actor, "shop")
        access = await there.access(await there.by_name("shop"))
        assert access.private is not None
        assert access.pinned is not None
        assert access.pinned.addresses == (OUTSIDE,)
        by_https = await there.change(actor, "shop", {"url": "https://git.example.org/y"})
        assert (await there.access(by_https)).config["http.followRedirects"] == "false"
    finally:
        await there.close()
        await database.close()
