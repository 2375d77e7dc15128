"""`actions/checkout`: the tested commit is in the work tree already; other refs and folders are made from it."""

import re
from pathlib import Path

from mainstay.runner.actions.call import ActionFailed, Call

QUIET = ("-c", "advice.detachedHead=false", "-c", "protocol.file.allow=user")


async def checkout(call: Call) -> None:
    """Inputs: repository (this one only), ref, path, submodules, lfs, clean, fetch-depth and the like have no effect.

    Outputs: ref, commit.
    """
    source = call.assignment.source
    wanted = call.input("repository", source.repository)
    if wanted.lower() not in (source.repository.lower(), str(call.situation.contexts["github"]["repository"]).lower()):
        raise ActionFailed(
            f"only the job's own repository ({source.repository}) can be checked out, not {wanted}: "
            "clone another one with git in a run step"
        )
    folder = _folder(call)
    if folder != call.place.work.resolve():
        await _copy(call, folder)
    await _ref(call, folder)
    await _extras(call, folder)
    code, commit = await call.programs.read(["git", "rev-parse", "HEAD"], cwd=folder)
    commit = commit.strip() if code == 0 else source.commit
    call.outputs.update(ref=call.input("ref", source.ref), commit=commit)
    await call.say(f"{source.repository} is checked out at {commit}")


def _folder(call: Call) -> Path:
    path = call.input("path")
    folder = (call.place.work / path).resolve()
    if not folder.is_relative_to(call.place.work.resolve()):
        raise ActionFailed(f"the path {path!r} leads out of the work tree")
    return folder


async def _copy(call: Call, folder: Path) -> None:
    """A second work tree inside the first, with the same objects."""
    # By a program of the job: it can delete no more than that.
    await call.programs.run(["rm", "-rf", "--", str(folder)])
    code = await call.programs.run(
        ["git", *QUIET, "clone", "--quiet", "--shared", "--no-checkout", str(call.place.work), str(folder)]
    )
    if code == 0:
        code = await call.programs.run(
            ["git", *QUIET, "checkout", "--quiet", "--detach", call.assignment.source.commit], cwd=folder
        )
    if code:
        raise ActionFailed(f"the repository could not be checked out to {folder.name}: git ended with {code}")


async def _ref(call: Call, folder: Path) -> None:
    """Another ref than the one that is tested, when the workflow asks for one."""
    ref, source = call.input("ref"), call.assignment.source
    if ref in ("", source.commit, source.ref, source.ref.removeprefix("refs/heads/").removeprefix("refs/tags/")):
        return
    if ref.startswith("-") or not re.fullmatch(r"[\w./@{}^~+-]+", ref):
        raise ActionFailed(f"{ref!r} is not the name of a branch, tag or commit")
    for name in (ref, f"origin/{ref}", f"refs/remotes/origin/{ref.removeprefix('refs/heads/')}"):
        code, commit = await call.programs.read(
            ["git", "rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}"], cwd=folder
        )
        if code == 0:
            break
    else:
        raise ActionFailed(f"there is no branch, tag or commit {ref} in {source.repository}")
    code = await call.programs.run(["git", *QUIET, "checkout", "--quiet", "--detach", commit.strip()], cwd=folder)
    if code:
        raise ActionFailed(f"{ref} could not be checked out: git ended with {code}")
    await call.say(f"Not the commit that is tested: {ref} was asked for")


async def _extras(call: Call, folder: Path) -> None:
    submodules = call.input("submodules", "false").lower()
    if submodules in ("true", "recursive"):
        recursive = ["--recursive"] if submodules == "recursive" else []
        code = await call.programs.run(["git", *QUIET, "submodule", "update", "--init", *recursive], cwd=folder)
        if code:
            raise ActionFailed(
                f"the submodules could not be fetched: git ended with {code}. Their addresses must be "
                "readable from the runner without a password"
            )
    if call.flag("lfs", default=False):
        code = await call.programs.run(["git", "lfs", "pull"], cwd=folder)
        if code:
            raise ActionFailed("the files of Git LFS could not be fetched; is git-lfs installed on the runner?")
