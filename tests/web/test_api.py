"""The JSON API: the contract's shapes, paging, filters, refusals."""

from datetime import timedelta
from typing import Any

import pytest

from mainstay.model.person import Actor
from mainstay.model.plan import Plan, Quarantined
from mainstay.store import plans
from mainstay.store.schema import builds
from mainstay.web.artifacts import disposition
from tests.web.conftest import API_TOKEN, RUNNER_TOKEN, Site, on_each_database
from tests.web.filling import NOON, Filling, JobRow, Step, TestRow, sha_of


def demo(f: Filling) -> dict[str, Any]:
    """A repository with three builds: passed, failed, running."""
    repository = f.repository("demo")
    shas = [f.commit(repository, f"change {n}", at=NOON + timedelta(minutes=n)) for n in range(3)]
    steps = [Step("Set up", output=b"hello\n"), Step("Run pytest", "failed", b"E   assert 1 == 2\n", exit_code=1)]
    failed = [
        TestRow("tests/test_a.py::test_x[a/b]", "failed", 0.2, "assert 1 == 2"),
        TestRow("tests/test_a.py::test_y"),
    ]
    ids = [
        f.build(repository, shas[0], [JobRow("test (3.12)", matrix={"python-version": "3.12"}), JobRow("lint")]),
        f.build(repository, shas[1], [JobRow("test", "failed", steps=steps, tests=failed), JobRow("lint")]),
        f.build(repository, shas[2], [JobRow("test", "running"), JobRow("lint", "queued")], branch="topic"),
    ]
    f.ref(repository, "main", shas[1])
    f.ref(repository, "topic", shas[2])
    return {"repository": repository, "shas": shas, "builds": ids}


@on_each_database
def test_a_build_has_the_shape_of_the_contract(site: Site) -> None:
    made = site.fill(demo)
    found = site.api("GET", f"/builds/{made['builds'][1]}").json()
    assert list(found) == [
        *("id", "number", "repository", "commit", "tree", "branch", "ref", "event", "workflow", "state", "reason"),
        *("created_at", "started_at", "finished_at", "url", "jobs", "failed_tests"),
    ]
    assert found["state"] == "failed"
    assert found["branch"] == "main"
    assert found["created_at"] == "2026-11-20T12:05:00.000Z"
    assert found["url"] == f"http://mainstay.test/builds/{found['id']}"
    job = found["jobs"][0]
    assert {
        "id",
        "key",
        "name",
        "matrix",
        "needs",
        "labels",
        "state",
        "reason",
        "allowed_to_fail",
        "reused_from",
    } <= job.keys()
    assert job["tests"] == {"passed": 1, "failed": 1, "error": 0, "skipped": 0}
    assert [(each["outcome"], each["job"]) for each in found["failed_tests"]] == [("failed", job["name"])]
    attempt = job["attempts"][0]
    assert attempt["commit"] == made["shas"][1]
    assert attempt["steps"][1]["name"] == "Run pytest"
    assert attempt["steps"][1]["exit_code"] == 1
    assert attempt["log_bytes"] == 24


@on_each_database
def test_a_build_is_found_by_repository_and_number(site: Site) -> None:
    made = site.fill(demo)
    assert site.api("GET", "/builds/demo%232").json()["id"] == made["builds"][1]
    assert site.api("GET", "/builds/demo%2399").status_code == 404
    assert site.api("GET", "/builds/nonsense").status_code == 404


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", [3, 2, 1]),
        ("?state=passed", [1]),
        ("?state=failed", [2]),
        ("?state=running", [3]),
        ("?state=cancelled", []),
        ("?branch=topic", [3]),
        ("?branch=main&state=failed", [2]),
        ("?repo=demo&state=passed", [1]),
        ("?limit=2", [3, 2]),
    ],
)
@on_each_database
def test_lists_of_builds_are_filtered(site: Site, query: str, numbers: list[int]) -> None:
    site.fill(demo)
    found = site.api("GET", f"/builds{query}").json()
    assert [each["number"] for each in found["items"]] == numbers
    assert "jobs" not in (found["items"] or [{}])[0]


@on_each_database
def test_builds_are_found_by_a_shortened_commit(site: Site) -> None:
    made = site.fill(demo)
    for commit in (made["shas"][0], made["shas"][0][:8], made["shas"][0][:8].upper()):
        assert [each["number"] for each in site.api("GET", f"/builds?commit={commit}").json()["items"]] == [1]
    assert site.api("GET", "/builds?commit=xyz").status_code == 422


