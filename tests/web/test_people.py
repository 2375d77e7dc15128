"""People: the first one, passwords, links, sessions, tokens, roles and the trail; and who tries to get around them."""

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from mainstay.engine.signing_in import SigningIn
from mainstay.model.person import Actor, Role
from mainstay.store import audit, people
from mainstay.store.sessions import Opener
from mainstay.web.access import sign_in_link
from tests.web.conftest import API_TOKEN, Site
from tests.web.filling import Filling

PASSWORD = "correct horse battery"
HTML = {"Accept": "text/html"}


@pytest.fixture
def browser(closed_site: Site) -> TestClient:
    """A second browser on the same server."""
    client = TestClient(closed_site.app, base_url="http://mainstay.test", raise_server_exceptions=False)
    client.portal = closed_site.client.portal
    return client


def post(client: TestClient, path: str, **fields: Any) -> Any:
    """Send a form as the page at hand has it."""
    page = client.get("/account", headers=HTML).text
    found = re.search(r'name="form_token" value="(\w+)"', page)
    data = {"form_token": found[1] if found else "", **fields}
    return client.post(path, data=data, headers=HTML, follow_redirects=False)


def sign_in(client: TestClient, name: str, password: str = PASSWORD) -> Any:
    """Send the sign-in form."""
    return client.post("/sign-in", data={"name": name, "password": password}, headers=HTML, follow_redirects=False)


def first(site: Site) -> None:
    """Come by the link that the server prints, and become the first administrator."""
    answer = site.client.get(site.do(sign_in_link, site.engine), follow_redirects=False)
    assert answer.headers["location"] == "/welcome"
    done = post(site.client, "/welcome", name="Ada", password=PASSWORD, again=PASSWORD)
    assert (done.status_code, done.headers["location"]) == (303, "/")


def use(client: TestClient, link: str) -> Any:
    """Follow a link that was made for a person, and press its button."""
    page = client.get(link, headers=HTML, follow_redirects=False).text
    found = re.search(r'name="code" value="([\w-]+)"', page)
    data = {"code": found[1] if found else "mst_signin_none"}
    return client.post("/sign-in", data=data, headers=HTML, follow_redirects=False)


def invited(site: Site, client: TestClient, name: str, **body: Any) -> None:
    """Let somebody in, who then sets a password."""
    answer = site.api("POST", "/people", json={"name": name, **body})
    assert answer.status_code == 201, answer.text
    link = answer.json()["link"].removeprefix("http://mainstay.test")
    assert use(client, link).headers["location"] == "/welcome"
    assert post(client, "/welcome", password=PASSWORD, again=PASSWORD).status_code == 303


def actions(site: Site) -> list[str]:
    """What the trail tells, oldest first."""
    return [row["action"] for row in reversed(site.api("GET", "/audit").json()["items"])]


def test_the_first_visitor_becomes_the_administrator_and_nobody_after(closed_site: Site, browser: TestClient) -> None:
    site = closed_site
    link = site.do(sign_in_link, site.engine)
    first(site)
    me = site.page("/account").text
    assert "You are signed in as ada" in me
    assert site.page("/people").status_code == 200
    # The other link was printed before there was anybody: it opens the operator's session, which makes no second first.
    assert browser.get(link, follow_redirects=False).headers["location"] == "/"
    assert post(browser, "/welcome", name="eve", password=PASSWORD, again=PASSWORD).headers["location"] == "/"
    assert [each["name"] for each in site.api("GET", "/people").json()["items"]] == ["ada"]
    assert actions(site) == ["sign-in", "person.add", "sign-in"]


def test_bad_names_and_passwords_are_refused_with_words(closed_site: Site) -> None:
    site = closed_site
    site.client.get(site.do(sign_in_link, site.engine), follow_redirects=False)
    for name, password, again, words in (
        ("ada", "short", "short", "10 to 1000 characters"),
        ("ada", "password123", "password123", "first that anybody would try"),
        ("administrator", "administrator", "administrator", "first that anybody would try"),
        ("ada", PASSWORD, "other", "two passwords differ"),
        ("-ada", PASSWORD, PASSWORD, "no name for a person"),
        ("<b>", PASSWORD, PASSWORD, "no name for a person"),
    ):
        answer = post(site.client, "/welcome", name=name, password=password, again=again)
        assert answer.status_code == 422
        assert words in answer.text
    assert not site.do(site.engine.db.read, people.anybody)


