"""Backups: everything comes back, on either kind of database, and hostile files come to nothing."""

import asyncio
import hashlib
import io
import stat
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Table, insert, select
from tests.conftest import KINDS, DatabaseUrls

from mainstay.model.errors import BadInput, Conflict, MainstayError
from mainstay.store import zstd
from mainstay.store.archive import ArchiveWriter
from mainstay.store.backup import backup
from mainstay.store.blobs import Blobs, open_blobs
from mainstay.store.database import Database, Tx, open_database
from mainstay.store.restore import restore
from mainstay.store.schema import artifacts, attempts, builds, jobs, log_pieces, metadata, plans, repositories, settings

pytestmark = pytest.mark.anyio

AT = datetime(2026, 11, 20, 12, 0, 0, 123000, tzinfo=UTC)
RESTORED = pytest.mark.parametrize("restored_kind", KINDS)


def sample_of(column: Any, number: int) -> Any:
    """A value that fits any column without a default: what matters is that it comes back."""
    name = type(column.type).__name__
    values = {
        "Moment": AT,
        "JsonText": {"z": [1, None, "é\u0000"], "a": True},
        "Boolean": number % 2 == 0,
        "Float": 0.1,
        "LargeBinary": bytes(range(256)),
        "Integer": number,
        "BigInteger": 2**53 + number,
    }
    return values.get(name, f"é \n\t{number}"[: getattr(column.type, "length", None) or 100])


def fill(tx: Tx, blob: str) -> None:
    """A row in each table of the main road, and a few hundred small ones."""
    known: dict[Table, dict[str, Any]] = {
        repositories: {"id": 7, "name": "demo"},
        plans: {"digest": "p" * 64},
        builds: {"id": 41, "repository_id": 7, "plan": "p" * 64, "push_id": None, "number": 1},
        jobs: {"id": 90, "build_id": 41, "repository_id": 7, "reused_from": None},
        attempts: {"id": 91, "job_id": 90, "runner_id": None, "number": 1},
        log_pieces: {"attempt_id": 91, "start": 0, "size": 3, "blob": blob},
        artifacts: {"id": 5, "attempt_id": 91, "blob": blob},
    }
    for table, values in known.items():
        row = {c.name: sample_of(c, 1) for c in table.columns if c.name not in values} | values
        tx.conn.execute(insert(table).values(row))
    tx.conn.execute(insert(settings), [{"name": f"n{n}", "value": n} for n in range(1200)])


def everything(tx: Tx) -> dict[str, list[Any]]:
    return {
        table.name: sorted(map(repr, tx.conn.execute(select(table)).mappings().all()))
        for table in metadata.sorted_tables
    }


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return open_blobs(str(tmp_path / "blobs"))


@pytest.fixture
async def filled(database: Database, blobs: Blobs) -> Database:
    blob = await blobs.put(b"log" * 100_000)
    await database.write(fill, blob)
    await blobs.put(b"nobody refers to me")
    return database


@RESTORED
async def test_everything_comes_back_on_either_kind(
    filled: Database, blobs: Blobs, tmp_path: Path, database_urls: DatabaseUrls, restored_kind: str
) -> None:
    key_file = tmp_path / "seal.key"
    key_file.write_text("1 secret")
    file = tmp_path / "backup.tar.zst"
    made = await backup(filled, blobs, file, {"seal.key": key_file})
    assert made.blobs.count == 1
    assert made.blobs.missing == ()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    fresh = await open_database(database_urls.new(restored_kind))
    fresh_blobs = open_blobs(str(tmp_path / "fresh" / "blobs"))
    assert await restore(file, fresh, fresh_blobs, tmp_path / "fresh") == made
    assert await fresh.read(everything) == await filled.read(everything)
    assert await fresh_blobs.get(hashlib.sha256(b"log" * 100_000).hexdigest()) == b"log" * 100_000
    assert (tmp_path / "fresh" / "seal.key").read_text() == "1 secret"
    assert stat.S_IMODE((tmp_path / "fresh" / "seal.key").stat().st_mode) == 0o600
    new_id = await fresh.write(
        lambda tx: (
            tx.conn.execute(
                insert(repositories).values({c.name: sample_of(c, 2) for c in repositories.columns if c.name != "id"})
            ).inserted_primary_key
        )
    )
    assert new_id is not None
    assert new_id[0] > 7
    await fresh.close()


async def test_a_backup_of_a_server_that_is_busy_is_of_one_moment(
    database: Database, blobs: Blobs, tmp_path: Path, database_urls: DatabaseUrls
) -> None:
    def put_pair(tx: Tx, number: int) -> None:
        tx.conn.execute(insert(settings).values(name=f"{number}", value=number))
        tx.conn.execute(insert(plans).values(digest=f"{number}", body=number))

    async def keep_writing() -> None:
        for number in range(10**9):
            await database.write(put_pair, number)

    writing = asyncio.create_task(keep_writing())
    for turn in range(3):
        await asyncio.sleep(0.05)
        made = await backup(database, blobs, tmp_path / f"{turn}.tar.zst")
        assert made.tables["settings"].rows == made.tables["plans"].rows > 0
    writing.cancel()
    await asyncio.wait([writing])


