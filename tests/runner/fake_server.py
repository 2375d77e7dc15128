"""A server that speaks `wire.runner` over real HTTP, remembers what it was told, and breaks when it is asked to."""

import contextlib
import hashlib
import http.server
import itertools
import re
import socket
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from mainstay.runner.zstd import decompress
from mainstay.wire.runner import (
    Artifacts,
    Assignment,
    CacheFound,
    Cancel,
    Finish,
    Hello,
    Orders,
    Poll,
    Progress,
    StoredArtifact,
    TestReport,
)

TOKEN = "a-runner-token"
ATTEMPT = re.compile(r"/runner/v1/attempts/(\d+)/(progress|log|tests|finish|artifacts|caches)(?:/(.*))?")


@dataclass
class Record:
    """What the server has of one attempt."""

    log: bytearray = field(default_factory=bytearray)
    progress: list[Progress] = field(default_factory=list)
    tests: list[TestReport] = field(default_factory=list)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    finish: Finish | None = None
    finishes: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    wanted: bool = True
    log_times: list[float] = field(default_factory=list)


class FakeServer:
    """Start with `back`, stop listening with `away`; the port stays the same."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.hellos: list[Hello] = []
        self.polls: list[Poll] = []
        self.records: dict[int, Record] = {}
        self.waiting: list[Assignment] = []
        self.given: dict[int, Assignment] = {}
        self.cancels: list[Cancel] = []
        self.drops: list[int] = []
        self.drop_at_hello: list[int] = []
        self.drain = False
        self.faults: dict[str, list[str]] = {}
        self.log_limit_bytes = 1 << 30
        self.must_greet = False
        self.seen: Callable[[str], None] = lambda kind: None
        self.files: dict[str, bytes] = {}
        self.shared: dict[str, bytes] = {}
        self.digests: dict[str, str] = {}
        """What is said of them, where it is not the truth."""
        """Artifacts of other jobs of the same build."""
        self.caches: list[tuple[str, str, bytes]] = []
        """Key, version, content."""
        self.authorized: list[str] = []
        self._numbers = itertools.count(1)
        self._http: _Server | None = None
        self.port = 0
        self.back()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def back(self) -> None:
        """Listen."""
        self._http = _Server(self, ("127.0.0.1", self.port), _Handler)
        self.port = self._http.server_port
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def away(self) -> None:
        """Stop listening and cut all connections."""
        assert self._http is not None
        self._http.shutdown()
        self._http.server_close()
        self._http.cut()
        with self.changed:
            self.changed.notify_all()

    def give(self, assignment: Assignment) -> Record:
        """Queue an attempt."""
        with self.changed:
            record = self.records[assignment.attempt] = Record()
            self.waiting.append(assignment)
            self.changed.notify_all()
        return record

    def cancel(self, attempt: int, reason: str) -> None:
        with self.changed:
            self.cancels.append(Cancel(attempt, reason))
            self.changed.notify_all()

    def fail(self, kind: str, *how: str) -> None:
        """Let the next requests of a kind fail.

        `503` and other numbers: that answer. `half`: cut while it is read. `cut`: after. `lost`: obeyed, then cut.
        """
        self.faults.setdefault(kind, []).extend(how)

    def wait(self, what: Callable[[], Any], timeout_s: float = 60.0) -> Any:
        """Until `what` is true; what it gave."""
        until = time.monotonic() + timeout_s
        with self.changed:
            while not (found := what()):
                left = until - time.monotonic()
                assert left > 0, f"nothing came within {timeout_s} s; {self.records}"[:3000]
                self.changed.wait(min(left, 0.2))
            return found

    def ended(self, attempt: int, timeout_s: float = 60.0) -> Finish:
        """How an attempt ended, once that has been told."""
        finish = self.wait(lambda: self.records[attempt].finish, timeout_s)
        assert isinstance(finish, Finish)
        return finish

    # What requests do.

    def hello(self, message: Hello) -> object:
        self.hellos.append(message)
        self.must_greet = False
        for attempt in set(self.given) - set(message.holding):
            del self.given[attempt]
        return {
            "runner": 7,
            "lease_s": 6.0,
            "poll_s": 10.0,
            "log_limit_bytes": self.log_limit_bytes,
            "drop": self.drop_at_hello,
        }

    def poll(self, message: Poll) -> object:
        number = next(self._numbers)
        self.polls.append(message)
        self._newest = number
        self.changed.notify_all()
        until = time.monotonic() + message.wait_s
        while True:
            orders = self._orders(message)
            if orders is not None or self._newest != number or self._http is None:
                return orders or Orders()
            left = until - time.monotonic()
            if left <= 0:
                return Orders()
            self.changed.wait(left)

    def _orders(self, message: Poll) -> Orders | None:
        again = [
            one
            for key, one in self.given.items()
            if key not in (*message.running, *self.drops) and not self.records[key].finish
        ]
        fresh = [] if message.draining else self.waiting[: max(0, message.free - len(again))]
        for one in fresh:
            self.waiting.remove(one)
            self.given[one.attempt] = one
        cancels, self.cancels = self.cancels, []
        drops, self.drops = self.drops, []
        for attempt in drops:
            self.given.pop(attempt, None)
        drain, self.drain = self.drain, False
        if again or fresh or cancels or drops or drain:
            return Orders(assign=(*again, *fresh), cancel=tuple(cancels), drop=tuple(drops), drain=drain)
        return None

    def attempt(
        self, attempt: int, kind: str, name: str, query: dict[str, list[str]], body: bytes
    ) -> tuple[int, object]:
        record = self.records.setdefault(attempt, Record())
        record.requests[kind] += 1
        if not record.wanted:
            self.given.pop(attempt, None)
            return 200, {"accepted": False, "reason": "somebody else has finished it"}
        if kind == "log":
            offset = int(query["offset"][0])
            record.log_times.append(time.monotonic())
            return self._append(record, offset, body)
        if kind == "progress":
            record.progress.append(msgspec.json.decode(body, type=Progress))
        elif kind == "tests":
            record.tests = [msgspec.json.decode(line, type=TestReport) for line in body.splitlines()]
        elif kind == "artifacts":
            record.artifacts[name] = body
        elif kind == "caches":
            [key], [version] = query["key"], query["version"]
            if not any(each[:2] == (key, version) for each in self.caches):
                self.caches.append((key, version, body))
        else:
            return self._finish(record, msgspec.json.decode(body, type=Finish), attempt)
        return 200, {}

    def read(self, kind: str, name: str, query: dict[str, list[str]]) -> tuple[int, object]:
        """What GET gives: bytes as they are, all else as JSON."""
        missing = 404, {"detail": f"there is no {name}", "code": "not-found"}
        if kind == "artifacts":
            listed = [
                StoredArtifact(
                    each, len(body), "artifact", "other", self.digests.get(each, hashlib.sha256(body).hexdigest())
                )
                for each, body in self.shared.items()
            ]
            return (200, Artifacts(tuple(listed))) if not name else (200, self.shared[name])
        if name:
            return 200, self.caches[int(name)][2]
        [key], [version], prefixes = query["key"], query["version"], query.get("restore", [])
        for wanted in (key, *prefixes):
            for number, (have, of, content) in reversed(list(enumerate(self.caches))):
                if of == version and (have == key or (wanted != key and have.startswith(wanted))):
                    return 200, CacheFound(number, have, len(content))
        return missing

    def _append(self, record: Record, offset: int, body: bytes) -> tuple[int, object]:
        have = len(record.log)
        if offset > have:
            return 409, {"detail": f"the log is stored up to byte {have}", "code": "conflict", "stored": have}
        record.log += body[have - offset :]
        return 200, {"stored": len(record.log)}

    def _finish(self, record: Record, message: Finish, attempt: int) -> tuple[int, object]:
        status, answer = self._append(record, message.log_offset, message.log_tail)
        if status != 200:
            return status, answer
        if len(record.log) < message.log_bytes:
            return 409, {"detail": "the log is not whole", "code": "conflict", "stored": len(record.log)}
        record.finish = message
        record.finishes += 1
        self.given.pop(attempt, None)
        return 200, {}


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, fake: FakeServer, *args: Any) -> None:
        self.fake = fake
        self.connections: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def cut(self) -> None:
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    @property
    def fake(self) -> FakeServer:
        server = self.server
        assert isinstance(server, _Server)
        return server.fake

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if "Authorization" in self.headers:
            self.fake.authorized.append(self.headers["Authorization"])
        path, _, asked = self.path.partition("?")
        found = ATTEMPT.fullmatch(path)
        if found:
            fault = self.fake.faults.get(f"get {found[2]}", [])
            if fault:
                self._json(int(fault.pop(0)), {"detail": "told to fail"})
                return
            status, answer = self.fake.read(found[2], unquote(found[3] or ""), parse_qs(asked))
            body = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
            self._answer(status, body)
            return
        content = self.fake.files.get(urlsplit(self.path).path)
        self._answer(404 if content is None else 200, content or b"", "application/octet-stream")

    def do_POST(self) -> None:
        path, _, asked = self.path.partition("?")
        found = ATTEMPT.fullmatch(path)
        kind = found[2] if found else path.rsplit("/", 1)[-1]
        fault = self.fake.faults.get(kind, []).pop(0) if self.fake.faults.get(kind) else ""
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size // 2 if fault == "half" else size)
        self.fake.seen(kind)
        if fault in ("half", "cut"):
            self._cut()
        elif fault.isdigit():
            self._json(int(fault), {"detail": f"told to say {fault}"})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json(401, {"detail": "a bad token", "code": "not-signed-in"})
        else:
            self._do(path, found, kind, asked, body, fault)

    do_PUT = do_POST

    def _do(self, path: str, found: Any, kind: str, asked: str, body: bytes, fault: str) -> None:
        if self.headers.get("Content-Encoding") == "zstd":
            body = decompress(body)
        with self.fake.changed:
            status, answer = self._obey(path, found, kind, asked, body)
            self.fake.changed.notify_all()
        if fault == "lost":
            self._cut()
        else:
            self._json(status, answer)

    def _obey(self, path: str, found: Any, kind: str, asked: str, body: bytes) -> tuple[int, object]:
        if kind == "hello":
            return 200, self.fake.hello(msgspec.json.decode(body, type=Hello))
        if self.headers.get("Mainstay-Runner") != "7" or self.fake.must_greet:
            return 410, {"detail": "say hello again", "code": "gone"}
        if kind == "poll":
            return 200, self.fake.poll(msgspec.json.decode(body, type=Poll))
        if not found:
            return 404, {"detail": f"nothing at {path}"}
        return self.fake.attempt(int(found[1]), kind, found[3] or "", parse_qs(asked), body)

    def _json(self, status: int, answer: object) -> None:
        self._answer(status, msgspec.json.encode(answer))

    def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)
