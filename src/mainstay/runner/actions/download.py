"""`actions/download-artifact`: artifacts of the same build, unpacked into the job's folders."""

import errno
from fnmatch import fnmatchcase
from pathlib import Path

from mainstay.model.errors import MainstayError
from mainstay.runner.actions import coverage_paths
from mainstay.runner.actions.call import ActionFailed, Call
from mainstay.runner.actions.places import inside
from mainstay.runner.unpack import unpack_zip
from mainstay.wire.runner import StoredArtifact

IGNORED = ("github-token", "skip-decompress", "digest-mismatch")


async def download(call: Call) -> None:
    """Inputs: name, pattern, path, merge-multiple. Without a name, each artifact has a folder of its own.

    Output: download-path.
    """
    _refuse(call)
    root, below = inside(call, call.input("path") or ".")
    found = await listed(call)
    name, pattern = call.input("name"), call.input("pattern", "*")
    if name:
        chosen = [each for each in found if each.name == name]
    else:
        chosen = [each for each in found if each.kind == "artifact" and fnmatchcase(each.name, pattern)]
    if name and not chosen:
        have = ", ".join(each.name for each in found[:20]) or "none"
        raise ActionFailed(
            f"this build has no artifact {name}; those kept so far: {have}. "
            "A job finds the artifacts of jobs that it needs, so is one missing in `needs`?"
        )
    apart = not name and not call.flag("merge-multiple", default=False)
    for artifact in chosen:
        await _take(call, artifact, root, (*below, artifact.name) if apart else below)
    await coverage_paths.mend(call, root.joinpath(*below))
    call.outputs["download-path"] = str(root.joinpath(*below))
    if not chosen:
        call.warn("this build has no artifacts so far" if pattern == "*" else f"no artifact has a name like {pattern}")


def _refuse(call: Call) -> None:
    """What cannot be had here must not look as if it were."""
    github = call.situation.contexts["github"]
    for name, own in (("run-id", github.get("run_id")), ("repository", github.get("repository"))):
        if call.input(name, str(own)) != str(own):
            raise ActionFailed(
                f"only the artifacts of this build can be had, not those of the {name} {call.input(name)}"
            )
    if call.input("artifact-ids"):
        raise ActionFailed("artifacts have no ids here: use the input name or pattern in place of artifact-ids")
    ignored = [name for name in IGNORED if call.input(name)]
    if ignored:
        call.warn(f"{', '.join(ignored)}: this has no effect here")


async def listed(call: Call) -> tuple[StoredArtifact, ...]:
    """The artifacts of the build so far. Raises ActionFailed."""
    try:
        return await call.reach(call.shelf.artifacts())
    except ActionFailed:
        raise
    except MainstayError as error:
        raise ActionFailed(f"the build's artifacts could not be listed: {error}") from error


async def fetch(call: Call, artifact: StoredArtifact, bundle: Path) -> None:
    """Write an artifact's zip to `bundle`. Raises ActionFailed."""
    try:
        await call.reach(call.shelf.fetch_artifact(artifact, bundle))
    except ActionFailed:
        raise
    except MainstayError as error:
        raise ActionFailed(f"the artifact {artifact.name} could not be downloaded: {error}") from error


async def _take(call: Call, artifact: StoredArtifact, root: Path, below: tuple[str, ...]) -> None:
    bundle = call.scratch / "download.zip"
    try:
        await fetch(call, artifact, bundle)
        work = call.machine.threads.run(unpack_zip, bundle, root, below, call.go_on)
        count = await call.reach(work)
    except ActionFailed:
        raise
    except MainstayError as error:
        raise ActionFailed(f"the artifact {artifact.name} could not be unpacked: {error}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # this runner's trouble, not the job's
        raise ActionFailed(f"the artifact {artifact.name} could not be unpacked: {error}") from error
    finally:
        bundle.unlink(missing_ok=True)
    place = "/".join(below) or "."
    await call.say(f"{artifact.name}: {count} file{'s' if count != 1 else ''} unpacked to {place}")
