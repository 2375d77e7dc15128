"""Every route of the application, asked by people of every role: who may not sees nothing, and changes nothing.

The routes are found in the application itself: one that is not in the table fails the first test.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Mount

from mainstay.model.person import Role
from mainstay.store import people, tokens
from mainstay.store.schema import tokens as tokens_table
from mainstay.web.guard import form_token
from tests.web.conftest import Site, serve
from tests.web.filling import Filling, JobRow, Step

R, D, M, A = Role.READER, Role.DEVELOPER, Role.MAINTAINER, Role.ADMIN
SERVER = "server"
"""Marks what needs its role in all repositories."""
SELF = "self"
"""Marks what everybody who is signed in has: an account, tokens."""
NOBODY = "nobody"
"""Marks what everybody gets, or what a key of its own opens (runners, git, forges)."""

# Method and path of every route -> the role it needs in the repository that it is about.
ROUTES: dict[str, Any] = {
    "GET /": R,
    "GET /live": R,
    "GET /palette": R,
    "GET /repositories/{name}/start": R,
    "POST /repositories/{name}/start": D,
    "GET /assets/{digest}/{name}": NOBODY,
    "GET /builds/{build:int}": R,
    "POST /builds/{build:int}/cancel": D,
    "POST /builds/{build:int}/rerun": D,
    "GET /artifacts/{artifact:int}": R,
    "GET /jobs/{job:int}/attempts/{attempt:int}": R,
    "GET /jobs/{job:int}/attempts/{attempt:int}/tail": R,
    "GET /jobs/{job:int}/attempts/{attempt:int}/raw": R,
    "GET /repositories/{name}": R,
    "POST /repositories/{name}/look": D,
    "GET /repositories/{name}/refs": R,
    "GET /repositories/{name}/schedules": R,
    "POST /repositories/{name}/schedules": D,
    "GET /schedules": R,
    "GET /repositories/{name}/commits/{commit}": R,
    "GET /repositories/{name}/settings": M,
    "POST /repositories/{name}/settings": M,
    "POST /repositories/{name}/settings/pause": M,
    "POST /repositories/{name}/settings/remove": A,
    "POST /repositories/{name}/settings/key": M,
    "POST /repositories/{name}/settings/webhook": M,
    "POST /repositories/{name}/settings/{kind}": M,
    "GET /watch": (SERVER, A),
    "POST /watch": (SERVER, A),
    "GET /settings": (SERVER, A),
    "POST /settings/{kind}": (SERVER, A),
    "GET /repositories/{name}/tests": R,
    "GET /repositories/{name}/tests/{test:path}": R,
    "GET /repositories/{name}/notifications": D,
    "POST /repositories/{name}/notifications": M,
    "POST /repositories/{name}/notifications/{action}": M,
    "POST /repositories/{name}/notifications/messages/{message:int}/{action}": M,
    "GET /account/messages": NOBODY,
    "POST /account/messages": NOBODY,
    "POST /account/messages/again": NOBODY,
    "POST /account/messages/authors": NOBODY,
    "POST /account/messages/{subscription:int}/remove": NOBODY,
    "GET /mail/{token}": NOBODY,
    "POST /mail/{token}": NOBODY,
    "GET /runners": R,
    "POST /runners/tokens": (SERVER, A),
    "GET /runners/{runner:int}": R,
    "POST /runners/{runner:int}/{action}": (SERVER, A),
    "GET /queue": R,
    "POST /queue": D,
    "GET /welcome": NOBODY,
    "POST /welcome": SELF,
    "GET /account": SELF,
    "POST /account/tokens": SELF,
    "POST /account/tokens/{token:int}/revoke": SELF,
    "POST /account/password": SELF,
    "POST /account/sessions": SELF,
    "GET /people": (SERVER, A),
    "POST /people": (SERVER, A),
    "GET /people/{person}": (SERVER, A),
    "POST /people/{person}": (SERVER, A),
    "GET /audit": (SERVER, A),
    "GET /sign-in": NOBODY,
    "POST /sign-in": NOBODY,
    "GET /sign-in/openid": NOBODY,
    "GET /sign-in/openid/return": NOBODY,
    "POST /sign-out": NOBODY,
    "POST /preferences": NOBODY,
    "GET /healthz": NOBODY,
    "GET /metrics": R,
    "POST /hooks/{forge}": NOBODY,
    "GET /badge/{name}/{branch:path}.svg": R,
    "GET /cctray.xml": R,
    "GET /feeds/{name}.atom": R,
    "GET /git/{name}.git/info/refs": NOBODY,
    "POST /git/{name}.git/git-upload-pack": NOBODY,
    "POST /git/{name}.git/git-receive-pack": NOBODY,
    "GET /api/openapi.json": NOBODY,
    "GET /api/v1/builds": R,
    "GET /api/v1/builds/{build}": R,
    "POST /api/v1/builds/{build}/cancel": D,
    "POST /api/v1/builds/{build}/rerun": D,
    "POST /api/v1/builds/{build}/priority": D,
    "GET /api/v1/builds/{build}/why": R,
    "GET /api/v1/builds/{build}/artifacts": R,
    "GET /api/v1/artifacts/{artifact}": R,
    "GET /api/v1/jobs/{job}/why": R,
    "GET /api/v1/jobs/{job}/attempts/{attempt}/log": R,
    "GET /api/v1/repositories": R,
    "POST /api/v1/repositories": (SERVER, A),
    "GET /api/v1/repositories/{name}": R,
    "PATCH /api/v1/repositories/{name}": M,
    "DELETE /api/v1/repositories/{name}": A,
    "POST /api/v1/repositories/{name}/key": M,
    "POST /api/v1/repositories/{name}/webhook": M,
    "DELETE /api/v1/repositories/{name}/webhook": M,
    "POST /api/v1/repositories/{name}/look": D,
    "POST /api/v1/repositories/{name}/starts": D,
    "GET /api/v1/repositories/{name}/schedules": R,
    "GET /api/v1/repositories/{name}/commits": R,
    "GET /api/v1/repositories/{name}/commits/{commit}": R,
    "GET /api/v1/repositories/{name}/tests": R,
    "GET /api/v1/repositories/{name}/tests/{test:path}": R,
    "GET /api/v1/repositories/{name}/quarantine": R,
    "GET /api/v1/repositories/{name}/culprits": R,
    "GET /api/v1/repositories/{name}/durations": R,
    "GET /api/v1/repositories/{name}/secrets": M,
    "PUT /api/v1/repositories/{name}/secrets/{secret}": M,
    "DELETE /api/v1/repositories/{name}/secrets/{secret}": M,
    "GET /api/v1/repositories/{name}/variables": M,
    "PUT /api/v1/repositories/{name}/variables/{variable}": M,
    "DELETE /api/v1/repositories/{name}/variables/{variable}": M,
    "GET /api/v1/secrets": (SERVER, A),
    "PUT /api/v1/secrets/{secret}": (SERVER, A),
    "DELETE /api/v1/secrets/{secret}": (SERVER, A),
    "GET /api/v1/variables": (SERVER, A),
    "PUT /api/v1/variables/{variable}": (SERVER, A),
    "DELETE /api/v1/variables/{variable}": (SERVER, A),
    "GET /api/v1/repositories/{name}/channels": D,
    "POST /api/v1/repositories/{name}/channels": M,
    "DELETE /api/v1/repositories/{name}/channels/{channel}": M,
    "POST /api/v1/repositories/{name}/channels/{channel}/test": M,
    "GET /api/v1/repositories/{name}/messages": D,
    "POST /api/v1/repositories/{name}/messages/{message}/send": M,
    "POST /api/v1/repositories/{name}/messages/{message}/drop": M,
    "GET /api/v1/subscriptions": NOBODY,
    "POST /api/v1/subscriptions": NOBODY,
    "DELETE /api/v1/subscriptions/{subscription}": NOBODY,
    "GET /api/v1/outbox": (SERVER, A),
    "POST /api/v1/outbox/mail-test": (SERVER, A),
    "GET /api/v1/runners": R,
    "GET /api/v1/runners/failing": R,
    "GET /api/v1/labels": R,
    "PUT /api/v1/labels": (SERVER, A),
    "POST /api/v1/runners/{runner}/drain": (SERVER, A),
    "POST /api/v1/runners/{runner}/resume": (SERVER, A),
    "DELETE /api/v1/runners/{runner}": (SERVER, A),
    "POST /api/v1/runner-tokens": (SERVER, A),
    "GET /api/v1/runner-tokens": (SERVER, A),
    "DELETE /api/v1/runner-tokens/{token}": (SERVER, A),
    "GET /api/v1/people": (SERVER, A),
    "POST /api/v1/people": (SERVER, A),
    "GET /api/v1/people/{person}": (SERVER, A),
    "PATCH /api/v1/people/{person}": (SERVER, A),
    "DELETE /api/v1/people/{person}": (SERVER, A),
    "POST /api/v1/people/{person}/link": (SERVER, A),
    "GET /api/v1/repositories/{name}/people": A,
    "PUT /api/v1/repositories/{name}/people/{person}": A,
    "DELETE /api/v1/repositories/{name}/people/{person}": A,
    "GET /api/v1/audit": (SERVER, A),
    "GET /api/v1/tokens": SELF,
    "POST /api/v1/tokens": SELF,
    "DELETE /api/v1/tokens/{token}": SELF,
    "GET /api/v1/queue": R,
    "GET /api/v1/events": R,
}
STREAMS = {"GET /live", "GET /api/v1/events"}
"""Never end by themselves; asked only by those who are refused."""


def _of(routes: Any, prefix: str = "") -> Iterator[str]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _of(route.app.ready().routes, prefix + route.path)  # type: ignore[attr-defined]
            continue
        if hasattr(route, "original_router"):  # what FastAPI makes of include_router
            yield from _of(route.original_router.routes, prefix + route.include_context.prefix)
            continue
        path = prefix + route.path
        if not path.startswith("/runner/"):  # runners have their own protocol and their own tokens
            yield from (f"{method} {path}" for method in sorted(route.methods or ()) if method != "HEAD")


def routes_of(site: Site) -> list[str]:
    """Method and path of every route that people and their programs have."""
    return list(_of(site.app.routes))


@dataclass
class Village:
    """A server with one hidden repository and people of every role."""

    site: Site
    keys: dict[str, str]
    """Who -> API token."""
    sessions: dict[str, str]
    commit: str


WHO = ("stranger", "reader", "developer", "maintainer", "admin", "server-reader", "server-admin")
ROLE = {"reader": R, "developer": D, "maintainer": M, "admin": A, "server-reader": R, "server-admin": A}


def _fill(f: Filling) -> tuple[dict[str, str], dict[str, str], str]:
    hidden, other = f.repository("hidden-gem"), f.repository("veiled")
    runner_id = f.runner("crystal-1")
    runner = (runner_id, "crystal-1")
    sha = f.commit(hidden, "A hidden-gem subject")
    f.ref(hidden, "main", sha)
    f.build(
        hidden, sha, [JobRow(name="hidden-gem job", steps=[Step("run", output=b"hidden-gem words\n")])], runner=runner
    )
    f.build(hidden, sha, [JobRow(name="hidden-gem waits", state="queued")], occasion="2")
    f.schedule(hidden, ".github/workflows/hidden-gem.yml", "0 1 * * *")
    keys, sessions = {}, {}
    for who in WHO:
        everywhere = ROLE[who].word if who.startswith("server-") else None
        person = people.add(f.tx, who, f.now, role=everywhere)
        if who == "stranger":
            people.give(f.tx, person.id, other, R)
        elif not everywhere:
            people.give(f.tx, person.id, hidden, ROLE[who])
        for kind, into in (("api", keys), ("session", sessions)):
            into[who] = tokens.new_token(kind)
            made = tokens.add(f.tx, kind, who, into[who], f.now)
            f.conn.execute(tokens_table.update().where(tokens_table.c.id == made).values(person_id=person.id))
    return keys, sessions, sha


@pytest.fixture
def village(tmp_path: Path, database_url: str) -> Iterator[Village]:
    for site in serve(tmp_path / "data", database_url, public_reading=False):
        keys, sessions, sha = site.fill(_fill)
        yield Village(site, keys, sessions, sha)


def filled(route: str, village: Village) -> str:
    """A path that leads to something of the hidden repository."""
    path = route.partition(" ")[2]
    for name, value in (
        ("{build:int}", "2"),
        ("{build}", "2"),
        ("{job:int}", "1"),
        ("{job}", "1"),
        ("{attempt:int}", "1"),
        ("{attempt}", "1"),
        ("{artifact:int}", "1"),
        ("{artifact}", "1"),
        ("{name}", "hidden-gem"),
        ("{commit}", village.commit),
        ("{test:path}", "a/test"),
        ("{branch:path}", "main"),
        ("{runner:int}", "1"),
        ("{runner}", "1"),
        ("{message:int}", "1"),
        ("{message}", "1"),
        ("{channel}", "team"),
        ("{action}", "drain"),
        ("{person}", "reader"),
        ("{token:int}", "999"),
        ("{token}", "999"),
        ("{secret}", "KEY"),
        ("{kind}", "secrets"),
        ("{variable}", "REGION"),
    ):
        path = path.replace(name, value)
    assert "{" not in path, f"the test does not know what to put into {path}"
    return path + ("?topic=repo:1" if path == "/live" else "")


def ask(village: Village, route: str, who: str) -> Any:
    """Ask as somebody: pages with their session and the form's token, the API with their token."""
    method, path = route.partition(" ")[0], filled(route, village)
    client = village.site.client
    client.cookies.clear()
    if path.startswith("/api/"):
        return client.request(method, path, headers={"Authorization": f"Bearer {village.keys[who]}"})
    client.cookies.set("mainstay_session", village.sessions[who])
    fields = {"form_token": form_token(village.sessions[who])} if method == "POST" else None
    return client.request(method, path, data=fields, headers={"Accept": "text/html"}, follow_redirects=False)


