"""The runner protocol over HTTP: who may speak, what is refused, that nothing is given to who has gone."""

from typing import Any

import msgspec
import pytest

from mainstay.wire.runner import Hello, Poll, Progress
from tests.web.conftest import API_TOKEN, RUNNER_TOKEN, Site, on_each_database
from tests.web.filling import Filling, JobRow

HELLO = Hello(name="farm-1", boot="b1", version="0.1", labels=("linux",), capacity=2, executor="process")


def speak(site: Site, method: str, path: str, body: Any = b"", runner: int | None = None, **headers: str) -> Any:
    """Send a message as a runner does."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    more = {"Mainstay-Runner": str(runner)} if runner is not None else {}
    sent = {"Authorization": f"Bearer {RUNNER_TOKEN}", **more, **headers}
    return site.client.request(method, f"/runner/v1{path}", content=content, headers=sent)


@pytest.fixture
def runner(site: Site) -> int:
    """A runner that has said hello."""
    answer = speak(site, "POST", "/hello", HELLO)
    assert answer.status_code == 200, answer.text
    number: int = answer.json()["runner"]
    return number


def running_attempt(site: Site, runner: int) -> int:
    """An attempt that the runner holds."""

    def fill(f: Filling) -> int:
        repository = f.repository("demo")
        f.build(repository, f.commit(repository, "one"), [JobRow(state="running")], runner=(runner, "farm-1"))
        return 1

    number: int = site.fill(fill)
    return number


def test_a_poll_is_answered(site: Site, runner: int) -> None:
    answer = speak(site, "POST", "/poll", Poll(boot="b1", free=0, wait_s=0), runner)
    assert answer.status_code == 200, answer.text
    assert msgspec.json.decode(answer.content) == {}


@on_each_database
def test_log_bytes_are_stored_once_and_in_order(site: Site, runner: int) -> None:
    attempt = running_attempt(site, runner)
    path = f"/attempts/{attempt}/log"
    assert speak(site, "POST", f"{path}?offset=0", b"hello\n", runner).json()["stored"] == 6
    assert speak(site, "POST", f"{path}?offset=0", b"hello\n", runner).json()["stored"] == 6
    gap = speak(site, "POST", f"{path}?offset=99", b"later\n", runner)
    assert (gap.status_code, gap.json()["stored"], gap.json()["code"]) == (409, 6, "conflict")
    assert speak(site, "POST", f"{path}?offset=6", b"world\n", runner).json()["stored"] == 12
    assert site.api("GET", f"/jobs/1/attempts/{attempt}/log").content == b"hello\nworld\n"


def test_a_runner_speaks_only_for_what_it_holds(site: Site, runner: int) -> None:
    running_attempt(site, runner)
    other = speak(site, "POST", "/hello", msgspec.structs.replace(HELLO, name="farm-2")).json()["runner"]
    assert speak(site, "POST", "/attempts/1/log?offset=0", b"x", other).status_code == 404
    assert speak(site, "POST", "/attempts/77/progress", Progress(sequence=1), runner).status_code == 404


def test_a_token_cannot_speak_for_another_tokens_runner(site: Site, runner: int) -> None:
    site.fill(lambda f: f.token("runner", "mst_runner_other", "other"))
    headers = {"Authorization": "Bearer mst_runner_other", "Mainstay-Runner": str(runner)}
    answer = site.client.post("/runner/v1/poll", content=msgspec.json.encode(Poll(boot="b", free=1)), headers=headers)
    assert answer.status_code in (403, 410)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/hello", b"{", 422),
        ("POST", "/hello", b'{"name": 3}', 422),
        ("POST", "/hello", b"\xff\xfe", 422),
        ("POST", "/poll", b'{"boot": "b1", "free": 1, "colour": "red"}', 422),
        ("POST", "/poll", b'{"boot": "b1", "free": 1, "wait_s": 1e9}', 422),
        ("POST", "/attempts/1/log", b"x", 422),
        ("POST", "/attempts/1/log?offset=-1", b"x", 422),
        ("POST", "/attempts/1/log?offset=99999999999999999999", b"x", 422),
        ("POST", "/attempts/99999999999999999999/log?offset=0", b"x", 404),
        ("POST", "/attempts/1/log?offset=0", b"x" * (6 << 20), 413),
        ("PUT", "/attempts/1/artifacts/a.zip?kind=virus", b"x", 422),
        ("GET", "/poll", b"", 405),
        ("POST", "/nothing", b"", 404),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(
    site: Site, runner: int, method: str, path: str, body: bytes, status: int
) -> None:
    answer = speak(site, method, path, body, runner)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]


def test_the_speaker_must_be_known(site: Site, runner: int) -> None:
    poll = msgspec.json.encode(Poll(boot="b1", free=0, wait_s=0))
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer mst_runner_nonsense"}, 401),
        ({"Authorization": f"Bearer {API_TOKEN}"}, 403),
        ({"Authorization": f"Bearer {RUNNER_TOKEN}"}, 410),
        ({"Authorization": f"Bearer {RUNNER_TOKEN}", "Mainstay-Runner": "one"}, 422),
        ({"Authorization": f"Bearer {RUNNER_TOKEN}", "Mainstay-Runner": "4711"}, 410),
    ):
        assert site.client.post("/runner/v1/poll", content=poll, headers=headers).status_code == status, headers
    assert runner


def test_an_attempt_keeps_no_more_than_its_share_of_the_disk(
    site: Site, runner: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    running_attempt(site, runner)
    monkeypatch.setattr("mainstay.engine.artifacts.ATTEMPT_COUNT", 3)
    monkeypatch.setattr("mainstay.engine.artifacts.ATTEMPT_BYTES", 100)

    def put(name: str, size: int) -> int:
        return int(speak(site, "PUT", f"/attempts/1/artifacts/{name}", bytes(size), runner).status_code)

    assert [put("a", 60), put("b", 60), put("b", 30), put("a", 60), put("c", 10)] == [200, 413, 200, 200, 200]
    assert put("d", 1) == 413
    assert put("c", 5) == 200  # in place of the one that is there
    assert [each["name"] for each in site.api("GET", "/builds/1/artifacts").json()["items"]] == ["a", "b", "c"]


def test_a_cache_of_another_branch_is_not_there(site: Site, runner: int) -> None:
    running_attempt(site, runner)
    assert speak(site, "PUT", "/attempts/1/caches?key=k", b"x", runner).status_code == 200
    assert speak(site, "GET", "/attempts/1/caches/1", runner=runner).content == b"x"
    site.fill(lambda f: f.conn.exec_driver_sql("UPDATE caches SET scope = 'refs/heads/other'"))
    assert speak(site, "GET", "/attempts/1/caches/1", runner=runner).status_code == 404
    assert speak(site, "GET", "/attempts/1/caches?key=k", runner=runner).status_code == 404


def test_an_untrusted_build_writes_no_cache_and_reads_those_of_its_branch(site: Site, runner: int) -> None:
    running_attempt(site, runner)
    assert speak(site, "PUT", "/attempts/1/caches?key=k", b"x", runner).status_code == 200
    site.fill(lambda f: f.conn.exec_driver_sql("UPDATE builds SET trusted = false"))
    refused = speak(site, "PUT", "/attempts/1/caches?key=other", b"poison", runner).json()
    assert (refused["accepted"], refused["reason"]) == (False, "an untrusted build writes no caches")
    assert speak(site, "GET", "/attempts/1/caches/1", runner=runner).content == b"x"
    assert speak(site, "GET", "/attempts/1/caches/2", runner=runner).status_code == 404
