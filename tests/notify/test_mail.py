"""Mail as a mail server gets it, and what its refusals mean."""

import socket
from dataclasses import replace

import pytest

from mainstay.model.errors import BadInput
from mainstay.notify import mail
from mainstay.notify.mail import Envelope, mail_server
from mainstay.notify.message import message
from tests.notify.reports import broken, hostile
from tests.system.receivers import mail_box

OUT = "https://ci.example.org/mail/abc"
ENVELOPE = Envelope("ci@example.org", "ada@example.org", "0123abcd", OUT)


def made(**values: object) -> mail.EmailMessage:
    report = broken(**values)
    return mail.mail(report, message(report, "en", "https://ci.example.org", "Because.", OUT), ENVELOPE)


def test_a_mail_says_what_it_is_to_programs() -> None:
    first, second = made(), made(answers=5)
    assert first["Message-ID"] == made()["Message-ID"]
    assert second["References"] == second["In-Reply-To"] == first["Message-ID"]
    assert first["List-Unsubscribe"] == f"<{OUT}>"
    assert first["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert first["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in first.iter_parts()] == ["text/plain", "text/html"]


def test_the_way_out_is_one_address_however_long() -> None:
    way_out = "https://ci.example.org/mail/" + "aZ09-_" * 20
    report = broken()
    built = mail.mail(report, message(report, "en", OUT, "", way_out), replace(ENVELOPE, way_out=way_out))
    assert f"\r\nList-Unsubscribe: <{way_out}>\r\n".encode() in built.as_bytes()


def test_nothing_in_a_report_becomes_a_header_or_breaks_the_transport() -> None:
    report = hostile()
    built = mail.mail(report, message(report, "en", "https://ci.example.org", "", OUT), ENVELOPE)
    raw = built.as_bytes()
    head = raw.partition(b"\r\n\r\n")[0]
    assert b"\nBcc" not in head
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def test_mails_go_over_one_connection_and_a_refused_one_holds_up_no_other() -> None:
    with mail_box() as box:
        box.refuse.add("ada@example.org")
        other = made()
        del other["To"]
        other["To"] = "bob@example.org"
        how = mail.send_all(mail_server(box.url), [made(), other])
    assert [(each.sent, each.status, each.for_good) for each in how] == [(False, 550, True), (True, 250, False)]
    assert how[0].error == "refused: no such mailbox here"
    assert [each["to"] for each in box.mails] == ["bob@example.org"]


def test_a_server_that_is_not_there_is_told_in_words_and_may_come_back() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"smtp://127.0.0.1:{taken.getsockname()[1]}"
        how = mail.send_all(mail_server(url), [made(), made()])
    assert [(each.sent, each.for_good) for each in how] == [(False, False)] * 2
    assert "cannot be reached: connection refused" in str(how[0].error)


def test_a_password_goes_out_only_over_tls() -> None:
    with mail_box() as box:
        url = box.url.replace("smtp://", "smtp://ada:secret@")
        [how] = mail.send_all(mail_server(url), [made()])
    assert not how.sent
    assert "STARTTLS" in str(how.error)
    assert "secret" not in str(how.error)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mail.example.org", "write it as"),
        ("http://mail.example.org", "write it as"),
        ("smtp://mail.example.org/x", "write it as"),
        ("smtp://mail.example.org?ssl=1", "only tls="),
        ("smtp://mail.example.org?tls=maybe", "only tls="),
        ("smtp://ada@mail.example.org", "no password"),
        ("smtp://mail.example.org:99999", "cannot be used"),
    ],
)
def test_a_mail_server_is_written_in_one_way(url: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        mail_server(url)


def test_what_is_set_by_itself() -> None:
    assert mail_server("smtps://ada:x@mail.example.org").port == 465
    assert mail_server("smtp://ada:x@mail.example.org:587").tls == "required"
    assert mail_server("smtp://mail.example.org").tls == "offered"
    assert mail_server("smtp://a%40b:x%2Fy@mail.example.org").user == "a@b"
