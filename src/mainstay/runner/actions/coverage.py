"""`codecov/codecov-action` and `coverallsapp/github-action`: the report is kept here, nothing is sent away."""

import zipfile
from pathlib import Path

from mainstay.runner import below
from mainstay.runner.actions.call import ActionFailed, Call
from mainstay.runner.hashing import files_below
from mainstay.workflow.globs import GlobError, select_files

USUAL = ("**/coverage.xml", "**/coverage.json", "**/lcov.info", "**/coverage.lcov", "**/*.coverage.xml", "**/.coverage")


async def keep_coverage(call: Call) -> None:
    """Inputs: files, file, path-to-lcov, directory, flags, flag-name, fail_ci_if_error."""
    given = call.input("files") or call.input("file") or call.input("path-to-lcov")
    folder = call.input("directory").strip("/")
    patterns = [each.strip() for each in given.replace(",", "\n").splitlines() if each.strip()] or list(USUAL)
    patterns = [f"{folder}/{each}" if folder and not each.startswith(folder) else each for each in patterns]
    try:
        chosen = await call.machine.threads.run(_choose, call.place.work, tuple(patterns))
    except GlobError as error:
        raise ActionFailed(f"files: {error}") from None
    if not chosen:
        words = f"no coverage report was found: {' '.join(patterns)}"
        if call.input("fail_ci_if_error", "false").lower() == "true":
            raise ActionFailed(words)
        call.warn(words)
        return
    flag = call.input("flags") or call.input("flag-name")
    name = "coverage" + (f"-{flag.replace(',', '-').replace('/', '-')}" if flag else "")
    work = call.place.work
    await call.keep(name[:100], lambda target: _zip(work, chosen, target), None, "coverage")
    await call.say(
        f"{len(chosen)} coverage report{'s' if len(chosen) > 1 else ''} kept as {name}; nothing was sent away"
    )


def _choose(work: Path, patterns: tuple[str, ...]) -> tuple[str, ...]:
    return select_files(patterns, files_below(work), str(work))


def _zip(work: Path, files: tuple[str, ...], target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as bundle:
        for path in files:
            below.into_zip(bundle, work, work / path, path)
