"""Answers that stay open, and git, over a real socket."""

import json
import logging
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from mainstay.model.events import Event, EventKind
from mainstay.model.person import Actor
from mainstay.store import events, tokens
from mainstay.store.database import Tx
from tests.web.conftest import API_TOKEN, RUNNER_TOKEN
from tests.web.filling import Filling, JobRow
from tests.web.serving import Served, served

API = {"Authorization": f"Bearer {API_TOKEN}"}


@pytest.fixture
def server(tmp_path: Path, sqlite_template: Path) -> Iterator[Served]:
    with served(tmp_path / "data", sqlite_template) as running:
        yield running


def running_job(f: Filling) -> int:
    """A running attempt held by a runner; its id."""
    token = f.token("runner", "mst_runner_z", "z")
    runner = f.runner("r", token)
    repository = f.repository("demo", url="/nowhere")
    f.build(repository, f.commit(repository, "x"), [JobRow(state="running")], runner=(runner, "r"))
    return runner


def messages(answer: httpx.Response) -> Iterator[tuple[str | None, Any, str | None]]:
    """The events of a stream: kind, data, id."""
    kind = place = None
    for line in answer.iter_lines():
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("id: "):
            place = line[4:]
        elif line.startswith("data: "):
            yield kind, json.loads(line[6:]), place
            kind = None


def test_a_printed_line_reaches_an_open_page_at_once(server: Served) -> None:
    runner = server.fill(running_job)
    with httpx.stream("GET", f"{server.url}/jobs/1/attempts/1/tail?from=0", timeout=60) as answer:
        found = messages(answer)
        server.do(server.engine.append_log, runner, 1, 0, b"hello <b>\npart", None)
        kind, data, place = next(found)
        assert (kind, data["end"], place) == ("lines", 10, "10")
        assert 'id="L1"' in data["html"]
        assert "hello &lt;b&gt;" in data["html"]
        kind, data, place = next(found)
        assert (kind, place) == ("unended", "10")
        assert "part" in data["html"]
        server.do(server.engine.append_log, runner, 1, 14, b"ial\n", None)
        assert "partial" in next(found)[1]["html"]


def test_a_followed_log_comes_as_it_is_printed(server: Served) -> None:
    runner = server.fill(running_job)
    path = f"{server.url}/api/v1/jobs/1/attempts/1/log?follow=1"
    with httpx.stream("GET", path, headers=API, timeout=60) as answer:
        pieces = answer.iter_raw()
        server.do(server.engine.append_log, runner, 1, 0, b"one\n", None)
        assert next(pieces) == b"one\n"
        server.do(server.engine.append_log, runner, 1, 4, b"two\n", None)
        assert next(pieces) == b"two\n"