def test_signing_in_with_a_password(closed_site: Site, browser: TestClient) -> None:
    site = closed_site
    first(site)
    assert sign_in(browser, "ada", "wrong wrong wrong").status_code == 401
    assert sign_in(browser, "nobody").status_code == 401
    assert sign_in(browser, "ada\x00").status_code == 401
    assert "go together" in sign_in(browser, "nobody").text
    answer = sign_in(browser, "ADA ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert all("HttpOnly" in each and "SameSite=lax" in each for each in answer.headers.get_list("set-cookie"))
    assert browser.get("/people", headers=HTML).status_code == 200
    assert actions(site)[-2:] == ["sign-in.fail", "sign-in"]


def test_unknown_names_cost_the_same_work(closed_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site = closed_site
    first(site)
    site.client.cookies.clear()
    done: list[bool] = []
    monkeypatch.setattr("mainstay.engine.passwords._verify", lambda kept, password: done.append(kept is None))
    sign_in(site.client, "ada")
    sign_in(site.client, "nobody")
    assert done == [False, True]


def test_guessing_is_slowed_down_and_locks_nobody_out(closed_site: Site, browser: TestClient) -> None:
    site = closed_site
    first(site)  # this browser is known from now on
    post(site.client, "/sign-out")
    codes = [sign_in(browser, "ada", f"wrong guess {n}").status_code for n in range(8)]
    assert codes == [401] * 5 + [429] * 3
    assert "Retry-After" in sign_in(browser, "ada").headers  # even the right one waits there ...
    assert sign_in(site.client, "ada").status_code == 303  # ... and not in a browser that signed ada in before
    site.clock.at += timedelta(seconds=2)
    assert sign_in(browser, "ada", "wrong again").status_code == 401
    assert sign_in(browser, "ada", "wrong again").status_code == 429
    site.clock.at += timedelta(days=2)
    assert sign_in(browser, "ada").status_code == 303


def test_many_guesses_at_once_are_counted_too(closed_site: Site) -> None:
    site = closed_site
    first(site)
    signing_in: SigningIn = site.engine.signing_in

    async def at_once() -> list[Any]:
        return await asyncio.gather(
            *(signing_in.by_password("ada", f"guess {n}", Opener("203.0.113.9")) for n in range(20))
        )

    waits = [each.wait_s for each in site.do(at_once)]
    assert waits.count(0.0) == 5


def test_a_session_from_before_is_worth_nothing_after_signing_in(closed_site: Site, browser: TestClient) -> None:
    """Whoever has planted a session, or stolen the old one, gains nothing (session fixation)."""
    site = closed_site
    first(site)
    planted = {"Cookie": "mainstay_session=mst_session_planted", **HTML}
    data = {"name": "ada", "password": PASSWORD}
    assert browser.post("/sign-in", data=data, headers=planted, follow_redirects=False).status_code == 303
    old = browser.cookies["mainstay_session"]
    assert old != "mst_session_planted"
    assert sign_in(browser, "ada").status_code == 303
    stale = {"Cookie": f"mainstay_session={old}", **HTML}
    browser.cookies.clear()
    assert browser.get("/account", headers=stale).status_code == 401


def test_tampered_cookies_and_foreign_forms_do_nothing(closed_site: Site) -> None:
    site = closed_site
    first(site)
    good = site.client.cookies["mainstay_session"]
    for bad in (good[:-1], good + "x", good.upper(), "mst_api_for_tests", API_TOKEN, "", "é", "a" * 5000):
        site.client.cookies.clear()
        header = {"Cookie": f"mainstay_session={bad}".encode(), **HTML}
        assert site.client.get("/account", headers=header).status_code == 401, bad
    site.client.cookies.set("mainstay_session", good)
    for path in ("/people", "/people/ada", "/account/tokens", "/account/password", "/account/sessions", "/sign-out"):
        assert site.client.post(path, data={"form_token": "wrong"}, headers=HTML).status_code == 403, path
        foreign = {**HTML, "Origin": "https://evil.example"}
        assert site.client.post(path, data={}, headers=foreign).status_code == 403, path
    evil = {"name": "ada", "password": PASSWORD}
    assert site.client.post("/sign-in", data=evil, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


@pytest.mark.parametrize(
    "back", ["//evil.example", "https://evil.example", "/\\evil.example", "/%0d%0aX: y\r\nX: y", ""]
)
def test_signing_in_never_leads_elsewhere(closed_site: Site, back: str) -> None:
    first(closed_site)
    data = {"name": "ada", "password": PASSWORD, "back": back}
    answer = closed_site.client.post("/sign-in", data=data, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_a_new_password_ends_all_other_sessions(closed_site: Site, browser: TestClient) -> None:
    site = closed_site
    first(site)
    sign_in(browser, "ada")
    new = "another horse entirely"
    wrong = post(site.client, "/account/password", old="not it at all", password=new, again=new)
    assert (wrong.status_code, "present password" in wrong.text) == (422, True)
    assert post(site.client, "/account/password", old=PASSWORD, password=new, again=new).status_code == 303
    assert site.page("/account").status_code == 200
    assert browser.get("/account", headers=HTML).status_code == 401
    assert sign_in(browser, "ada", new).status_code == 303
    assert "password.set" in actions(site)


def test_sessions_are_listed_and_ended(closed_site: Site, browser: TestClient) -> None:
    site = closed_site
    first(site)
    browser.post("/sign-in", data={"name": "ada", "password": PASSWORD}, headers={"User-Agent": "Lynx/2 <script>"})
    page = site.page("/account").text
    assert "Lynx/2 &lt;script&gt;" in page
    other = re.search(r'name="session" value="(\d+)"', page)
    assert other
    assert post(site.client, "/account/sessions", session=other[1]).status_code == 303
    assert browser.get("/account", headers=HTML).status_code == 401
    sign_in(browser, "ada")
    assert post(browser, "/account/sessions").status_code == 303
    assert site.page("/account").status_code == 401


def test_an_invitation_is_good_once_and_a_removed_person_is_out_at_once(closed_site: Site, browser: TestClient) -> None:
    site = closed_site
    first(site)
    answer = site.api("POST", "/people", json={"name": "bob", "role": "developer"}).json()
    link = answer["link"].removeprefix("http://mainstay.test")
    for _ in range(2):  # programs that read mail open its links before people do
        looked = browser.get(link, headers=HTML, follow_redirects=False)
        assert (looked.status_code, "Sign in as bob" in looked.text) == (200, True)
        assert "set-cookie" not in looked.headers
    assert use(browser, link).headers["location"] == "/welcome"
    assert post(browser, "/welcome", password=PASSWORD, again=PASSWORD).status_code == 303
    assert browser.get(link, headers=HTML).status_code == 401
    made = browser.get("/api/v1/tokens")
    assert (made.status_code, made.json()["items"]) == (200, [])
    token = post(browser, "/account/tokens", name="mine", scope="admin", days="7").text
    text = re.search(r"mst_api_[\w-]+", token)
    assert text
    bearer = {"Authorization": f"Bearer {text[0]}"}
    assert browser.get("/api/v1/repositories", headers=bearer).status_code == 200
    assert site.api("DELETE", "/people/bob").status_code == 204
    assert browser.get("/account", headers=HTML).status_code == 401
    browser.cookies.clear()
    assert browser.get("/api/v1/repositories", headers=bearer).status_code == 401
    assert sign_in(browser, "bob").status_code == 401
    late = site.api("POST", "/people", json={"name": "carol"}).json()["link"].removeprefix("http://mainstay.test")
    site.clock.at += timedelta(days=8)
    assert browser.get(late, headers=HTML).status_code == 401


def test_a_token_carries_its_scope_its_repositories_and_its_days(closed_site: Site) -> None:
    site = closed_site
    site.fill(lambda f: [f.repository("demo"), f.repository("other")])

    def make(**body: Any) -> tuple[int, dict[str, str]]:
        made = site.api("POST", "/tokens", json={"name": "t", **body})
        assert made.status_code == 201, made.text
        return made.json()["id"], {"Authorization": f"Bearer {made.json()['token']}"}

    def status(method: str, path: str, headers: dict[str, str], **more: Any) -> int:
        code: int = site.client.request(method, f"/api/v1{path}", headers=headers, **more).status_code
        return code

    number, reading = make(scope="read")
    assert status("GET", "/repositories/demo", reading) == 200
    assert status("PATCH", "/repositories/demo", reading, json={"poll_s": 30}) == 403
    _, writing = make(scope="write", repositories=["demo"])
    assert status("PATCH", "/repositories/demo", writing, json={"poll_s": 30}) == 200
    assert status("DELETE", "/repositories/demo", writing) == 403
    assert status("GET", "/repositories/other", writing) == 404
    assert site.client.get("/api/v1/repositories", headers=writing).json()["items"][0]["name"] == "demo"
    assert status("POST", "/people", writing, json={"name": "eve", "role": "admin"}) == 403
    _, one = make(scope="admin", repositories=["demo"])
    assert status("POST", "/people", one, json={"name": "eve", "role": "admin"}) == 403
    for weak in (reading, writing, one):  # none of them makes a stronger one, or undoes another
        assert status("POST", "/tokens", weak, json={"name": "u", "scope": "admin"}) == 403
        assert status("DELETE", f"/tokens/{number}", weak) in (403, 404) or weak is reading
    _, short = make(days=1)
    site.clock.at += timedelta(hours=23)
    assert status("GET", "/repositories", short) == 200
    site.clock.at += timedelta(hours=2)
    assert status("GET", "/repositories", short) == 401
    third, another = make()
    assert status("GET", "/repositories", another) == 200
    assert site.api("DELETE", f"/tokens/{third}").status_code == 204
    assert status("GET", "/repositories", another) == 401
    assert "mst_api_" not in site.api("GET", "/tokens").text
    for wrong in ({"name": ""}, {"scope": "root"}, {"days": 0}, {"repositories": ["none"]}, {"colour": "red"}):
        assert site.api("POST", "/tokens", json={"name": "t", **wrong}).status_code in (404, 422), wrong


def test_a_session_that_a_token_opened_may_no_more_than_the_token(closed_site: Site, browser: TestClient) -> None:
    site = closed_site
    first(site)
    invited(site, browser, "bob", role="admin")
    text = re.search(r"mst_api_[\w-]+", post(browser, "/account/tokens", name="r", scope="read", days="7").text)
    assert text
    assert post(browser, "/sign-out").status_code == 303
    assert browser.post("/sign-in", data={"token": text[0]}, follow_redirects=False).status_code == 303
    assert browser.get("/people", headers=HTML).status_code == 403
    new = "a stolen token's wish"
    assert post(browser, "/account/password", old=PASSWORD, password=new, again=new).status_code == 422
    assert post(browser, "/account/sessions").status_code == 403
    assert post(browser, "/account/tokens", name="x", scope="admin", days="7").status_code == 422
    mine = next(each["id"] for each in site.api("GET", "/tokens").json()["items"] if each["name"] == "r")
    assert site.api("DELETE", f"/tokens/{mine}").status_code == 204
    assert browser.get("/account", headers=HTML).status_code == 401


def test_the_last_administrator_stays(closed_site: Site, browser: TestClient) -> None:
    site = closed_site
    first(site)
    assert site.api("PATCH", "/people/ada", json={"role": "reader"}).status_code == 409
    assert site.api("DELETE", "/people/ada").status_code == 409
    invited(site, browser, "bob", role="admin")
    assert site.api("DELETE", "/people/ada").status_code == 204
    assert site.page("/account").status_code == 401


def test_a_repositorys_administrator_gives_roles_there_and_only_there(closed_site: Site, browser: TestClient) -> None:
    site = closed_site
    first(site)
    site.fill(lambda f: [f.repository("demo"), f.repository("other")])
    invited(site, browser, "bob")
    site.api("POST", "/people", json={"name": "carol"})
    assert browser.get("/repositories/demo", headers=HTML).status_code == 404
    assert site.api("PUT", "/repositories/demo/people/bob", json={"role": "admin"}).status_code == 204
    assert browser.get("/repositories/demo", headers=HTML).status_code == 200  # at once
    text = re.search(r"mst_api_[\w-]+", post(browser, "/account/tokens", name="all", scope="admin", days="7").text)
    assert text
    bearer = {"Authorization": f"Bearer {text[0]}"}

    def put(repository: str, **body: str) -> int:
        path = f"/api/v1/repositories/{repository}/people/carol"
        return int(browser.put(path, headers=bearer, json=body).status_code)

    assert put("demo", role="maintainer") == 204
    assert put("other", role="maintainer") == 404
    assert put("demo", role="owner") == 422
    listed = browser.get("/api/v1/repositories/demo/people", headers=bearer).json()["items"]
    assert [(each["person"], each["role"]) for each in listed] == [("bob", "admin"), ("carol", "maintainer")]
    assert browser.patch("/api/v1/people/carol", headers=bearer, json={"role": "admin"}).status_code == 403
    assert browser.delete("/api/v1/repositories/demo/people/carol", headers=bearer).status_code == 204
    rows = site.api("GET", "/audit?action=role&repo=demo").json()["items"]
    assert [(row["actor"], row["detail"]) for row in rows] == [
        ("bob", "maintainer -> none"),
        ("bob", "none -> maintainer"),
        ("ada", "none -> admin"),
    ]


def test_the_trail_tells_who_did_what_from_where_without_secrets(closed_site: Site) -> None:
    site = closed_site
    first(site)
    site.api("POST", "/repositories", json={"name": "demo", "url": "https://user:s3same@example.org/x.git"})
    site.api("PATCH", "/repositories/demo", json={"poll_s": 30, "url": "https://u:s3same@example.org/y.git"})
    site.api("POST", "/runner-tokens", json={"name": "gpu"})
    site.api("DELETE", "/repositories/demo")
    found = site.api("GET", "/audit").json()["items"]
    assert [row["action"] for row in found] == [
        "repository.remove", "token.create", "repository.set", "repository.add", "person.add", "sign-in",
    ]  # fmt: skip
    assert (
        found[2]["detail"]
        == "poll_s: 60.0 -> 30.0; url: https://***@example.org/x.git -> https://***@example.org/y.git"
    )
    assert (found[3]["actor"], found[3]["token"], found[3]["address"]) == ("ada", "ada", "testclient")
    page = site.page("/audit").text
    assert "s3same" not in page
    assert "mst_" not in re.sub(r'name="form_token"[^>]*', "", page)
    assert "repository.set" in page
    assert "repository.set" not in site.page("/audit?action=token").text
    one = site.api("GET", "/audit?limit=2").json()
    two = site.api("GET", f"/audit?limit=200&cursor={one['next']}").json()
    assert [row["id"] for row in one["items"] + two["items"]] == [row["id"] for row in found]


def hostile(f: Filling) -> None:
    """People with all that a name may hold, and a trail of nonsense."""
    demo = f.repository("demo")
    evil = "<script>alert(1)</script>\u202e"
    person = people.add(f.tx, "a@b.example+x", f.now, full_name=evil, email="a@b", role="developer")
    people.give(f.tx, person.id, demo, Role.ADMIN)
    people.add(f.tx, "z" * 64, f.now, issuer=evil, subject="1")
    audit.add(f.tx, Actor(evil, None, evil, evil), "build.cancel", evil * 300, f.now, detail=evil)


def test_the_pages_of_people_show_hostile_text_safely_and_in_chinese(closed_site: Site) -> None:
    site = closed_site
    first(site)
    site.fill(hostile)
    post(site.client, "/account/tokens", name="<b>t</b>", scope="read", days="none")
    for path in ("/account", "/people", "/people/a@b.example+x", "/people/" + "z" * 64, "/audit", "/audit?actor=<b>"):
        for language in ("en", "zh-CN"):
            answer = site.page(path, **{"Accept-Language": language})
            assert answer.status_code == 200, path
            assert "<script>" not in answer.text
            assert "<b>" not in answer.text
            assert language == "en" or "审计记录" in answer.text or "令牌" in answer.text, path
