"""A stub of the server's API, and the command line as a call: what it prints where, and its exit code."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from mainstay.cli import main

Answer = tuple[int, Any] | Callable[["Asked"], tuple[int, Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that the stub got."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


@dataclass
class Stub:
    """Answers by method and path; everything else is a 404 in problem+json. Paths are below /api/v1."""

    url: str
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def on(self, method: str, path: str, answer: Any, status: int = 200) -> None:
        """Answer so from now on. A callable is given the request and returns status and document."""
        self.answers[method, path] = answer if callable(answer) else (status, answer)

    def refuse(self, method: str, path: str, status: int, code: str, detail: str) -> None:
        """Answer with a problem."""
        self.on(method, path, {"type": "about:blank", "status": status, "code": code, "detail": detail}, status)

    def bodies(self, method: str, path: str) -> list[Any]:
        """What was sent there."""
        return [asked.body for asked in self.asked if (asked.method, asked.path) == (method, path)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: Stub

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = parts.path.removeprefix("/api/v1")
        asked = Asked(self.command, path, dict(parse_qsl(parts.query)), json.loads(raw) if raw else None, headers)
        self.stub.asked.append(asked)
        missing = {"status": 404, "code": "not-found", "detail": f"there is nothing at {path}"}
        answer = self.stub.answers.get((self.command, path), (404, missing))
        status, document = answer(asked) if callable(answer) else answer
        body = document if isinstance(document, bytes) else b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/problem+json" if status >= 400 else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A server on a free port."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    handler.stub = Stub(f"http://127.0.0.1:{server.server_address[1]}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield handler.stub  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """No setting of the one who runs the tests counts."""
    for name in ("MAINSTAY_URL", "MAINSTAY_TOKEN", "MAINSTAY_DATABASE", "MAINSTAY_BLOBS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MAINSTAY_DATA", str(tmp_path / "data"))


@pytest.fixture
def mainstay(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Ran]:
    """Run a command line in this process."""

    def run(*arguments: str) -> Ran:
        code = main.run(arguments)
        out, err = capfdbinary.readouterr()
        return Ran(code, out.decode("utf-8", "surrogateescape"), err.decode())

    return run


@pytest.fixture
def client(mainstay: Callable[..., Ran], stub: Stub, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """The same, with the stub as its server."""
    monkeypatch.setenv("MAINSTAY_URL", stub.url)
    monkeypatch.setenv("MAINSTAY_TOKEN", "mst_test")
    return mainstay


def build(number: int = 7, state: str = "passed", **values: Any) -> dict[str, Any]:
    """A build as a list shows it."""
    return {
        "id": 30 + number,
        "number": number,
        "repository": "demo",
        "commit": f"{number:040x}",
        "tree": f"{number + 1000:040x}",
        "branch": "main",
        "ref": "refs/heads/main",
        "event": "push",
        "workflow": "tests",
        "state": state,
        "reason": None,
        "created_at": "2026-11-20T12:00:00.000Z",
        "started_at": "2026-11-20T12:00:01.000Z",
        "finished_at": None if state in ("queued", "running", "waiting") else "2026-11-20T12:01:13.000Z",
        "url": f"http://ci/builds/{30 + number}",
        **values,
    }


def job(name: str = "test", state: str = "passed", attempts: tuple[str, ...] = ("passed",), **values: Any) -> Any:
    """A job with an attempt per given state."""
    return {
        "id": 90,
        "key": name.partition(" ")[0],
        "name": name,
        "matrix": {},
        "needs": [],
        "labels": ["linux"],
        "state": state,
        "reason": None,
        "allowed_to_fail": False,
        "reused_from": None,
        "tests": {"passed": 120, "failed": 0, "error": 0, "skipped": 3},
        "attempts": [attempt(number, each) for number, each in enumerate(attempts, start=1)],
        **values,
    }


def attempt(number: int, state: str) -> dict[str, Any]:
    """An attempt with one step."""
    times = {"started_at": "2026-11-20T12:00:01.000Z", "finished_at": "2026-11-20T12:00:13.000Z"}
    step = {"number": 1, "name": "Run pytest", "state": state, "exit_code": 0 if state == "passed" else 1, **times}
    return {
        "number": number,
        "state": state,
        "runner": "local-1",
        "commit": f"{7:040x}",
        "exit_code": step["exit_code"],
        "reason": None,
        "queued_at": "2026-11-20T12:00:00.000Z",
        "log_bytes": 12,
        "steps": [step],
        **times,
    }
