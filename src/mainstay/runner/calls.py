"""The runner's side of `wire.runner`: each message as one blocking call. All of them may be repeated."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

from mainstay.model.errors import Unavailable
from mainstay.wire.client import Client
from mainstay.wire.runner import (
    Artifact,
    Artifacts,
    CacheFound,
    Finish,
    Hello,
    Orders,
    Poll,
    Progress,
    Stored,
    StoredArtifact,
    Welcome,
)

RUNNER_HEADER = "Mainstay-Runner"
ANSWER_S = 30.0
UPLOAD_S = 600.0
SILENCE_S = 60.0
"""How long nothing may come while something is fetched."""


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

    def artifacts(self, attempt: int) -> Artifacts:
        """The artifacts of the attempt's build so far."""
        return self._client.get(f"/runner/v1/attempts/{attempt}/artifacts", Artifacts, read_s=ANSWER_S)

    def fetch_artifact(self, attempt: int, artifact: StoredArtifact, target: Path) -> None:
        """Write one of them to `target`."""
        path = f"/runner/v1/attempts/{attempt}/artifacts/{quote(artifact.name, safe='')}"
        self._fetch(path, target, artifact.size_bytes, artifact.digest)

    def find_cache(self, attempt: int, key: str, prefixes: Sequence[str], version: str) -> CacheFound:
        """The cache that fits best. Raises NotFound."""
        path = f"/runner/v1/attempts/{attempt}/caches"
        query = urlencode([("key", key), ("version", version), *(("restore", prefix) for prefix in prefixes)])
        return self._client.get(f"{path}?{query}", CacheFound, read_s=ANSWER_S)

    def fetch_cache(self, attempt: int, cache: CacheFound, target: Path) -> None:
        """Write a cache that was found to `target`."""
        self._fetch(f"/runner/v1/attempts/{attempt}/caches/{cache.id}", target, cache.size_bytes, cache.digest)

    def put_cache(self, attempt: int, key: str, version: str, digest: str, path: Path) -> Stored:
        """Send a cache, as it is read from disk."""
        headers = {
            "Content-Type": "application/zstd",
            "Content-Length": str(path.stat().st_size),
            "Digest": digest,
        }
        with path.open("rb") as file:
            return self._client.call(
                "PUT",
                f"/runner/v1/attempts/{attempt}/caches",
                Stored,
                query={"key": key, "version": version},
                body=file,
                headers=headers,
                read_s=UPLOAD_S,
            )

    def durations(self, attempt: int, target: Path) -> None:
        """Write to `target` how long tests take, as all jobs of the attempt's build are told."""
        with target.open("wb") as file:
            for piece in self._client.stream(f"/runner/v1/attempts/{attempt}/durations", read_s=ANSWER_S):
                file.write(piece)

    def _fetch(self, path: str, target: Path, size_bytes: int, digest: str) -> None:
        """Write what is behind `path`, and see to it that it is what was announced: all of it, and nothing else."""
        size, seen = 0, hashlib.sha256()
        with target.open("wb") as file:
            for piece in self._client.stream(path, read_s=SILENCE_S):
                size += len(piece)
                if size > size_bytes:
                    break
                file.write(piece)
                seen.update(piece)
        if size != size_bytes:
            raise Unavailable(f"the server sent {size} bytes or more of {path}, where {size_bytes} were announced")
        if digest and seen.hexdigest() != digest:
            raise Unavailable(f"what the server sent of {path} is damaged: its digest is not the announced one")

    def finish(self, attempt: int, message: Finish) -> Stored:
        """Tell how the attempt ended."""
        path = f"/runner/v1/attempts/{attempt}/finish"
        return self._client.send(path, message, Stored, read_s=UPLOAD_S, repeatable=True)

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()
