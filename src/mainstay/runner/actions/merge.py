"""`actions/upload-artifact/merge`: artifacts of the build put together as one, from zip to zip."""

import shutil
import zipfile
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from mainstay.model.errors import MainstayError
from mainstay.runner.actions import artifacts, download
from mainstay.runner.actions.call import ActionFailed, Call
from mainstay.runner.unpack import MAX_ENTRIES, parts_of


async def merge(call: Call) -> None:
    """Inputs: name, pattern, separate-directories, if-no-files-found, retention-days, compression-level.

    `delete-merged` has no effect: what was merged stays until its time is over.
    """
    name = artifacts.checked_name(call.input("name", "merged-artifacts"))
    pattern, apart = call.input("pattern", "*"), call.flag("separate-directories", default=False)
    level, days = artifacts.number(call, "compression-level", 6), artifacts.number(call, "retention-days", 0)
    found = await download.listed(call)
    chosen = [each for each in found if each.kind == "artifact" and fnmatchcase(each.name, pattern)]
    chosen = [each for each in chosen if each.name != name]
    if not chosen:
        artifacts.nothing(call, f"no artifact of this build has a name like {pattern}", default="error")
        return
    bundles: list[tuple[str, Path]] = []
    try:
        for number, artifact in enumerate(chosen):
            bundle = call.scratch / f"merge-{number}.zip"
            bundles.append((f"{artifact.name}/" if apart else "", bundle))
            await download.fetch(call, artifact, bundle)
        await call.keep(name, lambda target: _merged(call, bundles, target, min(level, 9)), days or None)
    except zipfile.BadZipFile as error:
        raise ActionFailed(f"an artifact cannot be read: {error}") from error
    finally:
        for _, bundle in bundles:
            bundle.unlink(missing_ok=True)
    if call.flag("delete-merged", default=False):
        call.warn("delete-merged: this has no effect here; what was merged stays until its time is over")
    await call.say(f"{', '.join(each.name for each in chosen)} kept together as the artifact {name}")


def _merged(call: Call, bundles: Sequence[tuple[str, Path]], target: Path, level: int) -> None:
    """Of files with the same name the last one is kept, as where they are unpacked over each other."""
    method = zipfile.ZIP_DEFLATED if level else zipfile.ZIP_STORED
    place: dict[str, int] = {}
    for number, (prefix, path) in enumerate(bundles):
        with zipfile.ZipFile(path) as bundle:
            place |= {name: number for name in (_name(prefix, entry) for entry in bundle.infolist()) if name}
    if len(place) > MAX_ENTRIES:
        raise ActionFailed(f"together they hold {len(place)} files; at most {MAX_ENTRIES} can be one artifact")
    size, done = 0, set[str]()
    with zipfile.ZipFile(target, "w", method, compresslevel=level or None) as whole:
        for number, (prefix, path) in enumerate(bundles):
            with zipfile.ZipFile(path) as bundle:
                for entry in bundle.infolist():
                    call.go_on()
                    name = _name(prefix, entry)
                    if not name or place[name] != number or name in done:
                        continue
                    done.add(name)
                    size += entry.file_size
                    if size > artifacts.MAX_BYTES:
                        raise ActionFailed(f"together they have more than {artifacts.MAX_BYTES >> 30} GiB, the limit")
                    with bundle.open(entry) as source, whole.open(name, "w") as sink:
                        shutil.copyfileobj(source, sink, 1 << 20)


def _name(prefix: str, entry: zipfile.ZipInfo) -> str | None:
    if entry.is_dir():
        return None
    try:
        return prefix + "/".join(parts_of(entry.filename))
    except MainstayError as error:
        raise ActionFailed(f"an artifact cannot be merged: {error}") from error
