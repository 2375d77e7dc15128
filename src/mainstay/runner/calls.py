"""The runner's side of `wire.runner`: each message as one blocking call. All of them may be repeated."""

from pathlib import Path
from urllib.parse import quote

from mainstay.wire.client import Client
from mainstay.wire.runner import Artifact, Finish, Hello, Orders, Poll, Progress, Stored, Welcome

RUNNER_HEADER = "Mainstay-Runner"
ANSWER_S = 30.0
UPLOAD_S = 600.0


class Calls:
    """What a runner can say to its server. Raises the errors of `wire.client`."""

    def __init__(self, server: str, token: str, connections: int) -> None:
        self._client = Client(server, token, connections=connections)

    @property
    def url(self) -> str:
        """The server's address."""
        return self._client.url

    def hello(self, message: Hello) -> Welcome:
        """Present the runner; from then on its calls carry the number it was given."""
        welcome = self._client.send("/runner/v1/hello", message, Welcome, read_s=ANSWER_S, repeatable=True)
        self._client.headers[RUNNER_HEADER] = str(welcome.runner)
        return welcome

    def poll(self, message: Poll) -> Orders:
        """Ask for work and renew leases."""
        read_s = message.wait_s + ANSWER_S
        return self._client.send("/runner/v1/poll", message, Orders, read_s=read_s, repeatable=True)

    def progress(self, attempt: int, message: Progress) -> Stored:
        """Tell how far the steps are."""
        path = f"/runner/v1/attempts/{attempt}/progress"
        return self._client.send(path, message, Stored, read_s=ANSWER_S, repeatable=True)

    def log(self, attempt: int, offset: int, body: bytes, encoding: str | None) -> Stored:
        """Send a piece of the log that begins at `offset`."""
        headers = {"Content-Type": "application/octet-stream"}
        if encoding:
            headers["Content-Encoding"] = encoding
        return self._client.call(
            "POST",
            f"/runner/v1/attempts/{attempt}/log",
            Stored,
            query={"offset": offset},
            body=body,
            headers=headers,
            read_s=UPLOAD_S,
            repeatable=True,
        )

    def tests(self, attempt: int, body: bytes, encoding: str | None) -> Stored:
        """Send all test reports."""
        headers = {"Content-Type": "application/x-ndjson"}
        if encoding:
            headers["Content-Encoding"] = encoding
        path = f"/runner/v1/attempts/{attempt}/tests"
        return self._client.call("PUT", path, Stored, body=body, headers=headers, read_s=UPLOAD_S)

    def artifact(self, attempt: int, artifact: Artifact, path: Path) -> Stored:
        """Send an artifact's zip, as it is read from disk."""
        headers = {
            "Content-Type": "application/zip",
            "Content-Length": str(artifact.size_bytes),
            "Digest": artifact.digest,
        }
        with path.open("rb") as file:
            return self._client.call(
                "PUT",
                f"/runner/v1/attempts/{attempt}/artifacts/{quote(artifact.name, safe='')}",
                Stored,
                query={"kind": artifact.kind, "retention_days": artifact.retention_days},
                body=file,
                headers=headers,
                read_s=UPLOAD_S,
            )

    def finish(self, attempt: int, message: Finish) -> Stored:
        """Tell how the attempt ended."""
        path = f"/runner/v1/attempts/{attempt}/finish"
        return self._client.send(path, message, Stored, read_s=UPLOAD_S, repeatable=True)

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()
