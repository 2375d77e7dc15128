"""Work trees: exactly the commit, clean after anything a job may have done, never shared by two jobs."""

import asyncio
import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mainstay.git.process import run as run_git
from mainstay.runner.trash import mounts_below
from mainstay.runner.trees import Tree, TreeBroken, Trees
from mainstay.wire.runner import Source

pytestmark = pytest.mark.anyio
IDENTITY = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


def git(folder: Path, *args: str, check: bool = True) -> str:
    """Git as a job or a developer runs it."""
    env = {**os.environ, **IDENTITY}
    done = subprocess.run(["git", *args], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout.strip()


def mount(*words: str) -> bool:
    """Whether it could be mounted."""
    return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0


def unmount_below(folder: Path) -> None:
    """Before pytest deletes the folder, and all that is mounted in it."""
    for point in mounts_below(folder):
        subprocess.run(["umount", point], check=True)


class Upstream:
    """A repository with a few commits, and what is needed to check them out."""

    def __init__(self, folder: Path) -> None:
        self.work, self.mirrors = folder / "upstream", folder / "server"
        self.mirror = self.mirrors / "7.git"
        self.work.mkdir(parents=True, exist_ok=True)
        self.fetches = 0

    def write(self, path: str, text: str = "") -> None:
        target = self.work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def commit(self, message: str = "more") -> str:
        git(self.work, "add", "-A", "-f")
        git(self.work, "commit", "-q", "--allow-empty", "-m", message)
        return git(self.work, "rev-parse", "HEAD")

    def publish(self) -> None:
        shutil.rmtree(self.mirror, ignore_errors=True)
        git(self.work, "clone", "-q", "--mirror", str(self.work), str(self.mirror))

    def source(self, commit: str, ref: str = "refs/heads/main") -> Source:
        tree = git(self.work, "rev-parse", commit + "^{tree}")
        return Source("demo", 7, "/git/demo.git", "", commit, tree, ref)

    async def fetch(self, source: Source, mirror: Path) -> None:
        self.fetches += 1
        if not mirror.exists():
            await run_git("init", "-q", "--bare", str(mirror))
        await run_git("fetch", "-q", str(self.work), "+refs/*:refs/*", git_dir=mirror)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: running git a dozen times takes longer than most tests."""
    one = Upstream(tmp_path_factory.mktemp("template"))
    git(one.work, "init", "-q", "-b", "main")
    one.write("a.txt", "one\n")
    one.write("run.sh", "#!/bin/sh\n")
    (one.work / "run.sh").chmod(0o755)
    one.write("dir/b.txt", "b\n")
    one.write("dir/sub/c.txt", "c\n")
    (one.work / "link").symlink_to("a.txt")
    one.write(".gitignore", "*.pyc\nbuild/\n")
    one.commit("first")
    git(one.work, "tag", "-a", "v1.0", "-m", "v1.0")
    one.write("a.txt", "two\n")
    one.commit("second")
    one.publish()
    return one.work.parent


@pytest.fixture
def upstream(template: Path, tmp_path: Path) -> Upstream:
    shutil.copytree(template, tmp_path, symlinks=True, dirs_exist_ok=True)
    return Upstream(tmp_path)


@pytest.fixture
def commits(upstream: Upstream) -> list[str]:
    """Oldest first."""
    return git(upstream.work, "rev-list", "--reverse", "main").split()


async def opened(tmp_path: Path, upstream: Upstream, capacity: int = 1, **options: int) -> Trees:
    trees = Trees(tmp_path / "data", upstream.mirrors, capacity, **options)
    await trees.open()
    return trees


def content(tree: Tree) -> dict[str, tuple[int, bytes]]:
    """Everything below the work tree but `.git`: type and rights, and bytes."""
    found = {}
    for folder, folders, names in os.walk(tree.path):
        if folder == str(tree.path):
            folders.remove(".git")
        for name in (*folders, *names):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            data = (
                os.readlink(path).encode() if stat.S_ISLNK(mode) else path.read_bytes() if stat.S_ISREG(mode) else b""
            )
            found[str(path.relative_to(tree.path))] = (mode, data)
    return found


def shows_only_the_commit(tree: Tree) -> bool:
    """By git's own word, in the `.git` a job gets."""
    return (
        git(tree.path, "status", "--porcelain", "--ignored", "--untracked-files=all") == ""
        and git(tree.path, "rev-parse", "HEAD") == tree.commit
        and git(tree.path, "fsck", "--connectivity-only", "--no-dangling") == ""
    )


async def test_a_job_gets_the_files_the_history_and_the_tags(
    upstream: Upstream, commits: list[str], tmp_path: Path
) -> None:
    trees = await opened(tmp_path, upstream)
    tree = await trees.acquire(upstream.source(commits[1]), upstream.fetch)
    assert shows_only_the_commit(tree)
    assert (tree.path / "a.txt").read_text() == "two\n"
    assert os.access(tree.path / "run.sh", os.X_OK)
    assert git(tree.path, "describe") == f"v1.0-1-g{commits[1][:7]}"
    assert git(tree.path, "log", "--format=%s").split() == ["second", "first"]
    assert git(tree.path, "branch", "--show-current") == ""
    assert git(tree.path, "rev-parse", "origin/main") == commits[1]
    assert git(tree.path, "config", "remote.origin.url") == "mainstay:demo"
    await trees.release(tree)
    await trees.close()
    assert upstream.fetches == 0


async def test_a_job_can_fetch_commit_and_stash_without_the_server(
    upstream: Upstream, commits: list[str], tmp_path: Path
) -> None:
    git(upstream.work, "branch", "other", commits[0])
    upstream.publish()
    trees = await opened(tmp_path, upstream)
    tree = await trees.acquire(upstream.source(commits[1]), upstream.fetch)
    git(tree.path, "fetch", "--tags", "--prune", "origin")
    git(tree.path, "checkout", "-q", "other")
    assert git(tree.path, "rev-parse", "HEAD") == commits[0]
    (tree.path / "a.txt").write_text("mine\n")
    git(tree.path, "stash")
    git(tree.path, "commit", "-q", "--allow-empty", "-m", "mine")
    await trees.release(tree)
    again = await trees.acquire(upstream.source(commits[1]), upstream.fetch)
    assert shows_only_the_commit(again)
    assert git(again.path, "stash", "list") == ""
    assert git(again.path, "branch", "--list", "other") == ""
    await trees.close()


async def test_without_the_servers_mirror_the_commit_is_fetched_once(
    upstream: Upstream, commits: list[str], tmp_path: Path
) -> None:
    trees = Trees(tmp_path / "data", None, 1)
    await trees.open()
    for commit in (commits[0], commits[1], commits[1]):
        tree = await trees.acquire(upstream.source(commit), upstream.fetch)
        assert shows_only_the_commit(tree)
        await trees.release(tree)
    assert upstream.fetches == 2
    await trees.close()


async def test_a_commit_the_servers_mirror_lacks_is_fetched(upstream: Upstream, tmp_path: Path) -> None:
    upstream.write("new", "new\n")
    late = upstream.commit("not in the mirror yet")
    trees = await opened(tmp_path, upstream)
    tree = await trees.acquire(upstream.source(late), upstream.fetch)
    assert shows_only_the_commit(tree)
    assert upstream.fetches == 1
    await trees.close()


async def test_object_stores_behind_the_mirror_are_named_too(
    upstream: Upstream, commits: list[str], tmp_path: Path
) -> None:
    shutil.rmtree(upstream.mirror)
    git(upstream.work, "clone", "-q", "--mirror", "--shared", str(upstream.work), str(upstream.mirror))
    trees = await opened(tmp_path, upstream)
    tree = await trees.acquire(upstream.source(commits[0]), upstream.fetch)
    assert tree.readable == (upstream.mirror / "objects", upstream.work / ".git/objects")
    assert shows_only_the_commit(tree)
    await trees.close()


async def test_trees_are_kept_and_the_one_with_the_same_commit_is_taken(
    upstream: Upstream, commits: list[str], tmp_path: Path
) -> None:
    trees = await opened(tmp_path, upstream, capacity=2)
    one = await trees.acquire(upstream.source(commits[0]), upstream.fetch)
    two = await trees.acquire(upstream.source(commits[1]), upstream.fetch)
    await trees.release(one)
    await trees.release(two)
    again = await trees.acquire(upstream.source(commits[0]), upstream.fetch)
    assert again.path == one.path
    assert shows_only_the_commit(again)
    await trees.release(again)
    await trees.close()


async def test_jobs_at_once_never_share_a_file(upstream: Upstream, commits: list[str], tmp_path: Path) -> None:
    trees = await opened(tmp_path, upstream, capacity=4)

    async def job(number: int) -> None:
        tree = await trees.acquire(upstream.source(commits[number % 2]), upstream.fetch)
        mark = tree.path / "mine"
        assert not mark.exists()
        mark.write_text(str(number))
        await asyncio.sleep(0.01)
        assert mark.read_text() == str(number)
        assert (tree.path / "a.txt").read_text() == ("one\n", "two\n")[number % 2]
        await trees.release(tree)

    gate = asyncio.Semaphore(4)

    async def gated(number: int) -> None:
        async with gate:
            await job(number)

    await asyncio.gather(*(gated(number) for number in range(40)))
    assert len(list((tmp_path / "data/trees/7").iterdir())) <= 5
    await trees.close()


def leaves_files(tree: Path, outside: Path) -> None:
    (tree / "new").write_text("x")
    (tree / "x.pyc").write_text("ignored")
    (tree / "build/deep").mkdir(parents=True)
    (tree / "build/deep/x").write_text("x")
    (tree / "dir/sub/empty").mkdir()


def edits_files(tree: Path, outside: Path) -> None:
    (tree / "a.txt").write_text("changed\n")
    (tree / "dir/b.txt").unlink()
    shutil.rmtree(tree / "dir/sub")


def edits_without_trace_of_size_or_time(tree: Path, outside: Path) -> None:
    path = tree / "a.txt"
    status = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def changes_rights(tree: Path, outside: Path) -> None:
    (tree / "a.txt").chmod(0o600)
    (tree / "run.sh").chmod(0o644)
    (tree / "dir").chmod(0o777)


def makes_folders_read_only(tree: Path, outside: Path) -> None:
    (tree / "new/deep").mkdir(parents=True)
    (tree / "new/deep/x").write_text("x")
    (tree / "new/deep").chmod(0o555)
    (tree / "dir/sub").chmod(0o555)
    (tree / "dir").chmod(0o555)


def makes_folders_unreadable(tree: Path, outside: Path) -> None:
    (tree / "new/deep").mkdir(parents=True)
    (tree / "new/deep").chmod(0)
    (tree / "new").chmod(0)
    (tree / "dir").chmod(0)


def sets_index_flags(tree: Path, outside: Path) -> None:
    git(tree, "update-index", "--assume-unchanged", "a.txt")
    git(tree, "update-index", "--skip-worktree", "dir/b.txt")
    (tree / "a.txt").write_text("changed\n")
    (tree / "dir/b.txt").write_text("changed\n")


def puts_a_symlink_in_place_of_a_folder(tree: Path, outside: Path) -> None:
    shutil.rmtree(tree / "dir")
    (tree / "dir").symlink_to(outside)


def moves_a_folder_out_and_links_to_it(tree: Path, outside: Path) -> None:
    os.rename(tree / "dir", outside / "moved")  # its files keep inode, times and all
    (tree / "dir").symlink_to(outside / "moved")


def puts_a_symlink_in_place_of_a_file(tree: Path, outside: Path) -> None:
    (tree / "a.txt").unlink()
    (tree / "a.txt").symlink_to(outside / "precious")


def puts_odd_things_in_place_of_files(tree: Path, outside: Path) -> None:
    (tree / "a.txt").unlink()
    os.mkfifo(tree / "a.txt")
    (tree / "dir/b.txt").unlink()
    (tree / "dir/b.txt").mkdir()
    (tree / "dir/b.txt/x").write_text("x")
    (tree / "dir/sub/c.txt").unlink()
    here = os.getcwd()
    os.chdir(tree / "dir/sub")  # a socket's path may only be short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("c.txt")
    finally:
        os.chdir(here)
    os.mkfifo(tree / "pipe")


def puts_a_file_in_place_of_a_folder(tree: Path, outside: Path) -> None:
    shutil.rmtree(tree / "dir")
    (tree / "dir").write_text("x")


def nests_repositories(tree: Path, outside: Path) -> None:
    for name in ("nested", "dir/nested", "build"):
        (tree / name).mkdir()
        git(tree / name, "init", "-q")
        (tree / name / "x").write_text("x")
        git(tree / name, "add", "x")
        git(tree / name, "commit", "-qm", "x")
    (tree / "dir/.git").write_text("gitdir: ../nested/.git\n")


def plants_commands_in_gits_configuration(tree: Path, outside: Path) -> None:
    trap = f"touch {outside}/trapped;"
    (tree / ".git/hooks").mkdir()
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        (tree / ".git/hooks" / hook).write_text(f"#!/bin/sh\n{trap}\n")
        (tree / ".git/hooks" / hook).chmod(0o755)
    for name in ("core.fsmonitor", "filter.x.smudge", "filter.x.clean", "alias.read-tree", "core.sshCommand"):
        git(tree, "config", name, trap + " false")
    git(tree, "config", "core.hooksPath", str(tree / ".git/hooks"))
    git(tree, "config", "core.worktree", str(outside))
    (tree / ".git/info").mkdir(exist_ok=True)
    (tree / ".git/info/attributes").write_text("* filter=x\n")
    (tree / ".gitattributes").write_text("* filter=x\n")
    (tree / "a.txt").write_text("changed\n")


def links_files_hard(tree: Path, outside: Path) -> None:
    os.link(tree / "a.txt", outside / "hard")
    (outside / "hard").write_text("ONE\n" if (tree / "a.txt").read_text() == "one\n" else "TWO\n")


def removes_git(tree: Path, outside: Path) -> None:
    shutil.rmtree(tree / ".git")


def puts_a_file_in_place_of_git(tree: Path, outside: Path) -> None:
    shutil.rmtree(tree / ".git")
    (tree / ".git").write_text(f"gitdir: {outside}\n")


def deletes_its_work_tree(tree: Path, outside: Path) -> None:
    shutil.rmtree(tree)


def puts_a_symlink_in_place_of_its_work_tree(tree: Path, outside: Path) -> None:
    shutil.rmtree(tree)
    tree.symlink_to(outside)


def puts_another_folder_in_place_of_its_work_tree(tree: Path, outside: Path) -> None:
    shutil.rmtree(tree)
    shutil.copytree(outside, tree)


def makes_names_that_are_hard_to_write(tree: Path, outside: Path) -> None:
    for name in (b"-rf", b"with\nnewline", b"\xff\xfe", b"a\\b", b"*", b"'; touch trapped #"):
        (Path(os.fsdecode(os.fsencode(tree) + b"/" + name))).write_text("x")
        Path(os.fsdecode(os.fsencode(tree) + b"/dir/" + name)).mkdir()


MISDEEDS = [
    leaves_files,
    edits_files,
    edits_without_trace_of_size_or_time,
    changes_rights,
    makes_folders_read_only,
    makes_folders_unreadable,
    sets_index_flags,
    puts_a_symlink_in_place_of_a_folder,
    moves_a_folder_out_and_links_to_it,
    puts_a_symlink_in_place_of_a_file,
    puts_odd_things_in_place_of_files,
    puts_a_file_in_place_of_a_folder,
    nests_repositories,
    plants_commands_in_gits_configuration,
    links_files_hard,
    removes_git,
    puts_a_file_in_place_of_git,
    deletes_its_work_tree,
    puts_a_symlink_in_place_of_its_work_tree,
    puts_another_folder_in_place_of_its_work_tree,
    makes_names_that_are_hard_to_write,
]


@pytest.mark.parametrize("misdeed", MISDEEDS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("following", [0, 1], ids=["another commit next", "the same commit next"])
async def test_after_a_job_that(
    misdeed: Callable[[Path, Path], None], following: int, upstream: Upstream, commits: list[str], tmp_path: Path
) -> None:
    """The next job finds exactly what it would find in a fresh clone, and nothing outside was touched."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious\n")
    for name in ("b.txt", "a.txt"):
        (outside / name).write_text("precious\n")
    trees = await opened(tmp_path, upstream)
    first = await trees.acquire(upstream.source(commits[following]), upstream.fetch)
    pristine = content(first)
    misdeed(first.path, outside)
    await trees.release(first)
    for commit in (commits[1], commits[following]):
        tree = await trees.acquire(upstream.source(commit), upstream.fetch)
        assert shows_only_the_commit(tree)
        if commit == first.commit:
            assert content(tree) == pristine
        assert (tree.path / "a.txt").read_text() == ("one\n", "two\n")[commits.index(commit)]
        await trees.release(tree)
    for name in ("precious", "b.txt", "a.txt"):
        assert (outside / name).read_text() == "precious\n"
    assert not (outside / "trapped").exists()
    await trees.close()
    assert list((tmp_path / "data/trash").iterdir()) == []


async def test_what_was_checked_out_in_a_submodule_is_gone(upstream: Upstream, tmp_path: Path) -> None:
    other = Upstream(tmp_path / "other")
    git(other.work, "init", "-q", "-b", "main")
    other.write("s.txt", "s\n")
    other.commit()
    git(upstream.work, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other.work), "vendor/other")
    commit = upstream.commit("with a submodule")
    upstream.publish()
    trees = await opened(tmp_path, upstream)
    for _ in range(2):
        tree = await trees.acquire(upstream.source(commit), upstream.fetch)
        assert list((tree.path / "vendor/other").iterdir()) == []
        git(tree.path, "-c", "protocol.file.allow=always", "submodule", "update", "-q", "--init")
        assert (tree.path / "vendor/other/s.txt").exists()
        await trees.release(tree)
    assert [path.name for path in (tmp_path / "data/trees/7").iterdir()] == ["1"]
    await trees.close()


async def test_a_tree_that_is_only_dirty_is_kept_and_not_made_anew(
    upstream: Upstream, commits: list[str], tmp_path: Path
) -> None:
    trees = await opened(tmp_path, upstream)
    tree = await trees.acquire(upstream.source(commits[0]), upstream.fetch)
    inode = tree.path.stat().st_ino
    leaves_files(tree.path, tmp_path)
    edits_files(tree.path, tmp_path)
    await trees.release(tree)
    again = await trees.acquire(upstream.source(commits[1]), upstream.fetch)
    assert again.path.stat().st_ino == inode
    await trees.close()


async def test_files_that_git_converts_are_no_cause_to_throw_a_tree_away(upstream: Upstream, tmp_path: Path) -> None:
    upstream.write(".gitattributes", "*.bat text eol=crlf\n")
    upstream.write("x.bat", "one\ntwo\n")
    commit = upstream.commit("with a conversion")
    upstream.publish()
    trees = await opened(tmp_path, upstream)
    inodes = set()
    for _ in range(3):
        tree = await trees.acquire(upstream.source(commit), upstream.fetch)
        assert (tree.path / "x.bat").read_bytes() == b"one\r\ntwo\r\n"
        assert shows_only_the_commit(tree)
        inodes.add(tree.path.stat().st_ino)
        await trees.release(tree)
    assert len(inodes) == 1
    await trees.close()


async def test_after_a_restart_clean_trees_are_taken_over_swept_and_others_thrown_away(
    upstream: Upstream, commits: list[str], tmp_path: Path
) -> None:
    trees = await opened(tmp_path, upstream, capacity=2)
    kept = await trees.acquire(upstream.source(commits[0]), upstream.fetch)
    in_use = await trees.acquire(upstream.source(commits[1]), upstream.fetch)
    touched = await trees.acquire(upstream.source(commits[1]), upstream.fetch)
    await trees.release(kept)
    await trees.release(touched)
    (touched.path / "left").write_text("by someone")
    (touched.path / "a.txt").write_text("by someone")
    (kept.path / "left").mkdir()
    (in_use.path / "left").write_text("by the job that ran")
    inode = kept.path.stat().st_ino
    await trees.close()

    after = await opened(tmp_path, upstream, capacity=2)
    assert [path.name for path in (tmp_path / "data/trees/7").iterdir()] == [kept.slot.name]
    tree = await after.acquire(upstream.source(commits[1]), upstream.fetch)
    assert tree.path.stat().st_ino == inode
    assert shows_only_the_commit(tree)
    await after.close()
    assert list((tmp_path / "data/trash").iterdir()) == []


async def test_a_commit_with_another_tree_than_was_asked_for_is_refused(
    upstream: Upstream, commits: list[str], tmp_path: Path
) -> None:
    trees = await opened(tmp_path, upstream)
    right = upstream.source(commits[0])
    wrong = Source("demo", 7, right.path, "", commits[1], right.tree, right.ref)
    with pytest.raises(TreeBroken, match="was to be tested"):
        await trees.acquire(wrong, upstream.fetch)
    await trees.close()


@pytest.mark.parametrize("commit", ["--upload-pack=x", "main", "abc", "", "0" * 39, "../" * 14])
async def test_what_is_no_commit_id_never_reaches_git(commit: str, upstream: Upstream, tmp_path: Path) -> None:
    trees = await opened(tmp_path, upstream)
    with pytest.raises(TreeBroken, match="not the full id of a commit"):
        await trees.acquire(Source("demo", 7, "", "", commit, "", ""), upstream.fetch)
    await trees.close()


async def test_a_commit_that_is_nowhere_breaks_the_tree_in_words_and_the_next_job_is_fine(
    upstream: Upstream, commits: list[str], tmp_path: Path
) -> None:
    trees = await opened(tmp_path, upstream)
    with pytest.raises(TreeBroken, match="could not be checked out"):
        await trees.acquire(Source("demo", 7, "", "", "1" * 40, "2" * 40, ""), upstream.fetch)
    tree = await trees.acquire(upstream.source(commits[0]), upstream.fetch)
    assert shows_only_the_commit(tree)
    await trees.close()


async def test_a_fetch_that_fails_passes_through_and_costs_no_tree(
    upstream: Upstream, commits: list[str], tmp_path: Path
) -> None:
    trees = Trees(tmp_path / "data", None, 1)
    await trees.open()
    await trees.release(await trees.acquire(upstream.source(commits[0]), upstream.fetch))

    async def fails(source: Source, mirror: Path) -> None:
        raise ConnectionError("the server is away")

    with pytest.raises(ConnectionError):
        await trees.acquire(upstream.source(commits[1]), fails)
    assert [path.name for path in (tmp_path / "data/trees/7").iterdir()] == ["1"]
    await trees.close()


async def test_a_full_disk_is_told_in_words_and_the_runner_goes_on(
    upstream: Upstream, commits: list[str], tmp_path: Path
) -> None:
    """On a small file system, where one can be mounted."""
    upstream.write("big", os.urandom(3 << 20).hex())
    big = upstream.commit("too big")
    upstream.publish()
    small = tmp_path / "small"
    small.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=2m", "none", str(small)):
        pytest.skip("no small file system can be mounted here")
    try:
        trees = Trees(small / "data", upstream.mirrors, 1)
        await trees.open()
        with pytest.raises(TreeBroken, match=r"the runner's disk is full \(\d+ MiB free at "):
            await trees.acquire(upstream.source(big), upstream.fetch)
        tree = await trees.acquire(upstream.source(commits[0]), upstream.fetch)
        assert shows_only_the_commit(tree)
        (tree.path / "fill").write_bytes(b"x" * (1 << 20))
        await trees.release(tree)
        await trees.close()
    finally:
        unmount_below(tmp_path)


async def test_something_mounted_in_a_tree_is_neither_swept_nor_deleted(
    upstream: Upstream, commits: list[str], tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("precious")
    trees = await opened(tmp_path, upstream)
    tree = await trees.acquire(upstream.source(commits[0]), upstream.fetch)
    (tree.path / "mounted").mkdir()
    if not mount("--bind", str(precious), str(tree.path / "mounted")):
        pytest.skip("nothing can be mounted here")
    try:
        await trees.release(tree)
        again = await trees.acquire(upstream.source(commits[0]), upstream.fetch)
        assert shows_only_the_commit(again)
        await trees.close()
        assert (precious / "file").read_text() == "precious"
    finally:
        unmount_below(tmp_path)


async def test_trees_used_longest_ago_are_dropped_beyond_the_budget(
    upstream: Upstream, commits: list[str], tmp_path: Path
) -> None:
    shutil.copytree(upstream.mirror, upstream.mirrors / "8.git")
    trees = await opened(tmp_path, upstream, budget_bytes=30 * 1024)
    source = upstream.source(commits[0])
    other = Source("other", 8, source.path, "", source.commit, source.tree, source.ref)
    for one in (source, other):
        await trees.release(await trees.acquire(one, upstream.fetch))
    assert list((tmp_path / "data/trees/7").iterdir()) == []
    assert [path.name for path in (tmp_path / "data/trees/8").iterdir()] == ["1"]
    await trees.close()


async def test_a_spare_tree_can_be_prepared(upstream: Upstream, commits: list[str], tmp_path: Path) -> None:
    trees = await opened(tmp_path, upstream)
    trees.prepare(upstream.source(commits[0]), upstream.fetch)
    await trees.close()
    assert (tmp_path / "data/trees/7/1/work" / "a.txt").read_text() == "one\n"


async def test_a_change_in_the_very_tick_of_the_checkout_is_seen(
    upstream: Upstream, commits: list[str], tmp_path: Path
) -> None:
    """Many quick rounds: a file of the same size, rewritten right after it was checked out, time stamps put back."""
    trees = await opened(tmp_path, upstream)
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        for number, commit in enumerate(commits):
            tree = await trees.acquire(upstream.source(commit), upstream.fetch)
            assert (tree.path / "a.txt").read_text() == ("one\n", "two\n")[number]
            edits_without_trace_of_size_or_time(tree.path, tmp_path)
            await trees.release(tree)
    await trees.close()