@pytest.mark.parametrize("state", [None, "passed", "failed"])
@on_each_database
def test_pages_follow_each_other_without_gap_or_repeat(site: Site, state: str | None) -> None:
    def many(f: Filling) -> None:
        repository = f.repository("demo")
        for n in range(25):
            row = JobRow("test", "failed" if n % 3 == 0 else "passed")
            f.build(repository, sha_of(str(n)), [row, JobRow("lint")])

    site.fill(many)
    numbers: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        query = f"?limit=4&repo=demo{f'&state={state}' if state else ''}{f'&cursor={cursor}' if cursor else ''}"
        found = site.api("GET", f"/builds{query}").json()
        numbers += [each["number"] for each in found["items"]]
        cursor = found["next"]
    wanted = [n + 1 for n in reversed(range(25)) if state is None or (n % 3 == 0) == (state == "failed")]
    assert numbers == wanted


@on_each_database
def test_a_commits_verdict_is_folded_over_its_builds(site: Site) -> None:
    def two(f: Filling) -> str:
        repository = f.repository("demo")
        sha = f.commit(repository, "one")
        f.build(repository, sha, [JobRow()], workflow="tests")
        f.build(repository, sha, [JobRow(state="failed")], workflow="docs")
        return sha

    sha = site.fill(two)
    found = site.api("GET", f"/repositories/demo/commits/{sha[:7]}").json()
    assert (found["commit"], found["state"], len(found["builds"])) == (sha, "failed", 2)
    listed = site.api("GET", "/repositories/demo/commits").json()["items"]
    assert [(each["commit"], each["state"]) for each in listed] == [(sha, "failed")]


@on_each_database
def test_commits_stand_with_children_before_parents_whatever_the_order_of_their_builds(site: Site) -> None:
    def pushed(f: Filling) -> list[str]:
        repository = f.repository("demo")
        shas = [f.commit(repository, str(n)) for n in range(4)]
        for sha in (shas[3], shas[0], shas[1], shas[2]):  # the tip first, then from the oldest on
            f.build(repository, sha, [JobRow()])
        return shas

    shas = site.fill(pushed)
    listed = site.api("GET", "/repositories/demo/commits?branch=main").json()["items"]
    assert [each["commit"] for each in listed] == list(reversed(shas))


@on_each_database
def test_commits_are_paged_without_repeat(site: Site) -> None:
    def many(f: Filling) -> list[str]:
        repository = f.repository("demo")
        shas = [f.commit(repository, str(n), at=NOON + timedelta(minutes=n)) for n in range(9)]
        for sha in shas:
            f.build(repository, sha, [JobRow()], workflow="tests")
            f.build(repository, sha, [JobRow()], workflow="docs")
        f.build(repository, shas[0], [JobRow()], workflow="nightly")
        return shas

    shas = site.fill(many)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        found = site.api("GET", f"/repositories/demo/commits?limit=2{f'&cursor={cursor}' if cursor else ''}").json()
        seen += [each["commit"] for each in found["items"]]
        cursor = found["next"]
    assert sorted(seen) == sorted(shas)


@on_each_database
def test_tests_tell_their_state_duration_and_flakiness(site: Site) -> None:
    def fill(f: Filling) -> None:
        repository = f.repository("demo")
        for n, outcome in enumerate(("failed", "passed", "passed")):
            rows = [TestRow("tests/t.py::test_a[x/y]", outcome, 0.5), TestRow("tests/t.py::test_b")]
            f.build(repository, sha_of(str(n)), [JobRow(tests=rows)], tree="a" * 40)

    site.fill(fill)
    listed = site.api("GET", "/repositories/demo/tests").json()["items"]
    assert [(each["name"], each["state"], each["runs"], each["flakiness"]) for each in listed] == [
        ("tests/t.py::test_a[x/y]", "passed", 3, 1.0),
        ("tests/t.py::test_b", "passed", 3, 0.0),
    ]
    one = site.api("GET", "/repositories/demo/tests/tests/t.py::test_a%5Bx/y%5D").json()
    assert [each["outcome"] for each in one["history"]] == ["passed", "passed", "failed"]
    assert one["duration_s"] == 0.5
    assert site.api("GET", "/repositories/demo/tests/no::such").status_code == 404


