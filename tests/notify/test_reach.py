"""How far messages reach: which addresses, and that the one that was judged is the one that is called."""

import ipaddress
import socket
from datetime import UTC, datetime
from typing import Any

import pytest

from mainstay.model.errors import BadInput, Unavailable
from mainstay.model.report import Facts, Report, ReportKind
from mainstay.notify import chat, reach, webhook
from mainstay.notify.message import Message, message
from mainstay.notify.reach import Reach
from tests.system.receivers import receiver

NEVER = (
    "0.0.0.0 169.254.169.254 224.0.0.1 240.0.0.1 255.255.255.255 :: fe80::1 ff02::1 ::ffff:169.254.169.254 "
    "64:ff9b::a9fe:a9fe"
)
HERE = "127.0.0.1 127.9.9.9 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1"
INSIDE = "10.0.0.1 172.16.0.1 192.168.1.1 100.64.0.1 fd00::1 ::ffff:10.0.0.1 2002:a00:1::"
OUTSIDE = "93.184.216.34 2606:2800:220:1::1 64:ff9b::5db8:d822"


@pytest.mark.parametrize(
    ("addresses", "within"),
    [
        (NEVER, ()),
        (HERE, (Reach.MACHINE,)),
        (INSIDE, (Reach.NETWORK, Reach.MACHINE)),
        (OUTSIDE, (Reach.INTERNET, Reach.NETWORK, Reach.MACHINE)),
    ],
)
def test_addresses_by_how_far_they_are(addresses: str, within: tuple[Reach, ...]) -> None:
    for text in addresses.split():
        found = tuple(each for each in Reach if reach.within(ipaddress.ip_address(text), each))
        assert found == within, text


def test_a_name_is_refused_when_one_of_its_addresses_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, 1, 6, "", (ip, 443)) for ip in ("93.184.216.34", "127.0.0.1")]

    monkeypatch.setattr(reach.socket, "getaddrinfo", told)
    with pytest.raises(BadInput, match=r"127\.0\.0\.1, where nothing that people add may lead"):
        reach.addresses("hooks.example.org", 443, Reach.NETWORK)


def test_a_name_that_nobody_knows_is_told_in_words() -> None:
    with pytest.raises(Unavailable, match="is not known"):
        reach.addresses("nowhere.invalid", 443, Reach.NETWORK)


def test_a_webhook_calls_the_address_that_was_judged_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    known = socket.getaddrinfo

    def told(host: str, *more: Any, **named: Any) -> Any:
        asked.append(host)
        return known("127.0.0.1" if host == "hooks.example.org" else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", told)
    with receiver() as there:
        port = there.url.rpartition(":")[2]
        url = f"http://hooks.example.org:{port}/in"
        tried = webhook.send(url, webhook.new_secret(), "id", b"{}", Reach.MACHINE, datetime.now(UTC))
    assert tried.sent
    assert asked.count("hooks.example.org") == 1
    assert there.requests[0][1]["host"] == f"hooks.example.org:{port}"


HOOK = "discord://012345678901234567/" + "a" * 64


@pytest.mark.parametrize("query", ["template=/etc/hostname", "a=b;template=/x", "a?Template=/x", "%74emplate=/x"])
def test_a_chats_address_reads_no_file_of_this_machine(query: str) -> None:
    with pytest.raises(BadInput, match="may not hold template"):
        chat.checked(f"{HOOK}?{query}")


def test_zulip_of_ones_own_is_judged_as_every_host_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    tried = chat.send(f"zulip://bot@chat.example.org/{'a' * 32}", _said(), ReportKind.BROKEN, Reach.NETWORK)
    assert not tried.sent
    assert "chat.example.org is at 127.0.0.1" in str(tried.error)


def test_a_chat_whose_name_changes_its_address_meanwhile_is_not_called_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    known, asked = socket.getaddrinfo, []

    def told(host: str, *more: Any, **named: Any) -> Any:
        if host != "chat.example.org":
            return known(host, *more, **named)
        asked.append(host)
        return known("93.184.216.34" if len(asked) == 1 else "127.0.0.1", *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", told)
    with receiver() as there:
        port = there.url.rpartition(":")[2]
        tried = chat.send(f"json://chat.example.org:{port}/in", _said(), ReportKind.BROKEN, Reach.NETWORK)
        assert len(asked) > 1, "apprise asked for no address, so nothing was tried"
        assert not tried.sent
        assert there.requests == []
        # This thread is held no longer, and what is within reach was never held.
        assert chat.send(f"json://chat.example.org:{port}/in", _said(), ReportKind.BROKEN, Reach.MACHINE).sent
        socket.create_connection(("127.0.0.1", int(port))).close()


def test_a_matrix_server_names_no_other_one() -> None:
    assert chat._plugin("matrixs://u:p@example.org/#room").discovery is False
    with pytest.raises(BadInput, match="may not hold discovery"):
        chat.checked("matrixs://u:p@example.org/#room?discovery=yes")


def _said() -> Message:
    report = Report(0, 0, ReportKind.PING, datetime(2026, 1, 1, tzinfo=UTC), Facts(repository="demo", ref=""))
    return message(report, "en", "http://127.0.0.1:8080")
