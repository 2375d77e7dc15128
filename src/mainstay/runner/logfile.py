"""An attempt's log on the runner's disk.

`log` holds the bytes as they were printed. Once a secret is to be hidden, `masked` takes over from that place on: what
may leave the runner is `log` up to `masked_from` and then all of `masked`. Offsets in the rest of Mainstay count that.
"""

import os
from pathlib import Path

RAW = "log"
MASKED = "masked"


class LogFile:
    """The bytes of one log. Read and written by offset, so threads do not get in each other's way."""

    def __init__(self, folder: Path, masked_from: int | None = None) -> None:
        """Opens the log in `folder`, or makes it. `masked_from`: where `masked` took over, as it was told before."""
        self._folder = folder
        self.raw_fd = os.open(folder / RAW, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._masked_fd: int | None = None
        self.masked_from = masked_from
        self.masked_bytes = 0
        if masked_from is not None:
            self._masked_fd = os.open(folder / MASKED, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self.masked_bytes = os.fstat(self._masked_fd).st_size

    @property
    def raw_bytes(self) -> int:
        """How many bytes as printed are in the file."""
        return os.fstat(self.raw_fd).st_size

    def mask_from(self, offset: int) -> None:
        """From this offset of the printed bytes on, only what `append_masked` is given leaves the runner."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._masked_fd = os.open(self._folder / MASKED, flags, 0o600)
        self.masked_from, self.masked_bytes = offset, 0

    def take_masked(self) -> None:
        """Go on with what an earlier process hid from the first byte on; nothing of `log` leaves the runner."""
        self._masked_fd = os.open(self._folder / MASKED, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.masked_from, self.masked_bytes = 0, os.fstat(self._masked_fd).st_size

    def append_masked(self, data: bytes) -> None:
        """Bytes in which secrets have been hidden. Raises OSError when the disk is full."""
        if self._masked_fd is None:
            raise ValueError("mask_from comes first")
        left = memoryview(data)
        while left:
            written = os.pwrite(self._masked_fd, left, self.masked_bytes)
            self.masked_bytes += written
            left = left[written:]

    def read_raw(self, offset: int, size: int) -> bytes:
        """As printed; shorter at the end of the file."""
        return os.pread(self.raw_fd, size, offset)

    def read(self, offset: int, size: int) -> bytes:
        """What may leave the runner; may be shorter than asked for. The caller knows up to where it is ready."""
        if self.masked_from is None or self._masked_fd is None:
            return os.pread(self.raw_fd, size, offset)
        before = self.masked_from - offset
        if before <= 0:
            return os.pread(self._masked_fd, size, -before)
        raw = os.pread(self.raw_fd, min(size, before), offset)
        # Across the border in one piece: whoever sends the end of a log takes less than asked for to be all there is.
        return raw if len(raw) < before or size <= before else raw + os.pread(self._masked_fd, size - before, 0)

    def close(self) -> None:
        """Close the files. May be called twice."""
        if self.raw_fd >= 0:
            os.close(self.raw_fd)
            self.raw_fd = -1
        if self._masked_fd is not None:
            os.close(self._masked_fd)
            self._masked_fd = None