def test_every_route_says_whom_it_is_for(site: Site) -> None:
    there = routes_of(site)
    assert sorted(set(there) - set(ROUTES)) == [], "give these their roles in ROUTES"
    assert sorted(set(ROUTES) - set(there)) == [], "these are no more"


def _needs(route: str) -> tuple[Role, bool]:
    needed = ROUTES[route]
    return (needed[1], True) if isinstance(needed, tuple) else (needed, False)


def test_who_has_too_little_is_refused_and_who_has_enough_is_not(village: Village) -> None:
    for route, mark in ROUTES.items():
        if mark in (NOBODY, SELF):
            continue
        needed, server = _needs(route)
        about_one = "{" in route and "{runner" not in route and not server
        for who in WHO:
            role = ROLE.get(who)
            enough = role is not None and role >= needed and (not server or who.startswith("server-"))
            if not about_one and needed is R and who == "stranger":
                continue  # lists, which the next test reads
            if enough and (route in STREAMS or not route.startswith("GET")):
                continue  # commands that are carried out have a test of their own
            status = ask(village, route, who).status_code
            if enough:
                assert status not in (401, 403), f"{who} should be allowed {route}, not {status}"
            elif role is None and about_one:
                assert status == 404, f"{route} tells {who} that there is something: {status}"
            else:
                assert status == 403, f"{route} answers {who} with {status}"


