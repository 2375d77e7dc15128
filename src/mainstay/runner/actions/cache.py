"""`actions/cache`: folders kept for later builds, on the server. A cache that cannot be had or kept fails no job.

The package caches of pip and uv are shared by the jobs of a runner without it.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mainstay.model.errors import BadInput, MainstayError
from mainstay.runner.actions.call import ActionFailed, Call
from mainstay.runner.actions.places import placed, roots
from mainstay.runner.pack import FORMAT, Place, choose, pack, unpack
from mainstay.wire.runner import CacheFound


@dataclass(frozen=True, slots=True)
class _Asked:
    """The inputs that say which cache is meant."""

    key: str
    prefixes: tuple[str, ...]
    wanted: tuple[Place, ...]
    unwanted: tuple[Place, ...]
    version: str
    """Caches of other paths or another format do not fit."""


async def cache(call: Call) -> None:
    """Inputs: path, key, restore-keys, lookup-only, fail-on-cache-miss, save-always.

    Outputs: cache-hit, cache-primary-key, cache-matched-key. Saved at the end of a job that has succeeded, unless the
    exact key was found.
    """
    asked = _asked(call)
    always = call.flag("save-always", default=False)
    found = await _restore(call, asked)
    if found is not None and found.key == asked.key:
        return

    async def afterwards(succeeded: bool) -> None:
        if succeeded or (always and call.situation.stop is None):
            await _save(call, asked)

    call.after(afterwards)


async def restore(call: Call) -> None:
    """`actions/cache/restore`: the same without saving."""
    await _restore(call, _asked(call))


async def save(call: Call) -> None:
    """`actions/cache/save`: now. Inputs: path, key."""
    await _save(call, _asked(call))


def _asked(call: Call) -> _Asked:
    key = call.input("key")
    if not key:
        raise ActionFailed("the input key is missing")
    if len(key) > 512 or "," in key:
        raise ActionFailed("the key of a cache has at most 512 characters and no comma")
    lines = [line.strip() for line in call.inputs.get("path", "").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise ActionFailed("the input path is missing: what is to be kept?")
    wanted, unwanted = list[Place](), list[Place]()
    for line in lines:
        place = placed(call, line.removeprefix("!").strip())
        if place is None:
            call.warn(f"{line} is left out: it is neither in the work tree nor in HOME nor in RUNNER_TEMP")
        else:
            (unwanted if line.startswith("!") else wanted).append(place)
    version = hashlib.sha256("\n".join((FORMAT, *lines)).encode()).hexdigest()
    prefixes = tuple(line.strip() for line in call.inputs.get("restore-keys", "").splitlines() if line.strip())
    return _Asked(key, prefixes, tuple(wanted), tuple(unwanted), version)


async def _restore(call: Call, asked: _Asked) -> CacheFound | None:
    """The cache that was found, and unpacked unless it was only looked up."""
    call.outputs.update({"cache-hit": "", "cache-primary-key": asked.key, "cache-matched-key": ""})
    found = await _found(call, asked)
    if found is None:
        await call.say(f"No cache fits {asked.key}")
        if call.flag("fail-on-cache-miss", default=False):
            raise ActionFailed(f"there is no cache with the key {asked.key}, and fail-on-cache-miss is set")
        return None
    exact = found.key == asked.key
    call.outputs.update({"cache-hit": str(exact).lower(), "cache-matched-key": found.key})
    return found


async def _found(call: Call, asked: _Asked) -> CacheFound | None:
    bundle = call.scratch / "cache.tar.zst"
    try:
        found = await call.reach(call.shelf.find_cache(asked.key, asked.prefixes, asked.version))
        if found is None:
            return None
        if call.flag("lookup-only", default=False):
            await call.say(f"The cache {found.key} is there; it was only looked up")
            return found
        await call.reach(call.shelf.fetch_cache(found, bundle))
        count, links = await call.reach(call.machine.threads.run(unpack, bundle, roots(call), call.go_on))
    except ActionFailed:
        raise
    except (MainstayError, OSError) as error:
        call.warn(f"the cache {asked.key} could not be restored: {error}")
        return None
    finally:
        bundle.unlink(missing_ok=True)
    without = f", without {links} links that lead out of the job's folders" if links else ""
    await call.say(f"The cache {found.key} is restored: {_size(found.size_bytes)}, {count} entries{without}")
    return found


async def _save(call: Call, asked: _Asked) -> None:
    """Never raises."""
    bundle = call.scratch / "cache.tar.zst"
    try:
        await _pack_and_put(call, asked, bundle)
    except ActionFailed as error:
        call.warn(f"the cache {asked.key} was not kept: {error}")
    except BadInput as error:
        call.warn(f"the cache {asked.key} was not kept: path: {error}")
    except (MainstayError, OSError) as error:
        call.warn(f"the cache {asked.key} could not be kept: {error}")
    finally:
        bundle.unlink(missing_ok=True)
    await call.tell()


async def _pack_and_put(call: Call, asked: _Asked, bundle: Path) -> None:
    threads, folders = call.machine.threads, roots(call)
    chosen = await call.reach(threads.run(choose, folders, asked.wanted, asked.unwanted))
    if not chosen:
        call.warn(f"the cache {asked.key} was not kept: there is nothing at its paths")
        return
    digest = await call.reach(threads.run(pack, folders, chosen, bundle, call.go_on))
    size = bundle.stat().st_size
    refused = await call.reach(call.shelf.put_cache(asked.key, asked.version, digest, bundle))
    if refused:
        await call.say(f"The cache {asked.key} is not kept: {refused}")
    else:
        await call.say(f"The cache {asked.key} is kept: {_size(size)}, {len(chosen)} entries")


def _size(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB" if count >= 1 << 20 else f"{count / (1 << 10):.1f} KiB"
