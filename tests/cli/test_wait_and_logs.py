"""`mainstay wait` and `mainstay logs`: verdicts, time-outs, and bytes that come as they were printed."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.cli.conftest import Asked, Ran, Stub, build, job

from mainstay.cli import logs, wait

Run = Callable[..., Ran]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between looks are short; what is looked at is the same."""
    monkeypatch.setattr(wait, "PAUSE_S", 0.01)
    monkeypatch.setattr(logs, "PAUSE_S", 0.01)


def one_after_the_other(*answers: Any) -> Callable[[Asked], tuple[int, Any]]:
    """Each request gets the next answer, the last one for ever."""
    left: Iterator[Any] = iter(answers)
    last: list[Any] = []

    def answer(_: Asked) -> tuple[int, Any]:
        last[:] = [next(left, last[0] if last else None)]
        return last[0] if isinstance(last[0], tuple) else (200, last[0])

    return answer


@pytest.mark.parametrize(
    ("state", "code"), [("passed", 0), ("allowed", 0), ("skipped", 0), ("failed", 1), ("cancelled", 1), ("neutral", 1)]
)
def test_wait_ends_with_the_verdict(client: Run, stub: Stub, state: str, code: int) -> None:
    stub.on("GET", "/builds/demo%237", {**build(7, state), "jobs": []})
    assert client("wait", "demo#7").code == code


def test_wait_asks_with_a_long_poll_until_the_build_has_ended(client: Run, stub: Stub) -> None:
    stub.on("GET", "/builds/37", one_after_the_other(build(7, "queued"), build(7, "running"), build(7, "passed")))
    ran = client("wait", "37", "--json")
    assert ran.code == 0
    assert ran.json["state"] == "passed"
    assert [asked.query.get("wait") for asked in stub.asked] == [None, "20", "20"]
    assert "37 is queued" in ran.err
    assert "37 is running" in ran.err


def test_wait_gives_up_with_124_and_still_tells_how_it_stands(client: Run, stub: Stub) -> None:
    stub.on("GET", "/builds/37", build(7, "running"))
    ran = client("wait", "37", "--timeout", "0.05", "--json")
    assert ran.code == 124
    assert ran.json["state"] == "running"


def test_wait_for_a_commit_ends_when_all_its_builds_have(client: Run, stub: Stub) -> None:
    commit = {"repository": "demo", "commit": "a" * 40, "state": "running", "builds": [build(7, "running"), build(8)]}
    ended = {**commit, "state": "failed", "builds": [build(7, "failed"), build(8)]}
    stub.on("GET", "/repositories/demo/commits/aaaaaaa", one_after_the_other(commit, commit, ended))
    stub.on("GET", "/builds/37", build(7, "failed"))
    ran = client("wait", "demo@AAAAAAA")
    assert ran.code == 1
    assert "✗ demo#7 tests" in ran.out
    assert "✓ demo#8 tests" in ran.out


def test_an_unknown_commit_is_exit_code_5_unless_there_is_time_for_it_to_come(client: Run, stub: Stub) -> None:
    assert client("wait", "demo@aaaaaaa").code == 5
    assert client("wait", "demo@aaaaaaa", "--timeout", "10").code == 5, "no such repository: nothing can come to it"
    stub.on("GET", "/repositories/demo", {"name": "demo"})
    assert client("wait", "demo@aaaaaaa", "--timeout", "0.05").code == 124
    known = {"repository": "demo", "commit": "a" * 40, "state": "passed", "builds": [build(7)]}
    missing = (404, {"status": 404, "code": "not-found", "detail": "not known"})
    stub.on("GET", "/repositories/demo/commits/aaaaaaa", one_after_the_other(missing, missing, known))
    assert client("wait", "demo@aaaaaaa", "--timeout", "10").code == 0


def test_wait_survives_that_the_server_is_restarted(client: Run, stub: Stub) -> None:
    away = (503, {"status": 503, "code": "unavailable", "detail": "stopping"})
    stub.on("GET", "/builds/37", one_after_the_other(build(7, "running"), away, away, build(7, "passed")))
    assert client("wait", "37").code == 0


def test_a_server_that_never_answered_is_not_waited_for(client: Run, stub: Stub) -> None:
    stub.refuse("GET", "/builds/37", 503, "unavailable", "stopping")
    assert client("wait", "37").code == 3


def test_a_log_comes_byte_for_byte(client: Run, stub: Stub) -> None:
    printed = b"\x00\xff\x1b[31mred\r\n" + bytes(range(256)) * 100
    stub.on("GET", "/builds/37", {**build(), "jobs": [job()]})
    stub.on("GET", "/jobs/90/attempts/1/log", printed)
    ran = client("logs", "37")
    assert ran.code == 0
    assert ran.out.encode("utf-8", "surrogateescape") == printed
    assert ran.err == ""


def test_without_a_job_all_logs_come_and_standard_error_says_whose_they_are(client: Run, stub: Stub) -> None:
    stub.on(
        "GET", "/builds/37", {**build(), "jobs": [job("lint", id=1), job("test", id=2, attempts=("lost", "passed"))]}
    )
    stub.on("GET", "/jobs/1/attempts/1/log", b"linted\n")
    stub.on("GET", "/jobs/2/attempts/2/log", b"tested\n")
    ran = client("logs", "37")
    assert ran.out == "linted\ntested\n"
    assert ran.err == "== lint, attempt 1\n== test, attempt 2\n"


def test_an_earlier_attempt_can_be_read(client: Run, stub: Stub) -> None:
    stub.on("GET", "/builds/37", {**build(), "jobs": [job(attempts=("lost", "passed"))]})
    stub.on("GET", "/jobs/90/attempts/1/log", b"first\n")
    assert client("logs", "37", "--attempt", "1").out == "first\n"
    assert client("logs", "37", "--attempt", "3").code == 5
    assert client("logs", "37", "--job", "nope").code == 5


def test_a_followed_log_goes_on_with_the_next_attempt(client: Run, stub: Stub) -> None:
    first = {**build(7, "running"), "jobs": [job(state="running", attempts=("running",))]}
    retried = {**build(7, "running"), "jobs": [job(state="running", attempts=("lost", "running"))]}
    ended = {**build(7), "jobs": [job(attempts=("lost", "passed"))]}
    stub.on("GET", "/builds/37", one_after_the_other(first, first, retried, retried, ended))
    stub.on("GET", "/jobs/90/attempts/1/log", b"one\n")
    stub.on("GET", "/jobs/90/attempts/2/log", b"two\n")
    ran = client("logs", "37", "--follow")
    assert ran.out == "one\ntwo\n"
    follows = [asked.query.get("follow") for asked in stub.asked if asked.path.endswith("/log")]
    assert follows == ["1", "1"]


def test_a_followed_log_that_is_cut_off_goes_on_where_it_was(client: Run, stub: Stub) -> None:
    running = {**build(7, "running"), "jobs": [job(state="running", attempts=("running",))]}
    ended = {**build(7), "jobs": [job()]}
    stub.on("GET", "/builds/37", one_after_the_other(running, running, ended))
    away = (503, {"status": 503, "code": "unavailable", "detail": "stopping"})
    stub.on("GET", "/jobs/90/attempts/1/log", one_after_the_other(away, b"all of it\n"))
    assert client("logs", "37", "--follow").out == "all of it\n"
