"""Whatever is sent to a real server's API and runner protocol: a typed problem, nothing changed, never a 500.

One server; the runner is the test itself, so that it can say what no runner of ours would.
"""

import contextlib
import http.client
import json
import socket
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest
import schemathesis

from mainstay.git.source import local_path
from mainstay.model.errors import MainstayError
from mainstay.runner.zstd import compress
from mainstay.wire.runner import Finish, Hello, Poll, Progress
from mainstay.wire.runner import TestReport as Report
from tests.system.stand import Project, Stand, stand, until

pytestmark = [pytest.mark.system, pytest.mark.slow]

HUGE = 1 << 62


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def is_problem(self, *statuses: int) -> dict[str, Any]:
        """It must be a refusal in the shape of RFC 9457, with words."""
        assert self.status < 500, self
        assert self.status in (statuses or range(400, 500)), self
        assert self.headers.get("content-type") == "application/problem+json", self
        found: dict[str, Any] = self.json()
        assert {"type", "title", "status", "code", "detail"} <= found.keys()
        assert found["status"] == self.status
        assert found["type"] == f"urn:mainstay:{found['code']}"
        assert len(found["detail"]) > 10
        assert "Traceback" not in found["detail"]
        return found


@dataclass
class Door:
    """A server, and one job in it that waits for a runner."""

    stand: Stand
    project: Project
    names: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None, **headers: str) -> Answer:
        """One request, with exactly this path. `body`: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.stand.port, timeout=30)
        sent = {"Authorization": f"Bearer {token if token is not None else self.stand.token}"}
        with contextlib.closing(connection):
            connection.request(method, path, body=data, headers=sent | headers)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def state(self) -> list[Any]:
        """All that can be seen of the server's state, but for times of contact."""
        found: list[Any] = [self.ask("GET", "/api/v1/repositories").json()["items"]]
        for line in self.ask("GET", "/api/v1/builds?limit=200").json()["items"]:
            build = self.ask("GET", f"/api/v1/builds/{line['id']}").json()
            for each in (build, *build["jobs"]):
                if each["state"] in ("waiting", "queued"):  # they go to and fro with the runners that there are
                    each["state"], each["reason"] = "open", None
            found.append(build)
        runners = self.ask("GET", "/api/v1/runners").json()["items"]
        found.append([{name: each[name] for name in ("id", "name", "labels", "capacity")} for each in runners])
        for repository in found[0]:
            for name in ("seen_at", "next_poll_at"):
                repository.pop(name)
        return found

    def database(self) -> sqlite3.Connection:
        return sqlite3.connect(self.stand.data / "mainstay.sqlite3", timeout=20)

    def speaker(self, name: str, token: str | None = None) -> "Speaker":
        """A runner that has said hello."""
        token = token or self.stand.call("POST", "/runner-tokens", {"name": name})["token"]
        speaker = Speaker(self, token, Hello(name, "b1", "0.1", ("linux",), capacity=4, executor="process"))
        answer = speaker.say("POST", "/hello", speaker.hello)
        assert answer.status == 200, answer
        return replace(speaker, number=answer.json()["runner"])

    def job(self) -> dict[str, Any]:
        """A build of a new commit, not yet taken by anybody."""
        self.project.workflow("echo hello")
        commit = self.project.commit()
        self.project.push()
        [build] = until(lambda: self.stand.builds(commit=commit), "the build")
        return self.stand.build(build["id"])


@dataclass(frozen=True)
class Speaker:
    """Somebody who speaks the runner protocol."""

    door: Door
    token: str
    hello: Hello
    number: int = 0

    def say(self, method: str, path: str, body: Any = b"", **headers: str) -> Answer:
        more = {"Mainstay-Runner": str(self.number)} if self.number else {}
        return self.door.ask(method, f"/runner/v1{path}", body, self.token, **(more | headers))

    def poll(self, **values: Any) -> Answer:
        return self.say("POST", "/poll", Poll(boot=self.hello.boot, **({"free": 1, "wait_s": 10} | values)))

    def take(self, build: dict[str, Any]) -> int:
        """The attempt of that build's job, assigned to this runner."""

        def look() -> int | None:
            for each in self.poll(free=4).json().get("assign", []):
                if each["build"] == build["id"]:
                    return int(each["attempt"])
            return None

        return until(look, "the assignment")


def end(state: str, log_bytes: int = 0, **values: Any) -> Finish:
    now = datetime.now(UTC)
    return Finish(state=state, started_at=now, finished_at=now, log_bytes=log_bytes, **values)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    project = Project(folder / "repositories")
    project.workflow("echo root")
    project.commit("root")
    project.push()
    with stand(folder) as here:
        here.serve()
        here.watch(project)
        until(here.builds, "the first build")
        yield Door(here, project)
        assert here.server is not None
        assert "Traceback" not in here.server.output, here.server.output


