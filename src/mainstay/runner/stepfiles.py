"""The files through which a step speaks to the runner: GITHUB_OUTPUT, GITHUB_ENV, GITHUB_PATH ..."""

import os
import stat
from pathlib import Path

from mainstay.workflow.command_files import CommandFileError

KINDS = ("output", "env", "path", "state", "step_summary")
MAX_BYTES = 16 << 20


class StepFiles:
    """Those of one step, made empty before it starts."""

    def __init__(self, folder: Path, label: str, mode: int = 0o644) -> None:
        self._paths = {kind: folder / f"{kind}-{label}" for kind in KINDS}
        for path in self._paths.values():
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            if mode != 0o644:
                os.fchmod(fd, mode)
            os.close(fd)

    @property
    def variables(self) -> dict[str, str]:
        """Where the step finds them."""
        return {f"GITHUB_{kind.upper()}": str(path) for kind, path in self._paths.items()}

    def read(self, kind: str) -> bytes:
        """What the step wrote. A file that it deleted is empty. Raises CommandFileError for what is no plain file.

        The job may have put anything in its place: a link to a file that it may not read itself, an endless pipe.
        """
        name = f"GITHUB_{kind.upper()}"
        try:
            fd = os.open(self._paths[kind], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise CommandFileError(f"{name} cannot be read: the job replaced the file ({error.strerror})") from None
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise CommandFileError(f"{name} cannot be read: the job replaced the file")
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise CommandFileError(f"{name} is larger than {MAX_BYTES >> 20} MiB, the limit")
        return content
