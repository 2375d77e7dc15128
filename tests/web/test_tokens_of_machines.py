"""Every route of the application, asked with the token of a job and that of a runner: each opens what it is for."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from starlette.routing import Route

from mainstay.store import jobs
from mainstay.store.schema import attempts
from mainstay.web import runner_api
from tests.web.conftest import RUNNER_TOKEN, Site, serve
from tests.web.filling import Filling, JobRow
from tests.web.test_roles import NOBODY, ROUTES

OPEN = {
    "GET /assets/{digest}/{name}",
    "GET /sign-in",
    "POST /sign-in",
    "GET /sign-in/openid",
    "GET /sign-in/openid/return",
    "POST /preferences",
    "GET /mail/{token}",
    "POST /mail/{token}",
    "GET /healthz",
    "POST /hooks/{forge}",
    "GET /api/openapi.json",
}
"""What everybody gets, a token or not."""
FETCHING = ("/git/{name}.git/info/refs", "/git/{name}.git/git-upload-pack")


@dataclass
class Machines:
    site: Site
    job_token: str
    attempt: int


@pytest.fixture
def machines(tmp_path: Path, database_url: str) -> Any:
    def fill(f: Filling) -> tuple[int, str]:
        ours, other = f.repository("hidden-gem"), f.repository("veiled")
        sha = f.commit(ours, "x")
        f.commit(other, "y")
        runner = (f.runner("mine"), "mine")
        f.build(ours, sha, [JobRow("a", state="running")], runner=runner)
        f.build(ours, sha, [JobRow("b", state="passed")], runner=(f.runner("another"), "another"), occasion="2")
        return 1, jobs.new_source_token(f.tx, 1)

    for site in serve(tmp_path / "data", database_url, public_reading=False):
        attempt, token = site.fill(fill)
        site.do(site.engine.mirrors.of(1).create)
        yield Machines(site, token, attempt)


def routes() -> list[str]:
    own = [f"{max(each.methods or ())} {each.path}" for each in runner_api.routes if isinstance(each, Route)]
    return sorted({*ROUTES, *own} - OPEN)


def ask(machines: Machines, route: str, token: str) -> Any:
    method = route.partition(" ")[0]
    path = re.sub(r"\{(name)\}", "hidden-gem", route.partition(" ")[2])
    path = re.sub(r"\{[^}]+\}", "1", path)
    return machines.site.client.request(
        method,
        path,
        headers={"Authorization": f"Bearer {token}", "Mainstay-Runner": "1", "Accept": "application/json"},
        data={"form_token": "x"} if method == "POST" else None,
        follow_redirects=False,
    )


def test_the_token_of_a_job_opens_nothing_but_the_git_of_its_repository_to_read(machines: Machines) -> None:
    for route in routes():
        if route.endswith(FETCHING):
            continue
        answer = ask(machines, route, machines.job_token)
        assert answer.status_code in (401, 403), f"{route} answers the token of a job with {answer.status_code}"
    for kind in ("token", "password", "code"):  # nor does it open a session
        answer = machines.site.client.post(
            "/sign-in", data={kind: machines.job_token, "name": "ada"}, headers={"Accept": "text/html"}
        )
        assert answer.status_code == 401


def test_the_token_of_a_runner_opens_nothing_but_the_protocol_of_runners(machines: Machines) -> None:
    for route in routes():
        if "/runner/v1/" in route:
            continue
        answer = ask(machines, route, RUNNER_TOKEN)
        assert answer.status_code in (401, 403), f"{route} answers the token of a runner with {answer.status_code}"
    answer = machines.site.client.post("/sign-in", data={"token": RUNNER_TOKEN}, headers={"Accept": "text/html"})
    assert answer.status_code == 401


def test_the_token_of_a_job_reads_its_own_repository_while_it_runs(machines: Machines) -> None:
    site = machines.site

    def fetch(name: str, service: str = "git-upload-pack") -> int:
        return int(
            site.client.get(
                f"/git/{name}.git/info/refs?service={service}",
                headers={"Authorization": f"Bearer {machines.job_token}"},
            ).status_code
        )

    assert fetch("hidden-gem") == 200
    assert fetch("veiled") == 401
    assert fetch("missing") == 401
    assert fetch("hidden-gem", "git-receive-pack") == 403
    for state in ("passed", "cancelled", "lost", "broken", "timed_out"):
        site.fill(lambda f, s=state: f.conn.execute(update(attempts).where(attempts.c.id == 1).values(state=s)))
        assert fetch("hidden-gem") == 401, state


def test_a_runner_reads_and_writes_nothing_of_an_attempt_that_it_does_not_hold(machines: Machines) -> None:
    site = machines.site
    hello = {"name": "thief", "boot": "b", "labels": [], "capacity": 1, "executor": "process", "version": "1"}
    headers = {"Authorization": f"Bearer {RUNNER_TOKEN}"}
    welcome = site.client.post("/runner/v1/hello", json=hello | {"system": "x", "holding": []}, headers=headers)
    assert welcome.status_code == 200, welcome.text
    thief = {**headers, "Mainstay-Runner": str(welcome.json()["runner"])}
    finish = {"state": "passed", "log_bytes": 0, "started_at": None, "finished_at": "2026-11-20T12:00:00Z"}
    for method, path, body in (
        ("POST", "log?offset=0", b"x"),
        ("POST", "progress", b'{"sequence": 1, "steps": []}'),
        ("POST", "finish", finish),
        ("PUT", "tests", b""),
        ("PUT", "artifacts/x", b"x"),
        ("GET", "artifacts", b""),
        ("GET", "artifacts/x", b""),
        ("GET", "durations", b""),
        ("GET", "caches?key=k", b""),
        ("PUT", "caches?key=k", b"x"),
        ("GET", "caches/1", b""),
    ):
        for attempt in (1, 2, 99):
            sent = {"json": body} if isinstance(body, dict) else {"content": body}
            answer = site.client.request(method, f"/runner/v1/attempts/{attempt}/{path}", headers=thief, **sent)  # type: ignore[arg-type]
            assert answer.status_code in (404, 410), f"{method} {path} of attempt {attempt}: {answer.text}"


def test_every_route_is_asked(machines: Machines) -> None:
    assert {route for route, mark in ROUTES.items() if mark is NOBODY} >= OPEN
    assert len(routes()) > 150
