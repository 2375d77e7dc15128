"""The settings of a repository in a browser: every form does what its button says, and shows no secret again."""

import re
from typing import Any

import pytest

from tests.web.conftest import Site

VALUE = "a-value-that-must-not-be-seen"


@pytest.fixture
def demo(site: Site) -> Site:
    site.fill(lambda f: f.repository("demo", "https://robot:hunter2@git.example.org/team/demo.git"))
    site.sign_in()
    return site


def send(site: Site, path: str, **fields: str) -> Any:
    """Send a form of the settings page, with the token that the page has."""
    shown = site.page("/repositories/demo/settings")
    match = re.search(r'name="form_token" value="(\w+)"', shown.text)
    assert match
    return site.client.post(
        path, data={"form_token": match[1], **fields}, headers={"Accept": "text/html"}, follow_redirects=False
    )


def repository(site: Site) -> Any:
    return site.api("GET", "/repositories/demo").json()


def test_how_it_is_watched_is_changed_and_a_hidden_password_stays(demo: Site) -> None:
    assert "hunter2" not in demo.page("/repositories/demo/settings").text
    fields = {"url": "https://***@git.example.org/team/demo.git", "branches": "main\nrelease/*", "poll_s": "90"}
    done = send(demo, "/repositories/demo/settings", commits="latest", supersede="on", **fields)
    assert (done.status_code, done.headers["location"]) == (303, "/repositories/demo/settings")
    found = repository(demo)
    assert (found["branches"], found["commits"], found["poll_s"]) == (["main", "release/*"], "latest", 90)
    assert (found["supersede"], found["public"]) == (True, False)

    send(demo, "/repositories/demo/settings", commits="latest", may_publish="yes", public="on", **fields)
    assert repository(demo)["public"]

    def url(f: Any) -> str:
        return str(f.conn.exec_driver_sql("SELECT url FROM repositories").scalar())

    assert demo.fill(url) == "https://robot:hunter2@git.example.org/team/demo.git"
    send(demo, "/repositories/demo/settings", commits="every", poll_s="60", url="https://other.example/x.git")
    assert demo.fill(url) == "https://other.example/x.git"
    for bad in ({"commits": "all"}, {"commits": "every", "poll_s": "often"}, {"commits": "every", "poll_s": "nan"}):
        assert send(demo, "/repositories/demo/settings", **bad).status_code == 422
    assert repository(demo)["branches"] == ["*"]


def test_secrets_and_variables_are_set_and_removed(demo: Site) -> None:
    path = "/repositories/demo/settings"
    assert send(demo, f"{path}/secrets", name="token", value=VALUE, environment=" prod ").status_code == 303
    assert send(demo, f"{path}/secrets", name="KEY", value="line one\r\nline two\r\n").status_code == 303
    assert send(demo, f"{path}/variables", name="REGION", value="eu-1").status_code == 303
    shown = demo.page(path).text
    assert VALUE not in shown
    assert "line two" not in shown
    assert "eu-1" in shown
    assert "environment prod" in shown
    assert "never given to a job yet" in shown
    for fields in ({"name": "A-B", "value": VALUE}, {"name": "A", "value": "abc"}, {"name": "A", "do": "burn"}):
        refused = send(demo, f"{path}/secrets", **fields)
        assert refused.status_code == 422
        assert VALUE not in refused.text
    assert send(demo, f"{path}/nonsense", name="A", value=VALUE).status_code == 422
    send(demo, f"{path}/secrets", do="remove", name="TOKEN", environment="prod")
    send(demo, f"{path}/variables", do="remove", name="REGION")
    left = demo.api("GET", "/repositories/demo/secrets").json()["items"]
    assert [each["name"] for each in left] == ["KEY"]
    assert demo.api("GET", "/repositories/demo/variables").json()["items"] == []
    assert send(demo, f"{path}/secrets", name="LONG", value="x" * 65_536).status_code == 303


def test_those_of_all_repositories_have_a_page_of_their_own(demo: Site) -> None:
    assert send(demo, "/settings/secrets", name="EVERYWHERE", value=VALUE).headers["location"] == "/settings#secrets"
    assert "EVERYWHERE" in demo.page("/settings").text
    shown = demo.page("/repositories/demo/settings").text
    assert "all repositories" in shown
    assert "Remove EVERYWHERE" not in shown
    send(demo, "/settings/secrets", do="remove", name="EVERYWHERE")
    assert "EVERYWHERE" not in demo.page("/settings").text


def test_a_webhook_secret_is_shown_once(demo: Site) -> None:
    path = "/repositories/demo/settings"
    made = send(demo, f"{path}/webhook")
    match = re.search(r"shown only now.*?<bdi>([\w-]{43})</bdi>", made.text, re.DOTALL)
    assert match
    assert "http://mainstay.test/hooks/generic?repository=demo" in made.text
    shown = demo.page(path).text
    assert match[1] not in shown
    assert "Replace the secret" in shown
    send(demo, f"{path}/webhook", do="remove")
    assert "It has no secret of its own yet" in demo.page(path).text


def test_a_deploy_key_is_made_and_badges_are_there_to_copy(demo: Site) -> None:
    path = "/repositories/demo/settings"
    send(demo, f"{path}/key")
    shown = demo.page(path).text
    assert "ssh-ed25519 " in shown
    assert "[![tests](http://mainstay.test/badge/demo/main.svg)](http://mainstay.test/repositories/demo)" in shown


def test_it_is_paused_resumed_and_removed_only_by_its_name(demo: Site) -> None:
    path = "/repositories/demo/settings"
    send(demo, f"{path}/pause", pause="yes")
    assert "is paused since" in demo.page(path).text
    assert repository(demo)["paused_at"] is not None
    send(demo, f"{path}/pause", pause="no")
    assert repository(demo)["paused_at"] is None
    assert send(demo, f"{path}/remove", confirm="dem").status_code == 422
    assert repository(demo)["name"] == "demo"
    assert send(demo, f"{path}/remove", confirm="demo").headers["location"] == "/"
    assert demo.api("GET", "/repositories/demo").status_code == 404