# -- the API -----------------------------------------------------------------------------------------------------------

NEW = {"name": "new", "url": None}
BODIES = [
    ("POST", "/repositories", {**NEW, "colour": "red"}),
    ("POST", "/repositories", {}),
    ("POST", "/repositories", []),
    ("POST", "/repositories", {"name": 3}),
    ("POST", "/repositories", {**NEW, "poll_s": "soon"}),
    ("POST", "/repositories", {**NEW, "poll_s": -1}),
    ("POST", "/repositories", {**NEW, "poll_s": 0}),
    ("POST", "/repositories", {**NEW, "commits": "sometimes"}),
    ("POST", "/repositories", {**NEW, "branches": "main"}),
    ("POST", "/repositories", {**NEW, "branches": [""]}),
    ("POST", "/repositories", {**NEW, "branches": ["x"] * 1000}),
    ("POST", "/repositories", {**NEW, "since": "--output=/etc/passwd"}),
    ("POST", "/repositories", {**NEW, "supersede": "yes"}),
    ("POST", "/repositories", b""),
    ("POST", "/repositories", b"{"),
    ("POST", "/repositories", b"\xff\xfe\x00"),
    ("POST", "/repositories", b'{"name": "new", "poll_s": NaN}'),
    ("POST", "/repositories", b'{"name": "new", "poll_s": 1e999}'),
    ("POST", "/repositories", b"[" * 60_000),
    ("POST", "/repositories", b'{"name": "\\ud800"}'),
    ("PATCH", "/repositories/demo", {"name": "other"}),
    ("PATCH", "/repositories/demo", {"id": 7}),
    ("PATCH", "/repositories/demo", {"poll_s": None}),
    ("PATCH", "/repositories/demo", {"commits": 1}),
    ("PATCH", "/repositories/demo", {"branches": None}),
    ("PATCH", "/repositories/demo", {"url": "relative/path"}),
    ("PATCH", "/repositories/nothing", {"commits": "every"}),
    ("DELETE", "/repositories/nothing", None),
    ("POST", "/builds/1/cancel", {"reason": 3}),
    ("POST", "/builds/1/cancel", {"reason": "x" * 501}),
    ("POST", "/builds/1/cancel", {"why": "x"}),
    ("POST", "/builds/1/rerun", {"job": "no such job"}),
    ("POST", "/builds/1/rerun", {"failed": "all"}),
    ("POST", "/builds/99999/cancel", {}),
    ("POST", "/builds/99999/rerun", {}),
    ("POST", "/runner-tokens", {"name": ""}),
    ("POST", "/runner-tokens", {"name": "x" * 101}),
    ("POST", "/runners/99999/drain", None),
    ("DELETE", "/runners/99999", None),
]


@pytest.mark.parametrize(("method", "path", "body"), BODIES, ids=lambda value: str(value)[:40])
def test_a_body_that_makes_no_sense_is_refused_and_changes_nothing(
    door: Door, method: str, path: str, body: Any
) -> None:
    """Unknown fields, wrong types, values out of range, things that are not there."""
    before = door.state()
    door.ask(method, f"/api/v1{path}", body).is_problem(404, 409, 422)
    assert door.state() == before


@pytest.mark.parametrize(
    "name",
    [
        *("../up", "-rf", "--upload-pack=touch x", "a/b", "/etc", "", ".", "..", ".hidden", "x.git", "a b", "x" * 101),
        *("a\x00b", "a\nb", "ä", "a%2fb", "a?b", "a#1", "\u202eabc"),
    ],
)
def test_a_name_that_is_a_path_an_option_or_a_trick_is_no_name(door: Door, name: str) -> None:
    before = door.state()
    door.ask("POST", "/api/v1/repositories", {"name": name}).is_problem(422)
    assert door.state() == before