async def test_a_blob_that_is_gone_is_named_and_the_rest_is_kept(
    filled: Database, blobs: Blobs, tmp_path: Path
) -> None:
    key = hashlib.sha256(b"log" * 100_000).hexdigest()
    await blobs.delete(key)
    made = await backup(filled, blobs, tmp_path / "b.tar.zst")
    assert made.blobs.missing == (key,)


async def test_a_place_that_is_not_empty_is_refused_and_left_as_it_is(
    filled: Database, blobs: Blobs, tmp_path: Path, database_urls: DatabaseUrls
) -> None:
    file = tmp_path / "b.tar.zst"
    await backup(filled, blobs, file)
    before = await filled.read(everything)
    with pytest.raises(Conflict, match="it has rows in"):
        await restore(file, filled, blobs)
    assert await filled.read(everything) == before
    fresh = await open_database(database_urls.new())
    with pytest.raises(Conflict, match="not of this backup"):
        await restore(file, fresh, blobs)
    with pytest.raises(Conflict, match="file of that name already"):
        await backup(filled, blobs, file)
    await fresh.close()


async def test_a_restore_that_was_interrupted_can_be_done_again(
    filled: Database, blobs: Blobs, tmp_path: Path, database_urls: DatabaseUrls
) -> None:
    file, other = tmp_path / "b.tar.zst", open_blobs(str(tmp_path / "other"))
    (tmp_path / "note").write_text("x")
    await backup(filled, blobs, file, {"note": tmp_path / "note"})
    await other.put(b"log" * 100_000)  # As if it had been interrupted after the blobs and attached files.
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "note").write_text("x")
    fresh = await open_database(database_urls.new())
    await restore(file, fresh, other, tmp_path / "to")
    assert await fresh.read(everything) == await filled.read(everything)
    await fresh.close()


async def test_an_attached_file_never_replaces_another(
    filled: Database, blobs: Blobs, tmp_path: Path, database_urls: DatabaseUrls
) -> None:
    file = tmp_path / "b.tar.zst"
    (tmp_path / "note").write_text("x")
    await backup(filled, blobs, file, {"note": tmp_path / "note"})
    (tmp_path / "note").write_text("mine")
    fresh = await open_database(database_urls.new())
    with pytest.raises(Conflict, match="another file"):
        await restore(file, fresh, open_blobs(str(tmp_path / "other")), tmp_path)
    assert (tmp_path / "note").read_text() == "mine"
    await fresh.close()


# Hostile and damaged files: one kind of database is enough, as none of them gets that far.


@pytest.fixture
async def empty(tmp_path: Path, sqlite_template: Path) -> Any:
    path = tmp_path / "empty.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = await open_database(f"sqlite:///{path}")
    yield database
    await database.close()


@pytest.fixture
async def good(empty: Database, tmp_path: Path) -> bytes:
    """The bytes of a good backup with one blob and one row, unpacked to a plain tar."""
    blobs = open_blobs(str(tmp_path / "source"))
    await empty.write(fill, await blobs.put(b"log"))
    await backup(empty, blobs, tmp_path / "good.tar.zst")
    await empty.write(lambda tx: [tx.conn.execute(table.delete()) for table in reversed(metadata.sorted_tables)])
    with zstd.ZstdFile(tmp_path / "good.tar.zst") as file:
        return file.read()


async def refused(tar: bytes, empty: Database, tmp_path: Path) -> str:
    """Try to restore it; the words of the refusal. Nothing may have been written anywhere."""
    file = tmp_path / "hostile.tar.zst"
    file.write_bytes(zstd.compress(tar))
    place = tmp_path / "place"
    with pytest.raises(BadInput) as caught:
        await restore(file, empty, open_blobs(str(place / "blobs")), place)
    assert not place.exists()
    assert not any((await empty.read(everything)).values())
    return caught.value.message


def with_member(tar: bytes, info: tarfile.TarInfo, data: bytes = b"") -> bytes:
    """The archive with one more member at its beginning."""
    info.size = len(data)
    return info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % 512) + tar


