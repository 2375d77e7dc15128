"""The one HTTP client: typed answers, refusals in the server's words, repeats only where they do no harm."""

import http.server
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from mainstay.model.errors import BadInput, Conflict, NotFound, NotSignedIn, TooLarge, Unavailable
from mainstay.wire.client import Client, server_url


class Answer(msgspec.Struct):
    number: int


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    seen: ClassVar[list[tuple[str, str, bytes]]] = []
    cut: ClassVar[list[str]] = []

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        self.seen.append((self.command, self.path, self.rfile.read(size)))
        if self.cut:
            self.cut.pop()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, body, kind = self.answer()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET

    def answer(self) -> tuple[int, bytes, str]:
        path = self.path.partition("?")[0]
        if path.startswith("/status/"):
            code = path.rsplit("/", 1)[1]
            body = b'{"title":"No","status":%s,"detail":"told to refuse","stored":5}' % code.encode()
            return int(code), body, "application/problem+json"
        if path == "/page":
            return 502, b"<h1>Bad gateway</h1>", "text/html"
        if path == "/deep":
            return 200, b"[" * 100_000 + b"]" * 100_000, "application/json"
        if path == "/half":
            return 200, b'{"number":', "application/json"
        if path == "/bytes":
            return 200, b"0123456789"[int(self.headers.get("Range", "bytes=0-")[6:-1]) :], "text/plain"
        return 200, b'{"number": 3}', "application/json"


@pytest.fixture
def client() -> Iterator[Client]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    Handler.seen, Handler.cut = [], []
    with Client(f"http://127.0.0.1:{server.server_port}/", "a-token") as client:
        yield client
    server.shutdown()
    server.server_close()


def test_answers_come_as_the_type_that_was_asked_for(client: Client) -> None:
    assert client.get("/x", Answer, limit=3, nothing=None) == Answer(3)
    assert client.send("/y", {"a": 1}, dict[str, int]) == {"number": 3}
    assert Handler.seen == [("GET", "/x?limit=3", b""), ("POST", "/y", b'{"a":1}')]


@pytest.mark.parametrize(
    ("path", "kind"), [("/x", list[int]), ("/bytes", Answer), ("/deep", object), ("/half", object)]
)
def test_an_answer_of_another_shape_is_said_to_be_one(client: Client, path: str, kind: type) -> None:
    with pytest.raises(Unavailable, match="unexpected"):
        client.get(path, kind)


def test_plain_documents_are_read_and_written_without_what_types_need() -> None:
    """msgspec takes longer to import than a client command works."""
    program = """
import json, sys
from mainstay.wire import client
told = {"name": "Zoë", "n": [1, None, True]}
assert client._read(client._written(told), object) == told
assert client._read(b"", object) is None
assert client.refusal(409, b'{"detail": "no"}', "GET /x").message == "no"
assert client.refusal(502, b"[" * 100_000, "GET /x").status == 502
assert "msgspec" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, NotSignedIn), (404, NotFound), (409, Conflict), (413, TooLarge), (422, BadInput), (503, Unavailable)],
)
def test_refusals_are_the_models_errors_in_the_servers_words(
    client: Client, status: int, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match="told to refuse") as caught:
        client.get(f"/status/{status}", Answer)
    assert (caught.value.details["stored"], caught.value.status) == (5, status)  # type: ignore[attr-defined]


def test_an_error_page_of_a_proxy_is_unavailable(client: Client) -> None:
    with pytest.raises(Unavailable, match="502"):
        client.get("/page", Answer)


def test_a_dropped_connection_is_tried_again_only_where_that_does_no_harm(client: Client, tmp_path: Path) -> None:
    Handler.cut = ["once"]
    assert client.get("/x", Answer) == Answer(3)
    Handler.cut = ["once"]
    with pytest.raises(Unavailable):
        client.send("/x", {}, Answer)
    Handler.cut = ["once"]
    assert client.send("/x", {}, Answer, repeatable=True) == Answer(3)
    Handler.cut, Handler.seen = ["once"], []
    (tmp_path / "file").write_bytes(b"content")
    with (tmp_path / "file").open("rb") as file:
        headers = {"Content-Length": "7"}
        assert client.call("PUT", "/x", Answer, body=file, headers=headers) == Answer(3)
    assert Handler.seen == [("PUT", "/x", b"content"), ("PUT", "/x", b"content")]


def test_bytes_are_streamed_from_an_offset(client: Client) -> None:
    assert b"".join(client.stream("/bytes", offset=4)) == b"456789"


def test_a_server_that_is_not_there_is_unavailable_with_its_address() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(Unavailable, match=f"http://127.0.0.1:{port} .from a test. cannot be reached"):
            Client(f"http://127.0.0.1:{port}", origin="a test").get("/x", Answer)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://host/", "http://host"),
        ("https://host:8443/ci/", "https://host:8443/ci"),
        (" http://[::1]:80 ", "http://[::1]:80"),
    ],
)
def test_addresses_are_made_plain(text: str, address: str) -> None:
    assert server_url(text) == address


@pytest.mark.parametrize(
    "text", ["", "host", "ftp://host", "http://", "http://u:p@host", "http://host:99999", "http://h/?q", "http://a b"]
)
def test_addresses_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        server_url(text)


def test_proxies_of_the_environment_are_obeyed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", client.url)
    assert Client("http://somewhere.example.org").get("/x", Answer) == Answer(3)
    assert Handler.seen[-1][1] == "http://somewhere.example.org/x"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert Client(client.url).get("/y", Answer) == Answer(3)
    assert Handler.seen[-1][1] == "/y"
