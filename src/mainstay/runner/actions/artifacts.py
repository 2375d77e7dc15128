"""`actions/upload-artifact`: files of the work tree kept as an artifact of the attempt."""

import os
import re
import zipfile
from pathlib import Path

from mainstay.runner import below
from mainstay.runner.actions.call import ActionFailed, Call
from mainstay.runner.hashing import files_below
from mainstay.workflow.globs import GlobError, select_files

MAX_BYTES = 4 << 30
UNDECODED = re.compile("[\udc80-\udcff]")
"""Bytes of a file name that are not UTF-8, as Python has them."""
TAKES_HIDDEN = re.compile(r"@v?(?:[123](?:\.|$)|4\.[0-3](?:\.|$))")
"""Versions of the action that keep hidden files unasked; files that use them count on it (`.coverage.*`)."""
BAD_NAME = re.compile(r'["<>|*?\r\n:\\/]')


async def upload(call: Call) -> None:
    """Inputs: name, path (globs, one a line), if-no-files-found, retention-days, compression-level and
    include-hidden-files.

    Output: artifact-digest is not known before the delivery; artifact-id neither.
    """
    name = checked_name(call.input("name", "artifact"))
    patterns = call.inputs.get("path", "")
    if not patterns.strip():
        raise ActionFailed("the input path is missing: which files are to be kept?")
    hidden = call.flag("include-hidden-files", default=TAKES_HIDDEN.search(call.name) is not None)
    work = call.place.work
    root, chosen, left_out = await call.machine.threads.run(_choose, work, patterns, hidden)
    if not chosen:
        words = f"no files were found for the artifact: {' '.join(patterns.split())}"
        if left_out:
            words += f"; {left_out} hidden ones were left out, which include-hidden-files: true keeps"
        nothing(call, words, default="warn")
        return
    level, days = number(call, "compression-level", 6), number(call, "retention-days", 0)
    await call.keep(name, lambda target: _zip(work, root, chosen, target, min(level, 9)), days or None)
    if odd := sum(UNDECODED.search(path) is not None for path in chosen):
        call.warn(f"{odd} files have names that are not UTF-8; in the artifact {name} such bytes are written as %XX")
    await call.say(f"{len(chosen)} file{'s' if len(chosen) > 1 else ''} kept as the artifact {name}")


def checked_name(name: str) -> str:
    """The name of an artifact to be. Raises ActionFailed."""
    if BAD_NAME.search(name) or len(name) > 200:
        raise ActionFailed(f"the artifact's name {name!r} has a sign that file names cannot have everywhere")
    return name


def nothing(call: Call, words: str, *, default: str) -> None:
    """What `if-no-files-found` wants when there is nothing to keep. Raises ActionFailed."""
    what = call.input("if-no-files-found", default)
    if what == "error":
        raise ActionFailed(words)
    if what != "ignore":
        call.warn(words)


def number(call: Call, name: str, default: int) -> int:
    """An input that is a whole number. Raises ActionFailed."""
    text = call.input(name, str(default))
    if not text.isascii() or not text.isdigit():
        raise ActionFailed(f"the input {name} must be a whole number, not {text!r}")
    return int(text)


def _choose(work: Path, patterns: str, hidden: bool) -> tuple[Path, list[str], int]:
    """The chosen files relative to the folder that they have in common, which is where the bundle begins.

    With them, how many were left out for being hidden.
    """
    try:
        chosen = select_files(patterns.splitlines(), files_below(work), str(work))
    except GlobError as error:
        raise ActionFailed(f"path: {error}") from None
    files = [path for path in chosen if hidden or not any(part.startswith(".") for part in Path(path).parts)]
    if not files:
        return work, [], len(chosen)
    parents = [os.path.dirname(path) for path in files]
    common = os.path.commonpath(parents) if all(parents) else ""
    return work / common, [os.path.relpath(path, common or ".") for path in files], len(chosen) - len(files)


def _zip(work: Path, root: Path, files: list[str], target: Path, level: int) -> None:
    """Write the bundle. A file that changes or vanishes meanwhile is taken as it is found."""
    method = zipfile.ZIP_DEFLATED if level else zipfile.ZIP_STORED
    size = 0
    with zipfile.ZipFile(target, "w", method, compresslevel=level or None, strict_timestamps=False) as bundle:
        for path in files:
            try:
                name = UNDECODED.sub(lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", path)
                size += below.into_zip(bundle, work, root / path, name)
                if size > MAX_BYTES:
                    raise ActionFailed(f"the artifact has more than {MAX_BYTES >> 30} GiB, the limit")
            except (FileNotFoundError, below.Elsewhere):
                continue