@on_each_database
def test_tests_are_listed_as_they_stand_on_a_branch(site: Site) -> None:
    names = ("t.py::test_a", "t.py::test_b", "t.py::test_c", "t.py::test_d")

    def fill(f: Filling) -> None:
        demo = f.repository("demo")
        ends = {"main": ("passed", "failed", "skipped"), "topic": ("failed", "passed", "passed")}
        for branch, outcomes in ends.items():
            before = [TestRow(name, "failed") for name in names]
            f.build(demo, sha_of(f"{branch} before"), [JobRow(tests=before)], branch=branch)
            rows = [TestRow(name, outcome) for name, outcome in zip(names, outcomes, strict=False)]
            f.build(demo, sha_of(branch), [JobRow(tests=rows)], branch=branch)
        running = JobRow(state="running", tests=[TestRow(names[0], "failed")])
        f.build(demo, sha_of("now"), [running], branch="main")

    site.fill(fill)

    def on(asked: str) -> list[str]:
        items = site.api("GET", f"/repositories/demo/tests?{asked}").json()["items"]
        return [f"{each['name'][-1]} {each['state']}" for each in items]

    assert on("branch=main") == ["a passed", "b failed", "c skipped"]
    assert sorted(on("branch=topic&list=failing")) == ["a failed", "b passed", "c passed"]
    assert on("branch=main&state=failed") == ["b failed"]
    assert on("branch=main&state=passed") == ["a passed"]
    assert on("branch=main&state=skipped") == ["c skipped"]
    assert on("branch=nowhere") == []
    assert on("state=failed") == ["a failed", "d failed"]
    assert "1 test fails on main of demo" in site.page("/repositories/demo/tests?branch=main&list=all").text
    assert "No tests have ended on nowhere of demo" in site.page("/repositories/demo/tests?branch=nowhere").text


