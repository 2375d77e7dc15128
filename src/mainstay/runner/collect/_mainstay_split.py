"""Divides a suite among shards by measured durations: for the pytest plugin, and as `mainstay split` within jobs.

All shards of a build are given the same durations (`durations.json` beside the test reports), and the division follows
from names and durations alone, so that every test is in exactly one shard. Standard library only, Python 3.8 to 3.14.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable
from heapq import heapify, heapreplace

FOLDER = "MAINSTAY_TESTS_DIR"
SHARD = "MAINSTAY_SHARD"
FILE = "durations.json"
MAX_SHARDS = 1000


class BadShard(ValueError):
    """What was given is no shard."""


def parse(text: str) -> tuple[int, int]:
    """`2/5` as (2, 5). Raises BadShard."""
    found = re.match(r"(\d{1,4})/(\d{1,4})\Z", text.strip())
    index, shards = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= index <= shards <= MAX_SHARDS:
        raise BadShard(f"a shard is written I/N with 1 <= I <= N <= {MAX_SHARDS}, as in 2/5, not {text[:40]!r}")
    return index, shards


def read(folder: str | None) -> dict[str, float]:
    """The durations that the server has given to this build, in seconds by name; none where there are none."""
    try:
        with open(os.path.join(folder or "", FILE), encoding="utf-8") as file:
            found = json.load(file)
        return {str(name): float(seconds) for name, seconds in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def divided(names: Iterable[str], shards: int, durations: dict[str, float]) -> dict[str, int]:
    """The shard (from 1) of each name.

    The longest first, each to the shard that has the least so far. What was never measured counts as the median of what
    was; where nothing was, the names' hashes decide, which keeps a test in its shard when others come and go.
    """
    wanted = sorted(set(names))
    known = sorted(durations[name] for name in wanted if name in durations)
    if not known:
        return {name: int(_hash(name)[:8], 16) % shards + 1 for name in wanted}
    usual = known[len(known) // 2]
    loads = [(0.0, shard) for shard in range(1, shards + 1)]
    heapify(loads)
    found = {}
    for name in sorted(wanted, key=lambda each: (-durations.get(each, usual), _hash(each))):
        load, shard = loads[0]
        found[name] = shard
        heapreplace(loads, (load + max(durations.get(name, usual), 0.000001), shard))
    return found


def of_files(names: Iterable[str], durations: dict[str, float]) -> dict[str, float]:
    """The durations with those of files (`tests/test_a.py`) and dotted modules among `names`: sums of their tests."""
    sums: dict[str, float] = {}
    for test, seconds in durations.items():
        path = test.split("::", 1)[0]
        if path != test:
            sums[path] = sums.get(path, 0.0) + seconds
            continue
        parts = test.split(".")
        for end in range(1, len(parts)):
            module = ".".join(parts[:end])
            sums[module] = sums.get(module, 0.0) + seconds
    found = dict(durations)
    for name in names:
        for key in (name, os.path.normpath(name), name[:-3].replace("/", ".") if name.endswith(".py") else name):
            if name not in found and key in sums:
                found[name] = sums[key]
    return found


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def collected(lines: Iterable[str]) -> list[str]:
    """The tests that `pytest --collect-only -q` lists, without what else it prints."""
    return [line for line in (each.rstrip("\r\n") for each in lines) if "::" in line and not line.startswith(" ")]


def main(arguments: list[str] | None = None, folder: str | None = None) -> int:
    """Print the names of one shard, in the order they were given. `folder`: where the durations are."""
    parser = argparse.ArgumentParser(
        prog="mainstay split", description="Print the tests or files of one shard, divided by time."
    )
    parser.add_argument("--shards", type=int, help="how many there are")
    parser.add_argument("--index", type=int, help=f"which one, from 1; with --shards in place of {SHARD}=I/N")
    parser.add_argument("--from-pytest-collection", action="store_true", help="read `pytest --collect-only -q`")
    parser.add_argument("names", nargs="*", help="test ids or files; none: a line each on standard input")
    given = parser.parse_args(arguments)
    try:
        told = os.environ.get(SHARD, "") if given.shards is None else f"{given.index}/{given.shards}"
        index, shards = parse(told)
    except BadShard as error:
        parser.error(f"{error}; give --index and --shards, or set {SHARD}")
    lines = given.names or sys.stdin
    names = collected(lines) if given.from_pytest_collection else [line.rstrip("\r\n") for line in lines]
    names = [name for name in names if name]
    durations = of_files(names, read(folder or os.environ.get(FOLDER)))
    shard_of = divided(names, shards, durations)
    for name in names:
        if shard_of[name] == index:
            sys.stdout.write(name + "\n")
    if not any(name in durations for name in names):
        sys.stderr.write("nothing is known of how long these take: they are divided by their names\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
