"""Blob stores: whole or not at all, found again by their content, and gone only when nobody refers to them."""

import asyncio
import errno
import hashlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.store import fake_s3

from mainstay.model.errors import BadInput, NotFound, TooLarge, Unavailable
from mainstay.store.blobs import Blobs, Usage, open_blobs
from mainstay.store.folder import FolderBlobs

pytestmark = pytest.mark.anyio

DAY_S = 86400.0


@pytest.fixture(scope="module")
def s3() -> Iterator[fake_s3.FakeS3]:
    with fake_s3.running() as server:
        yield server


def bucket(s3: fake_s3.FakeS3, spool: Path) -> Blobs:
    s3.objects.clear()
    url = f"s3://logs/ci/one?endpoint={s3.url}&region=here&access_key_id=me&secret_access_key=hush"
    return open_blobs(url, spool)


@pytest.fixture(params=["folder", "bucket"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "folder":
        return open_blobs(str(tmp_path / "blobs"))
    return bucket(request.getfixturevalue("s3"), tmp_path)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def broken() -> AsyncIterator[bytes]:
    yield b"half"
    raise ConnectionResetError("the sender is gone")


async def all_keys(blobs: Blobs) -> set[str]:
    return {key async for key in blobs.keys()}  # noqa: SIM118 - it is no mapping


async def test_what_was_put_is_got_by_the_digest_of_its_content(blobs: Blobs) -> None:
    for data in (b"", b"x", bytes(range(256)) * 10_000):
        key = await blobs.put(data)
        assert key == hashlib.sha256(data).hexdigest()
        assert await blobs.get(key) == data
        assert await blobs.size(key) == len(data)
        assert await blobs.exists(key)


async def test_the_same_content_is_stored_once(blobs: Blobs) -> None:
    assert await blobs.put(b"same") == await blobs.put(b"same")
    assert await blobs.usage() == Usage(1, 4)


async def test_a_part_is_read_as_of_a_file(blobs: Blobs) -> None:
    key = await blobs.put(b"0123456789")
    for start, end in ((0, 10), (3, 5), (0, 0), (5, 5), (7, 100), (10, 20), (50, 60), (4, None), (5, 2)):
        assert await blobs.get(key, start, end) == b"0123456789"[start:end], (start, end)
        assert b"".join([part async for part in blobs.stream(key, start, end)]) == b"0123456789"[start:end]


async def test_a_stream_is_stored_and_streamed_back(blobs: Blobs) -> None:
    part = os.urandom(1_500_000)
    key, size = await blobs.put_stream(pieces(*[part] * 5), 100_000_000)
    assert size == len(part) * 5
    assert key == hashlib.sha256(part * 5).hexdigest()
    assert b"".join([piece async for piece in blobs.stream(key)]) == part * 5


async def test_an_empty_stream_is_a_blob_too(blobs: Blobs) -> None:
    assert await blobs.put_stream(pieces(), 10) == (hashlib.sha256(b"").hexdigest(), 0)


async def test_of_a_stream_that_breaks_or_is_too_large_nothing_is_left(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError):
        await blobs.put_stream(broken(), 100)
    with pytest.raises(TooLarge):
        await blobs.put_stream(pieces(b"1234", b"5678"), 7)
    assert await blobs.put_stream(pieces(b"1234", b"567"), 7)
    assert await blobs.usage() == Usage(1, 7)
    assert [path for path in tmp_path.rglob("incoming-*") if path.is_file()] == []


async def test_a_cancelled_upload_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 3_000_000
        begun.set()
        await asyncio.Event().wait()

    uploading = asyncio.create_task(blobs.put_stream(endless(), 10**9))
    await begun.wait()
    uploading.cancel()
    await asyncio.wait([uploading])
    assert [path for path in tmp_path.rglob("incoming-*") if path.is_file()] == []
    assert await all_keys(blobs) == set()


async def test_what_is_not_there_is_not_found(blobs: Blobs) -> None:
    key = "a" * 64
    with pytest.raises(NotFound):
        await blobs.get(key)
    with pytest.raises(NotFound):
        await blobs.get(key, 1, 2)
    with pytest.raises(NotFound):
        await anext(blobs.stream(key))
    assert await blobs.size(key) is None
    assert not await blobs.exists(key)
    await blobs.delete(key)


@pytest.mark.parametrize(
    "key", ["", "../../etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n", "a" * 32 + "/" + "a" * 31]
)
async def test_a_key_of_another_form_reaches_no_file(blobs: Blobs, key: str) -> None:
    with pytest.raises(NotFound):
        await blobs.get(key)
    with pytest.raises(NotFound):
        await blobs.delete(key)


async def test_deleting_takes_one(blobs: Blobs) -> None:
    one, other = await blobs.put(b"one"), await blobs.put(b"other")
    await blobs.delete(one)
    assert await all_keys(blobs) == {other}


async def test_a_sweep_takes_what_is_old_and_not_referred_to(blobs: Blobs) -> None:
    kept, unwanted = await blobs.put(b"kept"), await blobs.put(b"unwanted")
    assert await blobs.sweep({kept}, DAY_S) == 0
    assert await blobs.sweep({kept}, -1) == 1
    assert await all_keys(blobs) == {kept}
    assert not await blobs.exists(unwanted)


async def test_a_blob_that_is_put_again_is_young_again(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    key = await blobs.put(b"again")
    left_over = tmp_path / "incoming" / "incoming-of-a-killed-server"
    left_over.write_bytes(b"half")
    long_ago = time.time() - 3 * DAY_S
    os.utime(blobs._path(key), (long_ago, long_ago))
    os.utime(left_over, (long_ago, long_ago))
    await blobs.put(b"again")
    assert await blobs.sweep(set(), DAY_S) == 0
    assert await blobs.exists(key)
    assert not left_over.exists()


async def test_a_full_disk_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = FolderBlobs(tmp_path)

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(Unavailable, match=r"disk of .* is full"):
            await blobs.put(b"too much")
        with pytest.raises(Unavailable, match=r"disk of .* is full"):
            await blobs.put_stream(pieces(b"too much"), 100)
    assert await all_keys(blobs) == set()
    assert list((tmp_path / "incoming").iterdir()) == []
    assert await blobs.put(b"too much")


PUTTER = """
import asyncio, os, sys
from mainstay.store.blobs import open_blobs
async def main():
    blobs = open_blobs(sys.argv[1])
    async def put():
        while True:
            sys.stdout.write(await blobs.put(os.urandom(200_000)) + "\\n")
            sys.stdout.flush()
    await asyncio.gather(*(put() for _ in range(4)))
asyncio.run(main())
"""


async def test_a_killed_process_leaves_only_whole_blobs(tmp_path: Path) -> None:
    putter = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PUTTER,
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert putter.stdout is not None
    told = [(await putter.stdout.readline()).decode().strip() for _ in range(40)]
    putter.send_signal(signal.SIGKILL)
    await putter.wait()
    blobs = FolderBlobs(tmp_path)
    keys = await all_keys(blobs)
    assert set(told) <= keys
    for key in keys:
        assert hashlib.sha256(await blobs.get(key)).hexdigest() == key


async def test_a_bucket_that_refuses_is_told_in_words_without_the_secret(s3: fake_s3.FakeS3, tmp_path: Path) -> None:
    blobs = bucket(s3, tmp_path)
    s3.denied = True
    try:
        with pytest.raises(Unavailable) as caught:
            await blobs.put(b"x")
    finally:
        s3.denied = False
    assert "s3://logs/ci/one" in caught.value.message
    assert "hush" not in caught.value.message
    assert await blobs.put(b"x") in await all_keys(blobs)


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://bucket?colour=red"])
async def test_a_wrong_bucket_url_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        open_blobs(url)