@on_each_database
def test_the_log_comes_whole_and_by_range(site: Site) -> None:
    made = site.fill(demo)
    job = site.api("GET", f"/builds/{made['builds'][1]}").json()["jobs"][0]["id"]
    path, whole = f"/jobs/{job}/attempts/1/log", b"hello\nE   assert 1 == 2\n"
    assert site.api("GET", path).content == whole
    part = site.api("GET", path, headers={"Range": "bytes=2-6"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (
        206,
        whole[2:7],
        f"bytes 2-6/{len(whole)}",
    )
    assert site.api("GET", path, headers={"Range": "bytes=-4"}).content == whole[-4:]
    assert site.api("GET", path, headers={"Range": "bytes=900-"}).status_code == 416
    for header, rest in (("", whole), ("bytes=6-", whole[6:]), (f"bytes={len(whole)}-", b""), ("bytes=-4", whole[-4:])):
        followed = site.api("GET", path + "?follow=1", headers={"Range": header} if header else {})
        assert (followed.status_code, followed.content) == (200, rest)
    assert site.api("GET", path + "?follow=1", headers={"Range": "bytes=2-6"}).content == whole[2:7]
    assert site.api("GET", path + "?follow=1", headers={"Range": "bytes=900-"}).status_code == 416
    assert site.api("GET", f"/jobs/{job}/attempts/2/log").status_code == 404


@on_each_database
def test_waiting_for_a_build_answers_at_once_when_it_has_ended(site: Site) -> None:
    made = site.fill(demo)
    assert site.api("GET", f"/builds/{made['builds'][0]}?wait=60").json()["state"] == "passed"
    assert site.api("GET", f"/builds/{made['builds'][2]}?wait=0.05").json()["state"] == "running"


@on_each_database
def test_people_cancel_and_run_again(site: Site) -> None:
    made = site.fill(demo)
    cancelled = site.api("POST", f"/builds/{made['builds'][2]}/cancel", json={"reason": "no need"})
    assert cancelled.status_code == 200
    again = site.api("POST", f"/builds/{made['builds'][1]}/rerun", json={"failed": True})
    assert again.json() == {"jobs": ["test"]}
    assert site.api("GET", f"/builds/{made['builds'][1]}").json()["state"] == "running"
    story = site.api("GET", f"/builds/{made['builds'][1]}/why").json()["items"]
    assert any(each["kind"] == "build.rerun-asked" and each["actor"] == "ada" for each in story)
    assert site.api("POST", f"/builds/{made['builds'][0]}/cancel").status_code == 409
    assert site.api("POST", f"/builds/{made['builds'][1]}/rerun", json={"job": "nope"}).status_code == 422


@on_each_database
def test_repositories_are_added_changed_and_removed(site: Site) -> None:
    made = site.api("POST", "/repositories", json={"name": "here"})
    assert made.status_code == 201, made.text
    assert made.json()["url"] is None
    assert site.api("POST", "/repositories", json={"name": "here"}).status_code == 409
    changed = site.api("PATCH", "/repositories/here", json={"branches": ["main"], "commits": "latest"})
    assert (changed.json()["branches"], changed.json()["commits"]) == (["main"], "latest")
    assert site.api("PATCH", "/repositories/here", json={}).status_code == 422
    assert site.api("PATCH", "/repositories/here", json={"commits": "some"}).status_code == 422
    assert site.api("DELETE", "/repositories/here").status_code == 204
    assert site.api("GET", "/repositories/here").status_code == 404


@on_each_database
def test_artifacts_are_listed_and_downloaded(site: Site) -> None:
    made = site.fill(demo)
    path = f"/builds/{made['builds'][1]}"
    attempt = site.api("GET", path).json()["jobs"][0]["attempts"][0]["id"]
    blob = site.do(site.engine.blobs.put, b"PK: old"), site.do(site.engine.blobs.put, b"PK: these bytes")
    until = NOON + timedelta(days=90)
    site.fill(lambda f: f.artifact(attempt + 1, "dist", blob[0], 7))
    site.fill(lambda f: f.artifact(attempt, "dist", blob[1], 15, keep_until=until))
    found = site.api("GET", f"{path}/artifacts").json()
    assert found == {
        "items": [
            {
                "id": 2,
                "name": "dist",
                "kind": "artifact",
                "size_bytes": 15,
                "job": "test",
                "created_at": "2026-11-20T12:05:00.000Z",
                "keep_until": "2027-02-18T12:00:00.000Z",
                "url": "http://mainstay.test/api/v1/artifacts/2",
            }
        ],
        "next": None,
    }
    for answer in (site.api("GET", "/artifacts/2"), site.page("/artifacts/2")):
        assert (answer.status_code, answer.content) == (200, b"PK: these bytes")
        assert answer.headers["content-type"] == "application/zip"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-disposition"].startswith('attachment; filename="dist.zip"')
    assert '<a class="name" href="/artifacts/2"' in site.page(path).text
    for wrong in ("/artifacts/3", "/builds/99/artifacts"):
        assert site.api("GET", wrong).status_code == 404
    assert site.page("/artifacts/3").status_code == 404
    site.do(site.engine.remove_repository, Actor("ada"), "demo")
    assert site.api("GET", "/artifacts/2").status_code == 404


def test_downloading_an_artifact_needs_the_right_to_read(closed_site: Site) -> None:
    closed_site.fill(demo)
    blob = closed_site.do(closed_site.engine.blobs.put, b"PK: secret")
    closed_site.fill(lambda f: f.artifact(1, "dist", blob, 10))
    assert closed_site.page("/artifacts/1").status_code == 401
    assert closed_site.client.get("/api/v1/artifacts/1").status_code == 401
    closed_site.sign_in()
    assert closed_site.page("/artifacts/1").content == b"PK: secret"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("dist", "attachment; filename=\"dist.zip\"; filename*=UTF-8''dist.zip"),
        ("a.ZIP", "attachment; filename=\"a.ZIP\"; filename*=UTF-8''a.ZIP"),
        ("..", "attachment; filename=\"artifact.zip\"; filename*=UTF-8''artifact.zip"),
        ('a"; x="b', "attachment; filename=\"a__ x=_b.zip\"; filename*=UTF-8''a%22%3B%20x%3D%22b.zip"),
        ("结果", "attachment; filename=\"__.zip\"; filename*=UTF-8''%E7%BB%93%E6%9E%9C.zip"),
        ("a\u202etxt\x1b", "attachment; filename=\"a_txt_.zip\"; filename*=UTF-8''a_txt_.zip"),
    ],
)
def test_no_name_of_an_artifact_leaves_its_place_in_the_header(name: str, header: str) -> None:
    assert disposition(name) == header


