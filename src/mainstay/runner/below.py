"""Opens files of a job's folders for the runner, wherever their names lead by then.

The runner sees more than a job in a sandbox does. A link of the job may lead to what only the runner may read, and a
program of the job may put one in a file's place after it was looked at. So a file is opened first, and what was opened
is judged: it must be a plain file that lies in the job's folder.
"""

import errno
import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_TEXT = 1 << 20
"""Bytes of a file that is read for its text, such as `.python-version`."""


class Elsewhere(OSError):
    """It is no plain file of the job's folder."""


@contextmanager
def opened(top: Path, path: Path) -> Iterator[int]:
    """A descriptor of the plain file at `path`, which lies below `top`. Raises Elsewhere, OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Elsewhere(errno.EINVAL, "it is no plain file", str(path))
        if not _place(fd, path).is_relative_to(top.resolve()):
            raise Elsewhere(errno.EACCES, "it leads out of the job's folder", str(path))
        yield fd
    finally:
        os.close(fd)


def text(top: Path, path: Path) -> str:
    """What the file says. Raises OSError, and ValueError for what is no UTF-8."""
    with opened(top, path) as fd, os.fdopen(os.dup(fd), "rb") as file:
        data = file.read(MAX_TEXT + 1)
    if len(data) > MAX_TEXT:
        raise OSError(errno.EFBIG, f"it is larger than {MAX_TEXT >> 20} MiB", str(path))
    return data.decode("utf-8-sig")


def into_zip(bundle: zipfile.ZipFile, top: Path, path: Path, name: str) -> int:
    """Put the file into a bundle; its size. Raises OSError, and ValueError for a name that no zip can have."""
    with opened(top, path) as fd:
        # By its descriptor: its name may lead elsewhere by now.
        bundle.write(f"/dev/fd/{fd}", name)
        return os.fstat(fd).st_size


def _place(fd: int, path: Path) -> Path:
    try:
        return Path(os.readlink(f"/proc/self/fd/{fd}"))
    except OSError:  # not Linux, where there is no sandbox either
        return path.resolve()
