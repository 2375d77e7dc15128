"""Channels, messages and the way out of mail: pages and API."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mainstay.model.person import Role
from mainstay.model.report import Channel, ChannelKind, DeliveryState, Facts, NewDelivery, ReportKind, TestFact
from mainstay.notify.mail import mail_server
from mainstay.notify.outlet import Outlet
from mainstay.store import channels, deliveries, people, reports, repositories, tokens
from mainstay.store.schema import tokens as tokens_table
from mainstay.web.guard import form_token
from mainstay.web.pages import words
from tests.web.conftest import Site, on_each_database, serve
from tests.web.filling import Filling


def messages(f: Filling, repository: int, text: str) -> None:
    """A channel and a message in every state, each saying `text`."""
    shown = Channel(
        0, repository, text[:100], ChannelKind.WEBHOOK, text, (text,), (ReportKind.BROKEN,), created_by=text
    )
    channel = channels.add(f.tx, shown, f.now)
    tests = (TestFact(text, text),)
    facts = Facts("demo", f"refs/heads/{text}", 1, 1, text, "push", "failed", tests=tests, tests_total=2)
    for kind in (ReportKind.BROKEN, ReportKind.FLAKY, ReportKind.DIGEST, ReportKind.PING):
        report = reports.add(f.tx, repository, kind, facts, None, f.now)
        deliveries.add(f.tx, report, repository, [NewDelivery(ChannelKind.WEBHOOK, text, "en", channel.id)] * 4, f.now)
        for number, state in zip(deliveries.of_report(f.tx, report), DeliveryState, strict=True):
            if state != DeliveryState.WAITING:
                deliveries.end(f.tx, number, state, None if state == DeliveryState.SENT else text, 500, f.now)
            else:
                deliveries.claim(f.tx, ChannelKind.WEBHOOK, 1, 60, f.now)
                deliveries.retry(f.tx, number, f.now, text, 503)


@pytest.fixture
def mailing(tmp_path: Path, database_url: str) -> Iterator[Site]:
    """A site with a mail server that nobody asks."""
    for made in serve(tmp_path / "data", database_url, outlet=Outlet(mail=mail_server("smtp://127.0.0.1:1"))):
        made.fill(lambda f: f.repository("demo"))
        yield made


def post(site: Site, path: str, **fields: str) -> Any:
    """Send a form as the page has it."""
    session = site.client.cookies.get("mainstay_session")
    data = {"form_token": form_token(session)} | fields if session else fields
    return site.client.post(path, data=data, headers={"Accept": "text/html"}, follow_redirects=False)


@on_each_database
def test_a_channel_is_added_shown_tried_and_removed(mailing: Site) -> None:
    new = {"name": "team", "kind": "mail", "address": "Team@example.org, b@example.org", "branches": ["main"]}
    added = mailing.api("POST", "/repositories/demo/channels", json=new)
    assert added.status_code == 201, added.text
    assert added.json()["address"] == "team@example.org, b@example.org"
    assert added.json()["kinds"] == ["broken", "still-broken", "fixed", "flaky", "digest"]
    assert mailing.api("POST", "/repositories/demo/channels", json=new).status_code == 409
    asked = mailing.api("POST", "/repositories/demo/channels/team/test").json()["messages"]
    listed = mailing.api("GET", "/repositories/demo/messages").json()["items"]
    assert [(each["id"], each["recipient"], each["state"]) for each in listed] == [
        (asked[1], "b@example.org", "waiting"),
        (asked[0], "team@example.org", "waiting"),
    ]
    assert mailing.api("POST", f"/repositories/demo/messages/{asked[0]}/drop").status_code == 204
    assert mailing.api("POST", f"/repositories/demo/messages/{asked[0]}/drop").status_code == 409
    assert mailing.api("POST", f"/repositories/demo/messages/{asked[0]}/send").status_code == 202
    assert mailing.api("GET", "/outbox").json()["items"][0] | {"oldest_at": None} == {
        "kind": "mail", "waiting": 2, "failing": 0, "oldest_at": None, "error": None,
    }  # fmt: skip
    assert mailing.api("DELETE", "/repositories/demo/channels/team").status_code == 204
    assert mailing.api("GET", "/repositories/demo/messages").json()["items"] == []


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"kind": "mail", "address": "all@example.org\nBcc: x@example.org"}, "plain mail addresses"),
        ({"kind": "mail", "address": ", "}, "plain mail addresses"),
        ({"kind": "chat", "address": "syslog://"}, "not a chat service"),
        ({"kind": "chat", "address": "slack://x"}, "not a whole address"),
        ({"kind": "chat", "address": "json://h/?redirect=yes"}, "may not hold redirect="),
        ({"kind": "webhook", "address": "file:///etc/passwd"}, "begins with https://"),
        ({"kind": "webhook", "address": "https://ada:x@example.org/"}, "no user name"),
        ({"kind": "webhook", "address": "https://example.org/\r\nX: y"}, "printable"),
        ({"kind": "webhook", "address": "http://127.0.0.1:9/x"}, "MAINSTAY_REACH is network"),
        ({"kind": "chat", "address": "json://127.0.0.1/x"}, "MAINSTAY_REACH is network"),
        ({"kind": "pigeon", "address": "x"}, "not known here"),
        ({"kind": "mail", "address": "a@example.org", "kinds": ["finished"]}, "for webhooks"),
        ({"kind": "mail", "address": "a@example.org", "kinds": ["ping"]}, "cannot ask for ping"),
        ({"kind": "mail", "address": "a@example.org", "name": "../x"}, "no name for a channel"),
        ({"kind": "mail", "address": "a@example.org", "language": "xx"}, "no messages in"),
    ],
)
def test_a_channel_that_cannot_be_is_refused_in_words(mailing: Site, values: dict[str, Any], why: str) -> None:
    answer = mailing.api("POST", "/repositories/demo/channels", json={"name": "x"} | values)
    assert answer.status_code == 422
    assert why in answer.json()["detail"]


def test_a_webhooks_secret_is_shown_once_and_its_token_never(mailing: Site) -> None:
    mailing.sign_in()
    path = "/repositories/demo/notifications"
    shown = post(mailing, path, name="board", kind="webhook", address="https://b.example.org/in?token=secret1")
    assert re.search(r"whsec_[A-Za-z0-9+/=]{32}", shown.text)
    page = mailing.page(path).text
    assert "whsec_" not in page
    assert "secret1" not in page + shown.text
    assert "https://b.example.org/in?…" in page
    assert post(mailing, f"{path}/test", channel="board").status_code == 303
    assert "1 message" not in mailing.page(path).text
    refused = post(mailing, path, name="board", kind="webhook", address="https://x.example.org/")
    assert refused.status_code == 422
    assert "already a channel named board" in refused.text
    assert post(mailing, f"{path}/remove", channel="board").status_code == 303
    trail = [
        row.action
        for row in mailing.fill(lambda f: f.conn.exec_driver_sql("SELECT action FROM audit ORDER BY id").all())
    ]
    assert trail[-3:] == ["channel.add", "channel.test", "channel.remove"]


def test_a_message_of_another_repository_is_not_found(mailing: Site) -> None:
    mailing.fill(lambda f: messages(f, f.repository("other"), "text"))
    assert mailing.api("POST", "/repositories/demo/messages/1/send").status_code == 404
    assert mailing.api("POST", "/repositories/other/messages/1/send").status_code == 202


def test_the_page_says_what_cannot_be_delivered(mailing: Site) -> None:
    mailing.fill(lambda f: messages(f, f.repository("other"), "it is full"))
    mailing.sign_in()
    page = mailing.page("/repositories/other/notifications").text
    assert "4 messages cannot be delivered" in page
    assert "it is full" in page


def test_a_mails_link_changes_nothing_until_it_is_pressed_and_needs_no_sign_in(mailing: Site) -> None:
    path = mailing.engine.delivering.way_out.path("ada@example.org", 1)

    def refused() -> bool:
        return bool(mailing.fill(lambda f: channels.refused(f.tx, ["ada@example.org"], 1)))

    assert "ada@example.org gets mail about demo" in mailing.page(path).text
    assert not refused()
    assert mailing.client.post(path, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert refused()
    assert "gets no mail about demo any more" in mailing.page(path).text
    assert mailing.client.post(path, data={"stop": "nothing"}).status_code == 200
    assert not refused()
    mailing.client.post(path, data={"stop": "all"})
    mailing.client.post(path, data={"stop": "all"})
    assert refused()
    assert mailing.client.post(path, data={"stop": "everything"}).status_code == 422
    for other in (path[:-4] + "AAAA", "/mail/x", "/mail/" + "A" * 5000):
        assert mailing.client.post(other, data={"stop": "all"}).status_code == 404


def become(site: Site, name: str, **roles: Role) -> None:
    """Sign in as somebody with a mail address and these roles."""

    def write(f: Filling) -> str:
        person = people.add(f.tx, name, f.now, email=f"{name}@example.org")
        for repository, role in roles.items():
            people.give(f.tx, person.id, repositories.by_name(f.tx, repository).id, role)
        session = tokens.new_token("session")
        made = tokens.add(f.tx, "session", name, session, f.now)
        f.conn.execute(tokens_table.update().where(tokens_table.c.id == made).values(person_id=person.id))
        return session

    site.client.cookies.set("mainstay_session", site.fill(write))


def test_a_person_chooses_what_to_be_told_of(mailing: Site) -> None:
    mailing.fill(lambda f: f.repository("unseen-one"))
    become(mailing, "bob", demo=Role.READER)
    path = "/account/messages"
    page = mailing.page(path).text
    assert "bob@example.org" in page
    assert "unseen-one" not in page
    assert post(mailing, path, repository="demo", branches="main release/*", language="zh-CN").status_code == 303
    assert post(mailing, path, repository="demo", branches="main", **{"on-broken": "1"}).status_code == 303
    assert post(mailing, path, repository="unseen-one").status_code == 422
    page = mailing.page(path).text
    assert page.count("/remove") == 1
    assert "release/*" not in page
    mailing.fill(lambda f: channels.refuse(f.tx, "bob@example.org", 1, f.now))
    assert "You wanted no mail about" in mailing.page(path).text
    assert post(mailing, f"{path}/again").status_code == 303
    assert "You wanted no mail" not in mailing.page(path).text
    [remove] = re.findall(r'action="(/account/messages/\d+/remove)"', mailing.page(path).text)
    assert post(mailing, remove).status_code == 303
    assert "/remove" not in mailing.page(path).text
    assert post(mailing, remove).status_code == 404
    assert "you are told, and again when it is mended" in mailing.page(path).text
    assert post(mailing, f"{path}/authors", wanted="no").status_code == 303
    assert "You are told of nothing" in mailing.page(path).text
    assert post(mailing, f"{path}/authors", wanted="yes").status_code == 303
    assert "You are told when commits of yours break a branch" in mailing.page(path).text


def test_the_pages_of_messages_are_known_in_chinese(mailing: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    missing: set[str] = set()

    class Watching(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            if key not in self:
                missing.add(key)
            return super().get(key, default)

    become(mailing, "bob", demo=Role.MAINTAINER)
    post(mailing, "/account/messages", repository="demo", branches="main")
    post(mailing, "/repositories/demo/notifications", name="team", kind="mail", address="a@example.org")
    known = words.Words("zh-CN")
    monkeypatch.setattr(known, "_known", Watching(words.catalogue("zh-CN")))
    monkeypatch.setattr("mainstay.web.pages.words.words_in", lambda language: known)
    out = mailing.engine.delivering.way_out.path("bob@example.org", 1)
    chinese = {"Accept-Language": "zh-CN"}
    for stop in ("nothing", "repository", "all"):
        mailing.client.post(out, data={"stop": stop})
        for path in ("/account/messages", "/repositories/demo/notifications", out):
            assert mailing.page(path, **chinese).status_code == 200
    mailing.client.cookies.clear()
    mailing.sign_in()
    mailing.page("/account/messages", **chinese)
    assert not missing