def test_who_has_the_role_gets_as_far_as_the_command_itself(village: Village) -> None:
    for route in sorted(ROUTES, key=lambda route: route.startswith("DELETE")):
        if ROUTES[route] not in (NOBODY, SELF) and not route.startswith("GET"):
            needed, server = _needs(route)
            who = "server-admin" if server else needed.word
            status = ask(village, route, who).status_code
            assert status not in (401, 403, 500), f"{who} should be allowed {route}, not {status}"


def test_what_is_hidden_is_nowhere_to_be_read(village: Village) -> None:
    for route, mark in ROUTES.items():
        if route.startswith("GET") and route not in STREAMS and mark != NOBODY and not isinstance(mark, tuple):
            answer = ask(village, route, "stranger")
            # The address itself may be repeated to whoever wrote it.
            shown = answer.text.replace(filled(route, village), "")
            allowed = (200, 404, 403) if _needs(route)[1] else (200, 404)
            assert answer.status_code in allowed, f"{route}: {answer.status_code}"
            if answer.status_code == 200:
                assert "hidden-gem" not in shown, f"{route} shows what is hidden"


def test_nobody_reads_or_does_anything_without_signing_in(village: Village) -> None:
    client = village.site.client
    for route, mark in ROUTES.items():
        if mark == NOBODY:
            continue
        client.cookies.clear()
        method = route.partition(" ")[0]
        answer = client.request(method, filled(route, village), headers={"Accept": "application/json"}, data={})
        assert answer.status_code == 401, f"{route} answers nobody with {answer.status_code}"