def test_events_go_on_where_they_broke_off(server: Served) -> None:
    def tell(tx: Tx, cause: str) -> None:
        events.add(tx, [Event(EventKind.RUNNER_ONLINE, server.engine.clock.now(), cause)])

    with httpx.stream("GET", f"{server.url}/api/v1/events", headers=API, timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        server.do(server.engine.db.write, tell, "one")
        kind, data, place = next(messages(answer))
        assert (kind, data["cause"]) == ("runner.online", "one")
    server.do(server.engine.db.write, tell, "two")
    headers = {**API, "Last-Event-ID": str(place)}
    with httpx.stream("GET", f"{server.url}/api/v1/events", headers=headers, timeout=60) as answer:
        assert next(messages(answer))[1]["cause"] == "two"


def test_an_open_page_hears_of_changes(server: Served) -> None:
    server.fill(running_job)
    with httpx.stream("GET", f"{server.url}/live?topic=build:1", timeout=60) as answer:
        found = messages(answer)
        assert next(found)[0] == "open"
        server.do(server.engine.cancel_build, Actor("ada"), 1, None)
        assert next(found)[0] == "changed"


def test_a_stream_ends_when_its_token_is_revoked(server: Served) -> None:
    server.fill(running_job)
    made = httpx.post(f"{server.url}/api/v1/tokens", headers=API, json={"name": "t", "scope": "admin"}).json()
    mine = {"Authorization": f"Bearer {made['token']}"}
    with httpx.stream("GET", f"{server.url}/api/v1/events?since=0", headers=mine, timeout=60) as answer:
        found = messages(answer)
        assert next(found)[0] == "build.created"
        httpx.delete(f"{server.url}/api/v1/tokens/{made['id']}", headers=API)
        server.do(server.engine.cancel_build, Actor("ada"), 1, None)
        assert list(found) == []


def test_a_followed_log_ends_when_its_reader_may_not_read_it_any_more(server: Served) -> None:
    runner = server.fill(running_job)
    token = "mst_api_passing"
    key = server.fill(lambda f: f.token("api", token, "passing"))
    path = f"{server.url}/api/v1/jobs/1/attempts/1/log?follow=1"
    with httpx.stream("GET", path, headers={"Authorization": f"Bearer {token}"}, timeout=60) as answer:
        server.do(server.engine.append_log, runner, 1, 0, b"before", None)
        pieces = answer.iter_raw()
        assert next(pieces) == b"before"
        server.fill(lambda f: tokens.revoke(f.tx, key, f.now))
        server.do(server.engine.append_log, runner, 1, 6, b"after", None)
        assert b"after" not in b"".join(pieces)


def test_waiting_for_a_build_ends_with_its_verdict(server: Served) -> None:
    def queued(f: Filling) -> None:
        repository = f.repository("demo", url="/nowhere")
        f.build(repository, f.commit(repository, "x"), [JobRow(state="queued")])

    server.fill(queued)
    found: list[Any] = []

    def wait() -> None:
        found.append(httpx.get(f"{server.url}/api/v1/builds/1?wait=20", headers=API, timeout=30).json())

    waiting = threading.Thread(target=wait)
    waiting.start()
    until = time.monotonic() + 60
    while not server.app.state.site.streams.size and time.monotonic() < until:
        time.sleep(0.01)
    server.do(server.engine.cancel_build, Actor("ada"), 1, None)
    waiting.join(60)
    assert found[0]["state"] == "cancelled"


def test_a_log_is_followed_from_its_present_end(server: Served) -> None:
    runner = server.fill(running_job)
    server.do(server.engine.append_log, runner, 1, 0, b"one\n", None)
    path = f"{server.url}/api/v1/jobs/1/attempts/1/log?follow=1"
    with httpx.stream("GET", path, headers={**API, "Range": "bytes=4-"}, timeout=60) as answer:
        assert answer.status_code == 200
        server.do(server.engine.append_log, runner, 1, 4, b"two\n", None)
        assert next(answer.iter_raw()) == b"two\n"


def test_a_runner_that_goes_away_waits_no_longer_and_is_no_error(
    tmp_path: Path, sqlite_template: Path, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Authorization": f"Bearer {RUNNER_TOKEN}"}
    hello = {"name": "r", "boot": "b", "version": "1", "labels": ["linux"], "capacity": 1, "executor": "process"}
    caplog.set_level(logging.DEBUG, "mainstay.web")
    with served(tmp_path / "data", sqlite_template) as server:
        logging.getLogger("uvicorn").addHandler(caplog.handler)  # what uvicorn says does not reach the root
        runner = httpx.post(f"{server.url}/runner/v1/hello", json=hello, headers=headers).json()["runner"]
        before = server.engine.wake.size
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{server.url}/runner/v1/poll",
                json={"boot": "b", "free": 1, "wait_s": 20},
                headers={**headers, "Mainstay-Runner": str(runner)},
                timeout=0.5,
            )
        until = time.monotonic() + 60
        while "went away" not in caplog.text and time.monotonic() < until:
            time.sleep(0.01)
        assert server.engine.wake.size <= before
    logging.getLogger("uvicorn").removeHandler(caplog.handler)
    assert "The client of POST /runner/v1/poll went away" in caplog.text
    assert not [each for each in caplog.records if each.levelno > logging.INFO]


def git(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run git as a user does."""
    settings = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main")
    env = {"GIT_TERMINAL_PROMPT": "0", "PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(cwd)}
    return subprocess.run(["git", *settings, *args], cwd=cwd, env=env, capture_output=True, text=True, timeout=60)


def test_git_pushes_to_and_clones_from_a_repository_that_lives_here(server: Served, tmp_path: Path) -> None:
    made = httpx.post(f"{server.url}/api/v1/repositories", json={"name": "here"}, headers=API)
    assert made.status_code == 201, made.text
    remote = server.url.replace("http://", f"http://x:{API_TOKEN}@") + "/git/here.git"
    work = tmp_path / "work"
    work.mkdir()
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        assert git(*command, cwd=work).returncode == 0
    until = time.monotonic() + 60
    while (pushed := git("push", remote, "HEAD:refs/heads/main", cwd=work)).returncode and time.monotonic() < until:
        time.sleep(0.05)  # the mirror is made in the background
    assert pushed.returncode == 0, pushed.stderr
    builds = httpx.get(f"{server.url}/api/v1/builds?repo=here", headers=API).json()["items"]
    assert [each["commit"] for each in builds] == [git("rev-parse", "HEAD", cwd=work).stdout.strip()]
    assert git("clone", "-q", remote, "copy", cwd=tmp_path).returncode == 0
    for wrong in (server.url, server.url.replace("http://", "http://x:mst_api_wrong@")):
        assert git("ls-remote", wrong + "/git/here.git", cwd=tmp_path).returncode != 0


WORKFLOW = """on:
  workflow_dispatch:
    inputs:
      loud: {type: boolean, default: false}
      where: {type: choice, options: [here, there], required: true}
jobs:
  test:
    runs-on: linux
    steps:
      - run: make
"""


def test_a_workflow_is_started_by_hand(server: Served, tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / ".mainstay").mkdir(parents=True)
    (work / ".mainstay" / "release.yml").write_text(WORKFLOW)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        assert git(*command, cwd=work).returncode == 0
    added = {"name": "demo", "url": str(work), "branches": ["main"]}
    assert httpx.post(f"{server.url}/api/v1/repositories", json=added, headers=API).status_code == 201

    def start(**ask: Any) -> httpx.Response:
        return httpx.post(f"{server.url}/api/v1/repositories/demo/starts", json=ask, headers=API, timeout=60)

    until = time.monotonic() + 60
    asked = {"workflow": ".mainstay/release.yml", "inputs": {"where": "here", "loud": True}}
    while (started := start(**asked)).status_code == 404 and time.monotonic() < until:
        time.sleep(0.05)  # it is fetched in the background
    assert started.status_code == 201, started.text
    [build_id] = started.json()["builds"]
    build = httpx.get(f"{server.url}/api/v1/builds/{build_id}", headers=API).json()
    assert (build["event"], build["branch"]) == ("workflow_dispatch", "main")
    for wrong, words in (
        ({**asked, "workflow": "nope"}, "nope"),
        ({**asked, "inputs": {"where": "nowhere"}}, "where"),
        ({**asked, "inputs": {}}, "where"),
    ):
        answer = start(**wrong)
        assert answer.status_code == 422, answer.text
        assert words in answer.json()["detail"]
    assert start(**asked, ref="nope").status_code == 404


def test_stopping_the_server_ends_open_streams(tmp_path: Path, sqlite_template: Path) -> None:
    with served(tmp_path / "data", sqlite_template) as server:
        answer = httpx.stream("GET", f"{server.url}/live?topic=queue", timeout=60)
        with answer as open_one:
            found = messages(open_one)
            assert next(found)[0] == "open"
            server.stop()
            assert list(found) == []
