"""As much of S3 as the bucket store uses, over HTTP, so that its real client is tested: no signatures are checked."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class FakeS3(ThreadingHTTPServer):
    """Objects by path, and the requests that came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.denied = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running() -> Iterator[FakeS3]:
    with FakeS3() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeS3

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @property
    def path_and_query(self) -> tuple[str, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        return unquote(parts.path), parse_qs(parts.query, keep_blank_values=True)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def store(self, path: str, data: bytes) -> str:
        self.server.objects[path] = (data, datetime.now(UTC))
        return f'"{hashlib.md5(data).hexdigest()}"'

    def do_PUT(self) -> None:
        path, query = self.path_and_query
        data = self.body()
        if self.server.denied:
            return self.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        if "partNumber" in query:
            self.server.parts[query["uploadId"][0]][int(query["partNumber"][0])] = data
            return self.answer(200, ETag='"part"')
        return self.answer(200, ETag=self.store(path, data))

    def do_POST(self) -> None:
        path, query = self.path_and_query
        body = self.body().decode()
        if "delete" in query:
            gone = re.findall("<Key>([^<]*)</Key>", body)
            for key in gone:
                self.server.objects.pop(f"{path.rstrip('/')}/{key}", None)
            told = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in gone)
            return self.answer(200, f"<DeleteResult>{told}</DeleteResult>".encode())
        if "uploads" in query:
            upload = f"upload-{len(self.server.parts)}"
            self.server.parts[upload] = {}
            answer = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            return self.answer(200, answer.encode())
        parts = self.server.parts.pop(query["uploadId"][0])
        etag = self.store(path, b"".join(parts[number] for number in sorted(parts)))
        done = f"<CompleteMultipartUploadResult><ETag>{escape(etag)}</ETag></CompleteMultipartUploadResult>"
        return self.answer(200, done.encode())

    def do_GET(self) -> None:
        path, query = self.path_and_query
        if "list-type" in query:
            return self.answer(200, self.listing(path, query))
        if path not in self.server.objects:
            return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        data, at = self.server.objects[path]
        headers = {"ETag": '"x"', "Last_Modified": format_datetime(at, usegmt=True)}
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            start, last = int(wanted[1]), min(int(wanted[2]), len(data) - 1)
            headers["Content_Range"] = f"bytes {start}-{last}/{len(data)}"
            return self.answer(206, data[start : last + 1], **headers)
        return self.answer(200, data, **headers, Content_Length=str(len(data)))

    def do_HEAD(self) -> None:
        self.do_GET()

    def listing(self, bucket: str, query: dict[str, list[str]]) -> bytes:
        prefix = query.get("prefix", [""])[0]
        found = {
            path.removeprefix(f"{bucket.rstrip('/')}/"): (len(data), at)
            for path, (data, at) in sorted(self.server.objects.items())
        }
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size><LastModified>{at.isoformat()}</LastModified></Contents>"
            for key, (size, at) in found.items()
            if key.startswith(prefix)
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>".encode()

    def log_message(self, *args: object) -> None:
        """Silent."""
