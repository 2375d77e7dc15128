"""The standard library's zstd where there is one (Python 3.14), else the same code from `backports`."""

import sys

if sys.version_info >= (3, 14):
    from compression.zstd import CompressionParameter, ZstdCompressor, ZstdError, ZstdFile, compress, decompress
else:
    from backports.zstd import CompressionParameter, ZstdCompressor, ZstdError, ZstdFile, compress, decompress

__all__ = ["CompressionParameter", "ZstdCompressor", "ZstdError", "ZstdFile", "compress", "decompress"]