@on_each_database
def test_schedules_are_listed(site: Site) -> None:
    made = site.fill(demo)
    site.fill(lambda f: f.schedule(made["repository"], ".mainstay/night.yml", "0 3 * * *"))
    [found] = site.api("GET", "/repositories/demo/schedules").json()["items"]
    assert found == {
        "source": ".mainstay/night.yml",
        "cron": "0 3 * * *",
        "last_at": None,
        "next_at": "2026-11-20T13:05:00.000Z",
        "build": None,
        "missed": 0,
        "told": None,
    }
    assert "0 3 * * *" in site.page("/repositories/demo/schedules").text
    assert site.api("GET", "/repositories/nope/schedules").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "words"),
    [
        ("GET", "/builds?limit=0", {}, 422, "limit"),
        ("GET", "/builds?state=green", {}, 422, "state"),
        ("GET", "/builds?cursor=abc", {}, 422, "cursor"),
        ("GET", "/builds?repos=demo", {}, 422, "repos"),
        ("GET", "/builds?repo=nope", {}, 404, "nope"),
        ("GET", "/builds/999999999999999999999", {}, 404, "no build"),
        ("GET", "/jobs/99999999999999999999/why", {}, 422, "job"),
        ("GET", "/nothing", {}, 404, "/nothing"),
        ("DELETE", "/builds", {}, 405, "GET"),
        ("POST", "/repositories", {"content": b"{"}, 422, "body"),
        ("POST", "/repositories/nope/starts", {"json": {"workflow": "tests"}}, 404, "nope"),
        ("POST", "/repositories/nope/starts", {"json": {}}, 422, "workflow"),
        ("POST", "/repositories/nope/starts", {"json": {"workflow": "t", "inputs": []}}, 422, "inputs"),
        ("POST", "/repositories", {"json": {"name": 3}}, 422, "name"),
        ("POST", "/repositories", {"json": {"name": "x", "colour": "red"}}, 422, "colour"),
        ("POST", "/repositories", {"json": {"name": "../etc"}}, 422, "name"),
        ("POST", "/repositories", {"content": b" " * 70_000}, 413, "65536"),
        ("POST", "/repositories", {"content": b"[" * 60_000}, 422, "body"),
    ],
)
def test_what_makes_no_sense_is_a_typed_problem(
    site: Site, method: str, path: str, more: dict[str, Any], status: int, words: str
) -> None:
    answer = site.api(method, path, **more)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert words in problem["detail"]
    assert {"type", "title", "code"} <= problem.keys()


def test_a_token_is_needed_and_must_be_of_the_right_kind(site: Site) -> None:
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer mst_api_nonsense"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": f"Bearer {RUNNER_TOKEN}"}, 403),
        ({"Authorization": f"bearer {API_TOKEN}"}, 200),
    ):
        answer = site.client.get("/api/v1/builds", headers=headers)
        assert answer.status_code == status, (headers, answer.text)
        if status == 401:
            assert "Bearer" in answer.headers["www-authenticate"]


def test_the_description_names_every_path_of_the_contract(site: Site) -> None:
    described = site.client.get("/api/openapi.json").json()
    paths = described["paths"]
    for path in (
        "/builds",
        "/builds/{build}",
        "/builds/{build}/cancel",
        "/builds/{build}/rerun",
        "/runners",
        "/events",
    ):
        assert f"/v1{path}" in paths
    assert "BuildShape" in described["components"]["schemas"]
    names = set(_refs(described))
    assert {name.rpartition("/")[2] for name in names} <= described["components"]["schemas"].keys()


def _refs(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for each in value.values() for ref in _refs(each)]
    return [ref for each in value for ref in _refs(each)] if isinstance(value, list) else []


def test_the_quarantine_of_the_default_branch_is_listed_with_its_tests(site: Site) -> None:
    plan = Plan("tests", "x", quarantine=(Quarantined("t.py::*", "races", "2026-11-01", None, "q.yml", 2),))

    def fill(f: Filling) -> None:
        repository = f.repository("demo")
        sha = f.commit(repository, "x")
        f.ref(repository, "main", sha)
        f.build(repository, sha, [JobRow(state="failed", tests=[TestRow("t.py::a", "failed"), TestRow("u.py::b")])])
        f.conn.execute(builds.update().values(plan=plans.keep(f.tx, plan)))

    site.fill(fill)
    [found] = site.api("GET", "/repositories/demo/quarantine").json()["items"]
    assert (found["test"], found["expired"], [each["name"] for each in found["tests"]]) == (
        "t.py::*",
        True,
        ["t.py::a"],
    )
    page = site.client.get("/repositories/demo/tests?list=quarantine").text
    assert "expired on 2026-11-01" in page
    assert "races" in site.client.get("/repositories/demo/tests/t.py::a").text
