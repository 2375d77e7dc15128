"""Blobs in a bucket of an S3-compatible service, through obstore. Any number of servers may share it."""

import hashlib
import re
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Container, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, S3Store

from mainstay.model.errors import BadInput, NotFound, Unavailable
from mainstay.store.content import CHUNK_BYTES, KEY, Blobs, Spool, Usage, checked

OPTIONS = frozenset({"endpoint", "region", "access_key_id", "secret_access_key", "session_token"})
TIMEOUT_S = 120
"""For one request."""
RETRIES = 4
RETRY_S = 20
"""After this long no request is tried again: who waits for it shall hear that the bucket does not answer."""


class _Entry(NamedTuple):
    key: str
    size_bytes: int
    put_at: datetime


class BucketBlobs(Blobs):
    """Objects `PREFIX/KEY`. Credentials come from the URL, else from `AWS_...` variables or the machine's role."""

    def __init__(self, store: ObjectStore, where: str, spool: Path | None = None) -> None:
        self._store = store
        self._where = where
        self._spool = spool or Path(tempfile.gettempdir())

    @classmethod
    def open(cls, url: str, spool: Path | None = None) -> "BucketBlobs":
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := sorted(options.keys() - OPTIONS):
            raise BadInput(
                f"The blob store's URL has the unknown option {unknown[0]}; known are {', '.join(sorted(OPTIONS))}."
            )
        if not parts.netloc:
            raise BadInput("The blob store's URL names no bucket; it is s3://BUCKET/PREFIX.")
        prefix = parts.path.strip("/") or None
        insecure = options.get("endpoint", "").startswith("http://")
        try:
            store = S3Store(
                parts.netloc,
                prefix=prefix,
                config=options,  # type: ignore[arg-type]
                client_options={"allow_http": insecure, "timeout": timedelta(seconds=TIMEOUT_S)},
                retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)},
            )
        except (BaseError, ValueError) as error:
            raise BadInput(f"Cannot use the blob store s3://{parts.netloc}: {_short(error)}") from error
        return cls(store, f"s3://{parts.netloc}{parts.path}", spool)

    async def put(self, data: bytes) -> str:
        key = hashlib.sha256(data).hexdigest()
        # Written even if it is there: that makes it young, in the bucket's own time, so that no sweep takes it.
        with self._in_words(key):
            await obstore.put_async(self._store, key, data, use_multipart=False)
        return key

    async def put_stream(self, stream: AsyncIterable[bytes], max_bytes: int) -> tuple[str, int]:
        spool = await Spool.fill(self._spool, stream, max_bytes)
        try:
            with self._in_words(spool.key):
                await obstore.put_async(self._store, spool.key, spool.path)
        finally:
            spool.discard()
        return spool.key, spool.size

    async def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        parts = [part async for part in self.stream(key, start, end)]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        checked(key)
        if end is not None and end <= start:
            return
        with self._in_words(key):
            if start > 0 or end is not None:
                size = await self.size(key)
                if size is None:
                    raise FileNotFoundError(key)
                end = size if end is None else min(end, size)
                if end <= start:
                    return
                answer = await obstore.get_async(self._store, key, options={"range": (start, end)})
            else:
                answer = await obstore.get_async(self._store, key)
            async for part in answer.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(part)

    async def size(self, key: str) -> int | None:
        checked(key)
        try:
            with self._in_words(key):
                return (await obstore.head_async(self._store, key))["size"]
        except NotFound:
            return None

    async def delete(self, key: str) -> None:
        checked(key)
        try:
            with self._in_words(key):
                await obstore.delete_async(self._store, key)
        except NotFound:
            return

    async def sweep(self, referenced: Container[str], older_than_s: float) -> int:
        before = datetime.now(UTC) - timedelta(seconds=older_than_s)
        count = 0
        async for entry in self._entries():
            if entry.key not in referenced and entry.put_at < before:
                with suppress(NotFound), self._in_words(entry.key):
                    # Looked at again right before: another server may have put it since the listing.
                    again = await obstore.head_async(self._store, entry.key)
                    if again["last_modified"] < before:
                        await obstore.delete_async(self._store, entry.key)
                        count += 1
        return count

    async def keys(self) -> AsyncIterator[str]:
        async for entry in self._entries():
            yield entry.key

    async def usage(self) -> Usage:
        count = size = 0
        async for entry in self._entries():
            count += 1
            size += entry.size_bytes
        return Usage(count, size)

    async def _entries(self) -> AsyncIterator[_Entry]:
        with self._in_words("the list of all blobs"):
            async for page in obstore.list(self._store, chunk_size=1000):
                for meta in page:
                    if KEY.fullmatch(meta["path"]):
                        yield _Entry(meta["path"], meta["size"], meta["last_modified"])

    @contextmanager
    def _in_words(self, what: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise NotFound(
                f"The blob {what} is not in {self._where}: it was deleted there, or the bucket is the wrong one."
            ) from None
        except (BaseError, OSError, ValueError) as error:
            raise Unavailable(f"Cannot reach {what} in {self._where}: {_short(error)}") from error


def _short(error: BaseException) -> str:
    """The first line of obstore's error; the rest repeats the request, with its headers."""
    return re.sub(r"\s+", " ", str(error).split("\n\n")[0])[:400]
