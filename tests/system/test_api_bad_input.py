"""Whatever is sent to a real server's API: a typed problem, nothing changed, never a 500."""

import contextlib
import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis

from mainstay.git.source import local_path
from mainstay.model.errors import MainstayError
from tests.system.door import HUGE, Answer, Door, door_to, end
from tests.system.stand import Project, Stand, stand, until

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with door_to(tmp_path_factory.mktemp("door")) as opened:
        yield opened


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
    """Leave out what would make the test wait, take its own token away, or have the server call strangers."""
    if case.method == "DELETE" and case.path.endswith("/tokens/{token}"):
        with contextlib.suppress(TypeError, ValueError):
            case.path_parameters["token"] = int(case.path_parameters["token"]) + 1000
    query = case.query if isinstance(case.query, dict) else {}
    if "wait" in query:
        query["wait"] = 0
    query.pop("follow", None)
    body = case.body if isinstance(case.body, dict) else {}
    if isinstance(body.get("url"), str):
        with contextlib.suppress(MainstayError):
            if local_path(body["url"]) is None:
                body["url"] = f"-{body['url']}"
