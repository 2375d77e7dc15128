"""Sizes as people write them: `512 MB`, `2GiB`, `1073741824`. Decimal and binary units mean what they say."""

import re

from mainstay.model.plan import Json

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def size_bytes(value: Json) -> int | None:
    """The size, or None when that is none."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]*)", str(value).strip())
    if match is None or match[2].upper() not in UNITS:
        return None
    return int(float(match[1]) * UNITS[match[2].upper()]) or None
