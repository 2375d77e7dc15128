"""A commit of a folder as it is now, uncommitted changes included, in a bare repository beside: the folder's own
repository, its index and its branches are only read."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mainstay.cli.worktree import NOT_LOOKED_INTO
from mainstay.git import process as git
from mainstay.git.source import find_local
from mainstay.model.errors import NotFound

HEAD = "refs/mainstay/head"
PERSON = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Mainstay"), ("EMAIL", "run@example.org"))
}
ADD_S = 600.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What `mainstay run` tests."""

    id: int
    """Of the folder: the same for each run, so that its work tree can be used again."""
    name: str
    commit: str
    tree: str
    ref: str
    """The branch that is checked out, whole."""
    changed: bool
    """Whether anything is not committed."""


async def snapshot(folder: Path, mirrors: Path) -> Snapshot:
    """Take one, into the bare repository `ID.git` in `mirrors`."""
    root = folder.resolve()
    number = int.from_bytes(hashlib.sha256(str(root).encode()).digest()[:6])
    mirror = mirrors / f"{number}.git"
    if not (mirror / "HEAD").exists():
        mirror.mkdir(parents=True, exist_ok=True)
        await git.run("init", "--quiet", "--bare", str(mirror))
    head, ref = await _bring_head(root, mirror)
    index = {"GIT_INDEX_FILE": str(mirror / "index")}
    await git.run(*(("read-tree", head) if head else ("read-tree", "--empty")), git_dir=mirror, env=index)
    await git.run("add", "--all", ".", git_dir=mirror, work_tree=root, cwd=root, env=index, timeout_s=ADD_S)
    tree = (await git.run("write-tree", git_dir=mirror, env=index)).text
    committed = (await git.run("rev-parse", f"{head}^{{tree}}", git_dir=mirror)).text if head else None
    commit = head if head and tree == committed else await _commit(mirror, tree, head)
    await git.run("update-ref", ref, commit, git_dir=mirror)
    return Snapshot(number, root.name or "root", commit, tree, ref, commit != head)


async def _bring_head(root: Path, mirror: Path) -> tuple[str | None, str]:
    """Bring the folder's last commit and its tags into the mirror; the commit, and the branch it is on."""
    ref = "refs/heads/main"
    try:
        source = find_local(root).git_dir
    except NotFound:
        (mirror / "info" / "exclude").write_text("".join(f"{name}/\n" for name in sorted(NOT_LOOKED_INTO)))
        return None, ref
    own = (root / ".git") if (root / ".git").is_dir() else source
    branch = await git.run("symbolic-ref", "--quiet", "HEAD", git_dir=own, ok=(0, 1))
    ref = branch.text if branch.exit_code == 0 else ref
    found = await git.run("rev-parse", "--quiet", "--verify", "HEAD", cwd=root, ok=(0, 1, 128))
    if found.exit_code:
        return None, ref
    wanted = (f"+HEAD:{HEAD}", "+refs/tags/*:refs/tags/*")
    options = ("--quiet", "--force", "--no-tags", "--no-write-fetch-head", "--update-head-ok", "--update-shallow")
    await git.run("fetch", *options, str(root), *wanted, git_dir=mirror, timeout_s=ADD_S)
    return found.text, ref


async def _commit(mirror: Path, tree: str, head: str | None) -> str:
    parent = ("-p", head) if head else ()
    made = await git.run("commit-tree", tree, *parent, "-m", "Uncommitted changes", git_dir=mirror, env=PERSON)
    return made.text