def test_builds_found_by_their_state_are_of_what_one_may_see(village: Village) -> None:
    headers = {"Authorization": f"Bearer {village.keys['stranger']}"}

    def also(f: Filling) -> None:
        for name in ("second", "third"):
            repository = f.repository(name)
            f.build(repository, f.commit(repository, "x"), [JobRow(state="passed"), JobRow("b", "queued")])
            people.give(f.tx, 1, repository, R)

    village.site.fill(also)
    for query in ("", "?state=passed", "?state=running", "?branch=main", "?state=running&branch=main"):
        items = village.site.client.get(f"/api/v1/builds{query}", headers=headers).json()["items"]
        assert {each["repository"] for each in items} <= {"second", "third"}, query
        assert bool(items) != (query == "?state=passed"), query


def test_a_hidden_repository_looks_like_one_that_is_not_there(village: Village) -> None:
    def words(path: str) -> tuple[int, str]:
        answer = village.site.client.get(path, headers={"Authorization": f"Bearer {village.keys['stranger']}"})
        return answer.status_code, answer.json()["detail"]

    hidden, missing = words("/api/v1/repositories/hidden-gem"), words("/api/v1/repositories/hidden-gen")
    assert hidden == (404, missing[1].replace("hidden-gen", "hidden-gem"))
    assert words("/api/v1/builds/2") == (404, words("/api/v1/builds/999")[1].replace("999", "2"))
    listed = words("/api/v1/builds/hidden-gem%231")
    assert listed[0] == 404
    asked = village.site.client.get(
        "/api/v1/builds?repo=hidden-gem", headers={"Authorization": f"Bearer {village.keys['stranger']}"}
    )
    assert asked.status_code == 404


