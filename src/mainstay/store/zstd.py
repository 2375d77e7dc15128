"""Zstandard frames of bounded size: Python's own module from 3.14 on, its back-port before."""

import sys

from mainstay.model.errors import BadInput, TooLarge

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL = 3


def compress(data: bytes, level: int = LEVEL) -> bytes:
    """`data` as one frame that tells its size and carries a checksum."""
    options = {zstd.CompressionParameter.compression_level: level, zstd.CompressionParameter.checksum_flag: 1}
    return zstd.compress(data, options=options)


def decompress(data: bytes, limit_bytes: int) -> bytes:
    """The bytes of one or more frames. Raises TooLarge beyond `limit_bytes` (nothing more is unpacked), BadInput."""
    parts, left = [], limit_bytes
    rest = data
    try:
        while rest:
            decompressor = zstd.ZstdDecompressor()
            part = decompressor.decompress(rest, max_length=left + 1)
            left -= len(part)
            if left < 0:
                raise TooLarge(f"the data unpacks to more than {limit_bytes} bytes, which is the limit here")
            if not decompressor.eof:
                raise BadInput("the zstd data ends in the middle of a frame")
            parts.append(part)
            rest = decompressor.unused_data
    except zstd.ZstdError as error:
        raise BadInput(f"the data is not zstd: {error}") from None
    return b"".join(parts)
