"""Bytes that are too many for the database: frames of logs, artifacts, caches. This is the way in; see `content`."""

from pathlib import Path

from mainstay.store.content import Blobs, Usage
from mainstay.store.folder import FolderBlobs

__all__ = ["Blobs", "Usage", "open_blobs"]


def open_blobs(where: str, spool: Path | None = None) -> Blobs:
    """The blob store in a folder, or at `s3://BUCKET/PREFIX?endpoint=URL&region=NAME`.

    `spool` is where streams on their way to a bucket are kept meanwhile; None: the system's temporary folder.
    """
    if where.startswith("s3://"):
        # Imported here because a server with a folder needs none of obstore (30 ms, 10 MB).
        from mainstay.store.bucket import BucketBlobs  # noqa: PLC0415

        return BucketBlobs.open(where, spool)
    return FolderBlobs(Path(where.removeprefix("file://")))
