"""What no runner of ours would say to a real server: a typed problem, nothing changed, never a 500.

The runner is the test itself.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from mainstay.runner.zstd import compress
from mainstay.wire.runner import Hello, Poll, Progress
from mainstay.wire.runner import TestReport as Report
from tests.system.door import HUGE, Door, Held, door_to, end, hold

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with door_to(tmp_path_factory.mktemp("door")) as opened:
        yield opened


@pytest.fixture(scope="module")
def held(door: Door) -> Held:
    """For tests that leave it as it is."""
    return hold(door, "holder")


@pytest.fixture
def own(door: Door) -> Held:
    """For a test that ends it."""
    return hold(door, f"own-{len(door.stand.builds())}")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/hello", {"name": "x"}),
        ("/hello", {**msgspec.to_builtins(Hello("x", "b", "1", (), 1, "process")), "admin": True}),
        ("/hello", Hello("../x", "b", "1", (), 1, "process")),
        ("/hello", Hello("-rf", "b", "1", (), 1, "process")),
        ("/hello", Hello("x", "b", "1", (), 0, "process")),
        ("/hello", Hello("x", "b", "1", (), 10_000, "process")),
        ("/hello", Hello("x", "b", "1", ("a,b",), 1, "process")),
        ("/hello", Hello("x", "b", "1", tuple(map(str, range(100))), 1, "process")),
        ("/poll", {"boot": "b1", "free": "1"}),
        ("/poll", {"boot": "b1", "free": 1, "more": 1}),
        ("/poll", Poll(boot="b1", free=1, wait_s=-1)),
        ("/poll", Poll(boot="b1", free=1, wait_s=3600)),
        ("/poll", Poll(boot="b1", free=-5, wait_s=0)),
        ("/poll", Poll(boot="b1", free=10**9, wait_s=0)),
        ("/attempts/ATTEMPT/progress", {"sequence": "1"}),
        ("/attempts/ATTEMPT/progress", {"sequence": 1, "steps": [{"number": 1}]}),
        ("/attempts/ATTEMPT/progress", {"sequence": 1, "state": "passed"}),
        ("/attempts/ATTEMPT/progress", {"sequence": 2**70}),
        ("/attempts/ATTEMPT/finish", {}),
        ("/attempts/ATTEMPT/finish", end("green")),
        ("/attempts/ATTEMPT/finish", end("running")),
        ("/attempts/ATTEMPT/finish", end("queued")),
        ("/attempts/ATTEMPT/finish", end("passed", log_bytes=-1)),
        ("/attempts/ATTEMPT/finish", end("passed", log_offset=-7, log_tail=b"x")),
        ("/attempts/ATTEMPT/finish", end("passed", log_offset=10**9, log_tail=b"x")),
        ("/attempts/ATTEMPT/finish", end("passed", exit_code=2**70)),
        ("/attempts/ATTEMPT/finish", end("passed", commit="--help")),
        ("/attempts/ATTEMPT/finish", end("passed", tests={"passed": -1, "colour": 3})),
        ("/attempts/ATTEMPT/log?offset=0", b""),
        ("/attempts/ATTEMPT/log", b"x"),
        ("/attempts/ATTEMPT/log?offset=-1", b"x"),
        ("/attempts/ATTEMPT/log?offset=1.5", b"x"),
        ("/attempts/ATTEMPT/log?offset=%EF%BC%91", b"x"),
        (f"/attempts/ATTEMPT/log?offset={HUGE}", b"x"),
        ("/attempts/ATTEMPT/log?offset=7", b"x"),
        ("/attempts/99999/log?offset=0", b"x"),
        ("/attempts/99999/finish", end("passed")),
        ("/attempts/99999/progress", Progress(sequence=1)),
        (f"/attempts/{HUGE * HUGE}/progress", Progress(sequence=1)),
        ("/attempts/-1/progress", Progress(sequence=1)),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_message_that_makes_no_sense_changes_nothing(door: Door, held: Held, path: str, body: Any) -> None:
    """Unknown fields, wrong types, states that are no end, places beyond the log."""
    before = door.state()
    held.speaker.say("POST", path.replace("ATTEMPT", str(held.attempt)), body).is_problem(404, 409, 410, 413, 422)
    assert door.state() == before


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"x" * 100, "zstd", 422),
        (compress(b"x" * 100)[:-4], "zstd", 422),
        (compress(b"\0" * (200 << 20)), "zstd", 413),
        (b"x", "gzip", 422),
        (b"x", "identity, zstd", 422),
        (b"x" * ((4 << 20) + 1), "identity", 413),
    ],
    ids=["garbage", "cut", "bomb", "gzip", "two", "large"],
)
def test_a_piece_of_a_log_that_cannot_be_unpacked_is_refused(
    door: Door, held: Held, body: bytes, encoding: str, status: int
) -> None:
    before = door.state()
    headers = {"Content-Encoding": encoding}
    held.speaker.say("POST", f"/attempts/{held.attempt}/log?offset=0", body, **headers).is_problem(status)
    assert door.state() == before


def test_nobody_speaks_for_an_attempt_that_another_runner_holds(door: Door, held: Held) -> None:
    """Neither another runner, nor another token in its name, nor the holder under a wrong number."""
    before = door.state()[:-1]
    other = door.speaker("other")
    for speaker in (other, replace(other, number=held.speaker.number), replace(held.speaker, number=other.number)):
        for method, what, body in (
            ("POST", "progress", Progress(sequence=1)),
            ("POST", "log?offset=0", b"forged"),
            ("PUT", "tests", b""),
            ("PUT", "artifacts/forged", b"x"),
            ("POST", "finish", end("passed")),
        ):
            speaker.say(method, f"/attempts/{held.attempt}/{what}", body).is_problem(403, 404, 410)
    for number in ("0", "-1", "x", "1e3", str(HUGE * HUGE)):
        held.speaker.say("POST", "/poll", Poll(boot="b1", free=0), **{"Mainstay-Runner": number}).is_problem(410, 422)
    other.say("POST", "/hello", replace_name(other.hello, held.speaker.hello.name)).is_problem(403)
    assert door.state()[:-1] == before


def replace_name(hello: Hello, name: str) -> Hello:
    return msgspec.structs.replace(hello, name=name)


def test_log_bytes_count_once_and_in_their_order(door: Door, own: Held) -> None:
    """Repeats are passed over, overlaps joined, gaps refused with the place to go on at."""
    path = f"/attempts/{own.attempt}/log?offset="
    say = own.speaker.say
    assert say("POST", f"{path}0", b"hello ").json()["stored"] == 6
    assert say("POST", f"{path}0", b"HELLO ").json()["stored"] == 6
    assert say("POST", f"{path}3", b"lo world\n").json()["stored"] == 12
    assert say("POST", f"{path}13", b"gap").is_problem(409)["stored"] == 12
    large = bytes(range(256)) * 400
    headers = {"Content-Encoding": "zstd"}
    assert say("POST", f"{path}12", compress(large), **headers).json()["stored"] == 12 + len(large)
    assert say("POST", f"{path}12", compress(large), **headers).json()["stored"] == 12 + len(large)
    tail = {"log_offset": 12 + len(large) - 1, "log_tail": b"\xffend"}
    assert say("POST", f"/attempts/{own.attempt}/finish", end("passed", 15 + len(large), **tail)).status == 200
    whole = b"hello world\n" + large + b"end"
    assert door.stand.log(own.ended()) == whole
    late = say("POST", f"{path}{len(whole)}", b"too late").json()
    assert late["accepted"] is False
    assert late["reason"]
    assert door.stand.log(own.ended()) == whole
    _check_ranges(door, own, whole)


def _check_ranges(door: Door, own: Held, whole: bytes) -> None:
    path = f"/api/v1/jobs/{own.build['jobs'][0]['id']}/attempts/1/log"
    size = len(whole)
    for asked, status, expected in (
        ("bytes=0-4", 206, whole[:5]),
        ("bytes=5-", 206, whole[5:]),
        ("bytes=-3", 206, whole[-3:]),
        (f"bytes={size - 1}-{HUGE}", 206, whole[-1:]),
        (f"bytes=-{HUGE}", 206, whole),
        (f"bytes={size}-", 416, None),
        (f"bytes={HUGE}-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=9-2", 416, None),
        ("bytes=x-y", 200, whole),
        ("bytes=0-1,5-6", 200, whole),
        ("lines=0-1", 200, whole),
        ("bytes=-", 200, whole),
    ):
        answer = door.ask("GET", path, Range=asked)
        assert answer.status == status, (asked, answer.status)
        if expected is not None:
            assert answer.body == expected, asked
        else:
            assert answer.headers["content-range"] == f"bytes */{size}"


def test_an_end_that_is_repeated_or_contradicted_changes_nothing(door: Door, own: Held) -> None:
    """The first end stands."""
    path = f"/attempts/{own.attempt}"
    first = end("failed", exit_code=1, reason="assert False")
    assert own.speaker.say("POST", f"{path}/finish", first).json().get("accepted", True)
    before = door.state()
    assert own.speaker.say("POST", f"{path}/finish", first).json().get("accepted", True)
    for state in ("passed", "lost", "cancelled", "timed_out"):
        assert own.speaker.say("POST", f"{path}/finish", end(state)).json()["accepted"] is False
    assert own.speaker.say("POST", f"{path}/progress", Progress(sequence=99)).json()["accepted"] is False
    assert own.speaker.say("PUT", f"{path}/tests", b'{"id": "t", "outcome": "passed"}').json()["accepted"] is False
    assert own.speaker.say("PUT", f"{path}/artifacts/late", b"x").json()["accepted"] is False
    assert door.state() == before
    assert own.ended()["state"] == "failed"


def test_tests_and_artifacts_sent_again_replace_and_do_not_add(door: Door, own: Held) -> None:
    path = f"/attempts/{own.attempt}"
    body = b"\n".join(msgspec.json.encode(Report(f"t{n}", "failed" if n else "passed")) for n in range(3))
    for _ in range(2):
        assert own.speaker.say("PUT", f"{path}/tests", body).json()["stored"] == 3
    assert own.ended()["jobs"][0]["tests"] == {"passed": 1, "failed": 2, "error": 0, "skipped": 0}
    before = door.state()
    for bad in (b"{", b'{"id": "t"}', b'{"id": "t", "outcome": "passed", "x": 1}', b'{"id": 3, "outcome": "passed"}'):
        assert (
            "line 2"
            in own.speaker.say("PUT", f"{path}/tests", body[: body.index(b"\n") + 1] + bad).is_problem(422)["detail"]
        )
    own.speaker.say("PUT", f"{path}/tests", msgspec.json.encode(Report("t", "wonderful"))).is_problem(422)
    for name in ("..", "%2e%2e", "..%2f..%2fx", "a/b", "a%00b", "a%0ab", "x" * 300, "a%5Cb", ""):
        answer = own.speaker.say("PUT", f"{path}/artifacts/{name}", b"x")
        answer.is_problem(404, 422)
    for header in ("sha256:" + "0" * 64, "sha256:short", "md5:" + "0" * 32):
        own.speaker.say("PUT", f"{path}/artifacts/a", b"x", Digest=header).is_problem(422)
    own.speaker.say("PUT", f"{path}/artifacts/a?retention_days=-1", b"x").is_problem(422)
    own.speaker.say("PUT", f"{path}/artifacts/a?retention_days=999999", b"x").is_problem(422)
    own.speaker.say("PUT", f"{path}/artifacts/a?kind=virus", b"x").is_problem(422)
    assert door.state() == before


def test_a_runner_that_forgot_its_attempt_has_lost_it(door: Door, own: Held) -> None:
    """A new boot without it: the attempt is lost, another takes the job; what the first says then is stale."""
    speaker = replace(own.speaker, hello=msgspec.structs.replace(own.speaker.hello, boot="b2"))
    own.speaker.say("POST", "/poll", Poll(boot="unknown", free=1)).is_problem(410)
    assert speaker.say("POST", "/hello", speaker.hello).status == 200
    attempts = own.ended()["jobs"][0]["attempts"]
    assert [attempt["state"] for attempt in attempts] == ["lost", "queued"]
    own.speaker.poll().is_problem(410)
    second = speaker.take(own.build)
    assert second != own.attempt
    assert speaker.say("POST", f"/attempts/{own.attempt}/progress", Progress(sequence=5)).json()["accepted"] is False
    assert speaker.say("POST", f"/attempts/{second}/finish", end("failed", exit_code=1)).status == 200
    late = speaker.say("POST", f"/attempts/{own.attempt}/finish", end("passed")).json()
    assert late["accepted"] is False
    assert own.ended()["state"] == "failed"
    assert [attempt["state"] for attempt in own.ended()["jobs"][0]["attempts"]] == ["lost", "failed"]
