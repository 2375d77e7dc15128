"""A server's doors as programs see them: the API, and the runner protocol spoken by a test instead of a runner."""

import contextlib
import http.client
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from mainstay.wire.runner import Finish, Hello, Poll
from tests.system.stand import Project, Stand, stand, until

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


@dataclass(frozen=True)
class Held:
    """An attempt that a speaker holds."""

    speaker: Speaker
    attempt: int
    build: dict[str, Any]

    def ended(self) -> dict[str, Any]:
        return self.speaker.door.stand.build(self.build["id"])


def hold(door: Door, name: str) -> Held:
    """A new build's attempt, held by a new speaker."""
    build = door.job()
    speaker = door.speaker(name)
    return Held(speaker, speaker.take(build), build)


@contextmanager
def door_to(folder: Path) -> Iterator[Door]:
    """A server with one build that nobody takes."""
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
