"""Zstandard for log frames, reports and backups, with limits against input that unpacks to too much."""

import sys

from mainstay.model.errors import BadInput, TooLarge

if sys.version_info >= (3, 14):
    from compression.zstd import CompressionParameter, DecompressionParameter, ZstdDecompressor, ZstdError, ZstdFile
    from compression.zstd import compress as _compress
else:
    from backports.zstd import CompressionParameter, DecompressionParameter, ZstdDecompressor, ZstdError, ZstdFile
    from backports.zstd import compress as _compress

__all__ = ["OPTIONS", "WRITE_OPTIONS", "ZstdError", "ZstdFile", "compress", "decompress"]

LEVEL = 3
"""400 MB/s and a tenth of the size on logs; higher levels cost far more than they save."""
WINDOW_LOG = 23
"""Unpacking may look back 8 MiB, which is what `zstd -19` uses: a frame may not ask for more memory than that."""
OPTIONS: dict[int, int] = {DecompressionParameter.window_log_max: WINDOW_LOG}
WRITE_OPTIONS: dict[int, int] = {CompressionParameter.compression_level: LEVEL, CompressionParameter.checksum_flag: 1}
"""For files that are kept: each frame ends with a checksum of its content."""


def compress(data: bytes, level: int = LEVEL) -> bytes:
    """One frame."""
    return _compress(data, level)


def decompress(data: bytes, max_bytes: int) -> bytes:
    """The content of one or more whole frames.

    Raises `TooLarge` when there is more than `max_bytes` of it, `BadInput` when it is not Zstandard or is cut short. No
    more than `max_bytes` + 1 are ever unpacked.
    """
    parts: list[bytes] = []
    left = max_bytes
    try:
        while data:
            decompressor = ZstdDecompressor(options=OPTIONS)
            part = decompressor.decompress(data, left + 1)
            if len(part) > left:
                raise TooLarge(
                    f"The compressed content unpacks to more than the {max_bytes} bytes that are allowed here."
                )
            if not decompressor.eof:
                raise BadInput(
                    "The compressed content is cut short: its last Zstandard frame has no end. Send it whole."
                )
            parts.append(part)
            left -= len(part)
            data = decompressor.unused_data
    except ZstdError as error:
        raise BadInput(f"The content is not valid Zstandard, or needs a window over 8 MiB: {error}") from error
    return parts[0] if len(parts) == 1 else b"".join(parts)