@pytest.mark.parametrize(
    "url",
    [
        *("--upload-pack=touch /tmp/x", "-oProxyCommand=x", "ext::sh -c 'touch x'", "fd::17", "relative", "../up", ""),
        *("ssh://-oProxyCommand=x/y", "https://", "a\nb", "/x\x00", "https://ho st/x", "x" * 5000),
        *("file://elsewhere/etc", "-u@host:path", "user@-host:path"),
    ],
)
def test_an_address_that_git_could_misunderstand_is_refused(door: Door, url: str) -> None:
    before = door.state()
    door.ask("POST", "/api/v1/repositories", {"name": "new", "url": url}).is_problem(422)
    assert door.state() == before


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/builds?limit=0", (422,)),
        ("/builds?limit=99999", (422,)),
        ("/builds?limit=ten", (422,)),
        ("/builds?cursor=-1", (422,)),
        ("/builds?cursor='%20OR%201=1", (422,)),
        ("/builds?state=green", (422,)),
        ("/builds?colour=red", (422,)),
        ("/builds?repo=nothing", (404,)),
        ("/builds/0", (404,)),
        ("/builds/-1", (404, 422)),
        (f"/builds/{HUGE}", (404,)),
        (f"/builds/{HUGE * HUGE}", (404, 422)),
        ("/builds/1%00", (404, 422)),
        ("/builds/demo%230", (404,)),
        ("/builds/..%2f..%2fetc%2fpasswd", (404,)),
        ("/builds/1?wait=-1", (422,)),
        ("/builds/1?wait=nan", (422,)),
        ("/builds/1?wait=1e9", (422,)),
        ("/jobs/1/attempts/0/log", (404, 422)),
        ("/jobs/1/attempts/77/log", (404,)),
        (f"/jobs/{HUGE}/attempts/1/log", (404, 422)),
        ("/jobs/x/why", (404, 422)),
        ("/repositories/demo/commits/--all", (404, 422)),
        ("/repositories/demo/commits/" + "a" * 41, (404, 422)),
        ("/repositories/demo/tests/nothing", (404,)),
        ("/repositories/demo/key/../../x", (404, 405)),
        ("/events?since=-1", (422,)),
        ("/nothing", (404,)),
        ("/" + "x" * 9000, (404, 414)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_question_that_makes_no_sense_is_answered_in_words(door: Door, path: str, statuses: tuple[int, ...]) -> None:
    door.ask("GET", f"/api/v1{path}").is_problem(*statuses)


@pytest.mark.parametrize("method", ["PUT", "TRACE", "PROPFIND", "DELETE"])
def test_a_method_that_is_not_there_is_refused_with_those_that_are(door: Door, method: str) -> None:
    found = door.ask(method, "/api/v1/builds").is_problem(405)
    assert "GET" in found["detail"]


def test_bodies_have_stated_limits_that_hold_before_they_are_read(door: Door) -> None:
    """An announced size is refused at once; one that is not announced, as soon as it is over."""
    before = door.state()
    assert door.ask("POST", "/api/v1/repositories", b" " * 70_000).is_problem(413)["limit_bytes"] == 65536
    speaker = door.speaker("large")
    for method, path, limit in (
        ("POST", "/poll", 4 << 20),
        ("POST", "/attempts/1/finish", 4 << 20),
        ("POST", "/attempts/1/log?offset=0", 5 << 20),
        ("PUT", "/attempts/1/tests", 64 << 20),
        ("PUT", "/attempts/1/artifacts/a", 4 << 30),
    ):
        head = f"{method} /runner/v1{path} HTTP/1.1\r\nHost: x\r\nMainstay-Runner: {speaker.number}\r\n"
        head += f"Authorization: Bearer {speaker.token}\r\n"
        announced = _raw(door, (head + f"Content-Length: {limit + 1}\r\n\r\n").encode())
        assert announced.is_problem(413, 404)["detail"]
        if limit < 10 << 20:
            chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
            flood = (head + "Transfer-Encoding: chunked\r\n\r\n").encode() + chunk * (limit // 65536 + 2)
            assert _raw(door, flood).is_problem(413)["limit_bytes"] == limit
    speaker.say("POST", "/hello", b"{" + b" " * (5 << 20)).is_problem(413)
    assert door.state()[:-1] == before[:-1]


def _raw(door: Door, data: bytes) -> Answer:
    """Bytes as they are; the answer's head and what it announces of its body."""
    with socket.create_connection(("127.0.0.1", door.stand.port), timeout=30) as end:
        with contextlib.suppress(ConnectionError):
            end.sendall(data)
        answer = http.client.HTTPResponse(end)
        answer.begin()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


# -- who asks ----------------------------------------------------------------------------------------------------------


def test_only_a_living_token_of_the_right_kind_opens_a_door(door: Door) -> None:
    """None, nonsense, of another kind, of a job, revoked: told apart, and nothing is done."""
    speaker = door.speaker("tokens")
    before = door.state()
    for token, status in (("", 401), ("nonsense", 401), ("mst_api_" + "x" * 43, 401), (speaker.token, 403)):
        for method, path in (
            ("GET", "/builds"),
            ("POST", "/repositories"),
            ("DELETE", "/repositories/demo"),
            ("POST", "/builds/1/cancel"),
            ("POST", "/runner-tokens"),
            ("GET", "/jobs/1/attempts/1/log"),
        ):
            door.ask(method, f"/api/v1{path}", b"{}", token).is_problem(status)
    for path in ("/hello", "/poll", "/attempts/1/finish", "/attempts/1/log?offset=0"):
        door.ask("POST", f"/runner/v1{path}", b"{}", "nonsense").is_problem(401)
        door.ask("POST", f"/runner/v1{path}", b"{}", door.stand.token).is_problem(403)
    for header in ("Basic", "Basic !!!", "Bearer", "Digest x", "Bearer a b", "Basic " + "QQ==" * 10_000):
        door.ask("GET", "/api/v1/builds", Authorization=header).is_problem(401)
    assert door.state() == before


def test_a_revoked_token_and_the_token_of_an_ended_job_open_nothing(door: Door) -> None:
    build = door.job()
    speaker = door.speaker("ended")

    def assignment() -> Any:
        given = speaker.poll(free=4).json().get("assign", [])
        return next((each for each in given if each["build"] == build["id"]), None)

    given = until(assignment, "the assignment")
    path, token = given["source"]["path"] + "/info/refs?service=git-upload-pack", given["source"]["token"]
    assert door.ask("GET", path, None, token).status == 200
    door.ask("GET", "/api/v1/builds", None, token).is_problem(401)
    door.ask(
        "GET", given["source"]["path"].replace("demo", "other") + "/info/refs?service=git-upload-pack", None, token
    ).is_problem(401, 404)
    door.ask("GET", path.replace("upload", "receive"), None, token).is_problem(401, 403)
    assert speaker.say("POST", f"/attempts/{given['attempt']}/finish", end("passed")).json().get("accepted", True)
    door.ask("GET", path, None, token).is_problem(401)
    assert speaker.poll(wait_s=0).status == 200
    with door.database() as database:
        database.execute("UPDATE tokens SET revoked_at = created_at WHERE name = 'ended'")
    until(lambda: speaker.poll(wait_s=0).status == 401, "the revoked token to be worth nothing", timeout_s=40)


# -- the runner protocol -----------------------------------------------------------------------------------------------


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
def test_a_message_that_makes_no_sense_changes_nothing(door: Door, held: "Held", path: str, body: Any) -> None:
    """Unknown fields, wrong types, states that are no end, places beyond the log."""
    before = door.state()
    held.speaker.say("POST", path.replace("ATTEMPT", str(held.attempt)), body).is_problem(404, 409, 410, 413, 422)
    assert door.state() == before


@dataclass(frozen=True)
class Held:
    """An attempt that a speaker holds."""

    speaker: Speaker
    attempt: int
    build: dict[str, Any]

    def ended(self) -> dict[str, Any]:
        return self.speaker.door.stand.build(self.build["id"])


@pytest.fixture(scope="module")
def held(door: Door) -> Held:
    """For tests that leave it as it is."""
    build = door.job()
    speaker = door.speaker("holder")
    return Held(speaker, speaker.take(build), build)


@pytest.fixture
def own(door: Door) -> Held:
    """For a test that ends it."""
    build = door.job()
    speaker = door.speaker(f"own-{build['id']}")
    return Held(speaker, speaker.take(build), build)


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


# -- everything the description promises -------------------------------------------------------------------------------


def test_the_api_keeps_its_description_whatever_is_sent(tmp_path: Path) -> None:
    """Generated requests to every operation of /api/openapi.json: described answers, typed problems, never a 500."""
    project = Project(tmp_path / "repositories")
    project.workflow("echo hello")
    project.commit()
    project.push()
    with stand(tmp_path) as here:
        here.serve()
        here.watch(project)
        until(here.builds, "the first build")
        token = {"Authorization": f"Bearer {here.token}"}
        schema = schemathesis.openapi.from_url(f"{here.url}/api/openapi.json")
        tried = 0
        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.path != "/v1/events":  # it never ends
                _explore(here, operation, token)
                tried += 1
        assert tried > 15
        assert here.server is not None
        assert "Traceback" not in here.server.output, here.server.output
        assert here.call("GET", "/builds")["items"]


def _explore(here: Stand, operation: Any, headers: dict[str, str]) -> None:
    @hypothesis.settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy())
    def explore(case: Any) -> None:
        _tame(case)
        answer = case.call(base_url=f"{here.url}/api", headers=headers, timeout=20)
        assert answer.status_code < 500, (case.method, case.path, case.query, case.body, answer.content[:500])
        if answer.status_code >= 400 and answer.status_code != 416:
            kind = answer.headers["content-type"]
            assert kind == ["application/problem+json"], (case.method, case.path, answer.status_code, kind)
        else:
            case.validate_response(answer)

    explore()


def _tame(case: Any) -> None:
    """Leave out what would make the test wait or the server call strangers."""
    query = case.query if isinstance(case.query, dict) else {}
    if "wait" in query:
        query["wait"] = 0
    query.pop("follow", None)
    body = case.body if isinstance(case.body, dict) else {}
    if isinstance(body.get("url"), str):
        with contextlib.suppress(MainstayError):
            if local_path(body["url"]) is None:
                body["url"] = f"-{body['url']}"
