"""What a runner knows of its attempts, on its own disk, until the server has it: one folder per attempt.

    journal/ATTEMPT/assignment.json   what was to be run, without contexts, tokens and secrets
                    log, masked       see `logfile`
                    tests.jsonl       test reports, written when the job has ended
                    artifacts/N.json, N.zip
                    finish.json       how it ended: written and synced before it is sent

Deleted only when the server has stored the end, or does not want the attempt any more. A folder that cannot be read is
put aside (`broken/`), so it never stops the runner and never disappears either.
"""

import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mainstay.runner.logfile import LogFile
from mainstay.wire.runner import Artifact, Assignment, Finish

ASSIGNMENT = "assignment.json"
FINISH = "finish.json"
TESTS = "tests.jsonl"
ARTIFACTS = "artifacts"
ASIDE = "broken"
MAX_ASIDE = 20
"""Unreadable journals that are kept for people to look at; older ones are removed."""

log = logging.getLogger(__name__)


class Kept(msgspec.Struct, frozen=True):
    """The content of assignment.json."""

    assignment: Assignment
    """Without contexts, the source's token and what is to be hidden: no secret is written down."""
    hides: bool
    """Whether values were hidden from the log's first byte on, so that only `masked` may leave this machine."""


class Ended(msgspec.Struct, frozen=True):
    """The content of finish.json."""

    finish: Finish
    """Without its log tail."""
    masked_from: int | None = None


@dataclass(frozen=True, slots=True)
class KeptArtifact:
    """An artifact that waits for its delivery."""

    artifact: Artifact
    path: Path


class Journal:
    """One attempt's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.attempt = int(folder.name)
        self.ended: Ended | None = None
        """How it ended, once that is on disk (or could at least be kept in memory)."""
        self._log: LogFile | None = None

    @property
    def log(self) -> LogFile:
        """The attempt's log, opened when first asked for."""
        if self._log is None:
            self._log = LogFile(self.folder, self.ended.masked_from if self.ended else None)
        return self._log

    @property
    def tests(self) -> Path:
        """Where the test reports are, if there are any."""
        return self.folder / TESTS

    @property
    def size_bytes(self) -> int:
        """What it takes on disk. It may be removed meanwhile by the thread that delivered it."""
        total = 0
        for path in _files(self.folder):
            with contextlib.suppress(FileNotFoundError):
                total += path.lstat().st_size
        return total

    def kept(self) -> Kept:
        """The assignment as it was written down. Raises OSError, msgspec.MsgspecError."""
        return msgspec.json.decode((self.folder / ASSIGNMENT).read_bytes(), type=Kept)

    def end(self, finish: Finish) -> None:
        """Write down how the attempt ended, safe from a power cut. With a full disk it is only kept in memory."""
        self.ended = Ended(finish, None if self._log is None else self._log.masked_from)
        try:
            write_synced(self.folder / FINISH, msgspec.json.encode(self.ended))
        except OSError as error:
            log.warning(
                "attempt %d: its end could not be written down (%s); it is delivered from memory", self.attempt, error
            )

    def keep_artifact(self, name: str) -> Path:
        """Where to write the artifact's zip; `kept_artifact` makes it count."""
        folder = self.folder / ARTIFACTS
        folder.mkdir(exist_ok=True)
        return folder / f"{len(list(folder.iterdir())) + 1}-{name[:40].encode().hex()}.zip"

    def kept_artifact(self, artifact: Artifact, path: Path) -> KeptArtifact:
        """The zip at `path` is whole: it will be delivered."""
        write_synced(path.with_suffix(".json"), msgspec.json.encode(artifact))
        return KeptArtifact(artifact, path)

    def artifacts(self) -> tuple[KeptArtifact, ...]:
        """All that are whole, oldest first."""
        found = []
        for path in sorted((self.folder / ARTIFACTS).glob("*.json"), key=lambda each: int(each.name.split("-")[0])):
            try:
                artifact = msgspec.json.decode(path.read_bytes(), type=Artifact)
            except (OSError, msgspec.MsgspecError) as error:
                log.warning("attempt %d: %s is unreadable: %s", self.attempt, path.name, error)
                continue
            found.append(KeptArtifact(artifact, path.with_suffix(".zip")))
        return tuple(found)

    def close(self) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def remove(self) -> None:
        """Everything is safe on the server, or nobody wants it."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Journals:
    """The folder of all journals."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def open(self, assignment: Assignment, masks: tuple[str, ...]) -> Journal:
        """A new journal. Secrets stay in memory, `masks` among them. Raises OSError (a full disk)."""
        folder = self.folder / str(assignment.attempt)
        folder.mkdir(mode=0o700)
        source = msgspec.structs.replace(assignment.source, token="")
        bare = msgspec.structs.replace(assignment, source=source, contexts={}, masks=())
        kept = Kept(bare, bool(masks))
        try:
            fd = os.open(folder / ASSIGNMENT, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(kept))
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return Journal(folder)

    def found(self) -> list[Journal]:
        """What earlier runs of this runner left, in the order of the attempts; `ended` is set where there is an end."""
        journals = []
        for folder in sorted(self.folder.iterdir(), key=lambda each: (len(each.name), each.name)):
            if folder.name == ASIDE:
                continue
            try:
                journals.append(_read(folder))
            except (OSError, ValueError, msgspec.MsgspecError) as error:
                log.warning("the journal %s cannot be read and is put aside: %s", folder, error)
                self._put_aside(folder)
        return journals

    def _put_aside(self, folder: Path) -> None:
        aside = self.folder / ASIDE
        with contextlib.suppress(OSError):
            aside.mkdir(exist_ok=True)
            shutil.rmtree(aside / folder.name, ignore_errors=True)
            folder.rename(aside / folder.name)
            oldest = sorted(aside.iterdir(), key=lambda each: each.lstat().st_mtime)
            for each in oldest[:-MAX_ASIDE]:
                shutil.rmtree(each, ignore_errors=True)


def write_synced(path: Path, content: bytes) -> None:
    """Write a file so that after a power cut it is there whole or not at all. Raises OSError."""
    temporary = path.with_name(path.name + ".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(fd, left) :]
        os.fdatasync(fd)
    finally:
        os.close(fd)
    temporary.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot sync a folder
            raise
    finally:
        os.close(folder)


def _read(folder: Path) -> Journal:
    journal = Journal(folder)
    try:
        content = (folder / FINISH).read_bytes()
    except FileNotFoundError:
        return journal
    journal.ended = msgspec.json.decode(content, type=Ended)
    return journal


def _files(folder: Path) -> Iterator[Path]:
    """All regular files below; a folder that is removed meanwhile has none."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path