def test_a_public_repository_is_read_by_everybody_and_changed_by_nobody(village: Village) -> None:
    def publish(f: Filling) -> None:
        f.conn.exec_driver_sql("UPDATE repositories SET public = 1 WHERE name = 'hidden-gem'")
        f.tx.wake("tokens")

    village.site.fill(publish)
    client = village.site.client
    client.cookies.clear()
    for path in ("/", "/repositories/hidden-gem", "/builds/1", "/jobs/1/attempts/1/raw", "/feeds/hidden-gem.atom"):
        answer = client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 200, path
        assert "veiled" not in answer.text, path
    for path in ("/runners", "/metrics", "/repositories/veiled"):
        assert client.get(path).status_code == 401, path
    assert ask(village, "POST /builds/{build:int}/cancel", "stranger").status_code == 403
    assert "stranger has the role reader there" in ask(village, "PATCH /api/v1/repositories/{name}", "stranger").text


def test_only_an_administrator_of_all_lets_a_repository_lie_on_the_servers_machine(village: Village) -> None:
    """The mirrors of all other repositories lie there too."""
    client, mirror = village.site.client, "/srv/mainstay/mirrors/2.git"
    client.cookies.clear()
    for who, url, status in (
        ("maintainer", mirror, 403),
        ("admin", f"file://{mirror}", 403),
        ("maintainer", "https://example.org/me/mine.git", 200),
        ("server-admin", mirror, 200),
    ):
        answer = client.patch(
            "/api/v1/repositories/hidden-gem",
            json={"url": url},
            headers={"Authorization": f"Bearer {village.keys[who]}"},
        )
        assert answer.status_code == status, (who, url, answer.text)
    client.cookies.set("mainstay_session", village.sessions["maintainer"])
    token = form_token(village.sessions["maintainer"])
    fields = {"form_token": token, "commits": "every", "poll_s": "60", "url": f"{mirror}/x", "branches": "*"}
    assert client.post("/repositories/hidden-gem/settings", data=fields).status_code == 403


def test_where_a_maintainers_repository_lies_is_within_reach_and_an_administrators_anywhere(village: Village) -> None:
    client, inside = village.site.client, "http://127.0.0.1:9/git/veiled.git"
    client.cookies.clear()
    for who, url, status in (
        ("maintainer", inside, 422),
        ("admin", "ssh://git@localhost/x", 422),
        ("maintainer", "git://git.example.org/x", 422),
        ("server-admin", inside, 200),
    ):
        answer = client.patch(
            "/api/v1/repositories/hidden-gem",
            json={"url": url},
            headers={"Authorization": f"Bearer {village.keys[who]}"},
        )
        assert answer.status_code == status, (who, url, answer.text)
