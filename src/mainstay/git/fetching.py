"""Bringing many objects into a mirror: from a repository on this machine as one pack, from a remote by `git fetch`."""

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mainstay.git.process import GitError, Process, failed, run, timed_out
from mainstay.git.source import LocalRepository

TIMEOUT_S = 3600.0

TOLERATED = (
    # Old histories of well known projects hold these; git itself reads them without harm.
    "badDateOverflow",
    "badEmail",
    "badTimezone",
    "missingEmail",
    "missingNameBeforeEmail",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
    "missingTaggerEntry",
    "nullSha1",
    "zeroPaddedDate",
    "zeroPaddedFilemode",
)
UNPACK = {
    # Always whole packs, never unpacked objects: a fetch that is killed leaves all of its objects or none.
    "fetch.unpackLimit": "1",
}


def strict(section: str) -> dict[str, str]:
    """Settings that have every object checked that comes over a network; `section` is `fetch` or `receive`."""
    return {f"{section}.fsckObjects": "true"} | {f"{section}.fsck.{name}": "warn" for name in TOLERATED}


async def copy_pack(source: LocalRepository, mirror: Path, wants: Sequence[str], haves: Sequence[str]) -> None:
    """Everything that `wants` refer to and `haves` do not, as one pack. Both must be there in `source`.

    The source's own walk proves that nothing is missing, index-pack that every byte is right.
    """
    revisions = "".join([*(f"{sha}\n" for sha in wants), *(f"^{sha}\n" for sha in haves)])
    pack = ("pack-objects", "--revs", "--thin", "--delta-base-offset", "--stdout", "-q")
    reading, writing = os.pipe()
    try:
        sender = Process(pack, git_dir=source.git_dir, stdout=writing)
        os.close(writing)
        writing = -1
        async with asyncio.timeout(TIMEOUT_S), sender, sender.fed(revisions.encode()):
            taker = Process(("index-pack", "--stdin", "--fix-thin"), git_dir=mirror, stdin=reading)
            os.close(reading)
            reading = -1
            async with taker:
                await taker.read_all(1000)
                taken, sent = await taker.wait(), await sender.wait()
    except TimeoutError:
        raise timed_out(pack, TIMEOUT_S, sender.stderr) from None
    finally:
        for descriptor in (reading, writing):
            if descriptor >= 0:
                os.close(descriptor)
    if sent != 0:
        raise failed(pack, sent, sender.stderr)
    if taken != 0:
        raise failed(taker.args, taken, taker.stderr)


async def fetch(
    mirror: Path,
    url: str,
    wants: Mapping[str, str],
    env: Mapping[str, str] | None,
    config: Mapping[str, str] | None = None,
) -> None:
    """The objects of `wants` (ref to id) from a remote. Asked for by id; by name where the remote refuses that."""
    config = {**UNPACK, **strict("fetch"), **(config or {})}
    try:
        await _fetch(mirror, url, wants.values(), env, config)
    except GitError as error:
        if "unadvertised object" not in error.stderr and "not our ref" not in error.stderr:
            raise
        await _fetch(mirror, url, wants.keys(), env, config)


async def _fetch(
    mirror: Path, url: str, what: Iterable[str], env: Mapping[str, str] | None, config: Mapping[str, str]
) -> None:
    await run(
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-recurse-submodules",
        "--no-auto-maintenance",
        "--update-shallow",
        "--stdin",
        "--end-of-options",
        url,
        git_dir=mirror,
        stdin="".join(f"{name}\n" for name in dict.fromkeys(what)).encode(),
        env=env,
        config=config,
        timeout_s=TIMEOUT_S,
    )