def named(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "info",
    [
        named("../../etc/cron.d/x"),
        named("/etc/passwd"),
        named("attached/../../x"),
        named("attached/..x/y"),
        named("attached/.hidden"),
        named("attached/a\nb"),
        named("tables/../x.jsonl"),
        named("blobs/" + "A" * 64),
        named("attached/link", tarfile.SYMTYPE, "/etc/passwd"),
        named("attached/link", tarfile.LNKTYPE, "/etc/passwd"),
        named("attached", tarfile.DIRTYPE),
        named("attached/fifo", tarfile.FIFOTYPE),
        named("attached/device", tarfile.CHRTYPE),
        named("attached/" + "long" * 100),
        named("blobs/" + "a" * 64),
        named("attached/extra"),
        named("manifest.json"),
    ],
    ids=lambda info: f"{info.name[:20]}-{info.type.decode()}",
)
async def test_a_member_that_does_not_belong_there_is_refused(
    info: tarfile.TarInfo, good: bytes, empty: Database, tmp_path: Path
) -> None:
    data = b"x" if info.type == tarfile.REGTYPE else b""
    assert "cannot be used" in await refused(with_member(good, info, data), empty, tmp_path)


def members_of(tar: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return [(m.name, archive.extractfile(m).read()) for m in archive]  # type: ignore[union-attr]


def rebuilt(members: list[tuple[str, bytes]], tmp_path: Path) -> bytes:
    path = tmp_path / "rebuilt"
    path.unlink(missing_ok=True)
    with ArchiveWriter(path) as archive:
        for name, data in members:
            archive.add(name, data)
    with zstd.ZstdFile(path) as file:
        return file.read()


def change_manifest(change: Callable[[Any], object]) -> Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]:
    def apply(members: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        manifest = msgspec.json.decode(members[-1][1])
        change(manifest)
        return [*members[:-1], ("manifest.json", msgspec.json.encode(manifest))]

    return apply


CHANGES: dict[str, Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]] = {
    "a row changed": lambda ms: [(n, d.replace(b"demo", b"evil")) for n, d in ms],
    "a blob changed": lambda ms: [(n, d if "blobs" not in n else b"gol") for n, d in ms],
    "a blob left out": lambda ms: [(n, d) for n, d in ms if "blobs" not in n],
    "a table left out": lambda ms: ms[1:],
    "a member twice": lambda ms: [ms[0], *ms],
    "no manifest": lambda ms: ms[:-1],
    "manifest not last": lambda ms: [ms[-1], *ms[:-1]],
    "manifest not JSON": lambda ms: [*ms[:-1], ("manifest.json", b"{")],
    "another format": change_manifest(lambda m: m.update(format=2)),
    "an unknown key": change_manifest(lambda m: m.update(more=1)),
    "another count": change_manifest(lambda m: m["blobs"].update(count=0)),
    "other rows": change_manifest(lambda m: m["tables"]["settings"].update(rows=1)),
    "another column": change_manifest(lambda m: m["tables"]["settings"]["columns"].update(evil="text")),
    "another table": change_manifest(lambda m: m["tables"].update(evil=m["tables"].pop("settings"))),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_backup_that_was_changed_is_refused(change: str, good: bytes, empty: Database, tmp_path: Path) -> None:
    members = members_of(good)
    assert rebuilt(members, tmp_path) == good
    assert "cannot be used" in await refused(rebuilt(CHANGES[change](members), tmp_path), empty, tmp_path)


async def test_a_backup_that_is_cut_short_anywhere_is_refused(good: bytes, empty: Database, tmp_path: Path) -> None:
    packed = (tmp_path / "good.tar.zst").read_bytes()
    file = tmp_path / "cut.tar.zst"
    for length in (0, 1, 10, len(packed) // 2, len(packed) - 1):
        file.write_bytes(packed[:length])
        with pytest.raises(BadInput, match="cannot be used"):
            await restore(file, empty, open_blobs(str(tmp_path / "place")))
    for length in (0, 100, 512, len(good) // 2, len(good) - 1024):
        await refused(good[:length], empty, tmp_path)


async def test_a_header_that_claims_terabytes_costs_nothing(good: bytes, empty: Database, tmp_path: Path) -> None:
    for size in (1 << 50, -(1 << 40)):
        for kind in (tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
            info = named("attached/x", kind)
            info.size = size
            await refused(info.tobuf(tarfile.GNU_FORMAT) + good, empty, tmp_path)


async def test_a_backup_of_a_newer_version_is_refused_in_words(good: bytes, empty: Database, tmp_path: Path) -> None:
    members = change_manifest(lambda m: m.update(revision="9999", mainstay="9.0.9"))(members_of(good))
    file = tmp_path / "old.tar.zst"
    file.write_bytes(zstd.compress(rebuilt(members, tmp_path)))
    with pytest.raises(Conflict, match=r"made by Mainstay 9\.0\.9"):
        await restore(file, empty, open_blobs(str(tmp_path / "place")))


async def test_a_backup_that_fails_leaves_no_file(empty: Database, tmp_path: Path) -> None:
    with pytest.raises(MainstayError):
        await backup(empty, open_blobs(str(tmp_path / "b")), tmp_path / "b.tar.zst", {"../x": tmp_path / "empty.db"})
    assert not [path for path in tmp_path.iterdir() if "tar.zst" in path.name or path.name.startswith(".backup")]
