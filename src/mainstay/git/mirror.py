"""A bare mirror of a watched repository: what the server knows of it. Objects come in and never go away."""

import asyncio
import contextlib
import re
import shutil
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mainstay.git import fetching
from mainstay.git.copying import few_missing, write_few
from mainstay.git.keys import Access
from mainstay.git.names import check_ref, check_sha, is_prefix, is_ref, is_sha
from mainstay.git.objects import SUBMODULE, commit_from, commit_links, tag_target
from mainstay.git.process import GitError, Process, failed, redact, run
from mainstay.git.reader import ObjectReader
from mainstay.git.refs import RefList, read_local, read_remote
from mainstay.git.source import LocalRepository, find_local, local_path
from mainstay.git.standing import UPDATE_REF, Standing, died
from mainstay.model.errors import BadInput, Conflict, NotFound
from mainstay.model.repository import Commit

WALK_LIMIT = 1_000_000
STRAIGHT_LIMIT = 30
"""So many commits in a straight line are walked here; git is started for more."""
FEW_AT_ONCE = 20
STALE_LOCK_S = 30.0
TAG_DEPTH = 20
REDIRECTED = re.compile(r"returned error: 30\d")
PACKS_LIMIT, LOOSE_FOLDER_LIMIT = 40, 25
"""Beyond these a mirror is repacked: packs, and loose objects in one of its 256 folders."""

CONFIG = """\
[core]
\trepositoryformatversion = {version}
\tfilemode = true
\tbare = true
\tlogAllRefUpdates = false
{extensions}[gc]
\tauto = 0
\tpruneExpire = never
[receive]
\tautogc = false
[uploadpack]
\tallowAnySHA1InWant = true
"""


class Mirror:
    """One bare mirror. Anything may be asked of it at any time; changes of one mirror wait for each other."""

    def __init__(self, path: Path, standing: Standing | None = None) -> None:
        """`standing`: the git processes that stay, shared by all mirrors of a server; None: its own, few."""
        self.path = path
        self._own = standing is None
        self._standing = standing or Standing(limit=3)
        self._objects = ObjectReader(path, self._standing, whole=True)
        self._sources: dict[Path, ObjectReader] = {}
        self._changing = asyncio.Lock()
        self._digits = 0
        self._swept = False

    async def close(self) -> None:
        """End its git processes. It may be used again."""
        if self._own:
            await self._standing.close()
        else:
            for git_dir in (self.path, *self._sources):
                self._standing.forget(git_dir)
        self._sources.clear()
        self._objects.forget()

    async def create(self, object_format: str = "sha1") -> None:
        """Make it when it is not there. An empty one takes a source's other object format by itself (`fetch`)."""
        if self._swept and (self.path / "HEAD").is_file():
            return
        async with self._changing:
            await asyncio.to_thread(self._make, object_format)
            self._swept = True

    async def refs(self) -> dict[str, str]:
        """Its branches and tags: whole name to object id (of an annotated tag, the tag's own)."""
        return (await read_local(LocalRepository(self.path, self.path))).refs

    async def remote_refs(self, source: str, access: Access | None = None, *, head: bool = False) -> RefList:
        """Branches and tags of `source`: a path or url. `head`: ask a remote for its default branch as well.

        For a repository on this machine the default branch is always told. Raises NotFound, GitError.
        """
        path = local_path(source)
        if path is not None:
            return await read_local(find_local(path))
        with _environment(access) as env:
            try:
                return await read_remote(source, env, head=head, config=_config(access))
            except GitError as error:
                if access is None or access.pinned is None or not REDIRECTED.search(error.stderr):
                    raise
                raise GitError(
                    f"{redact(source)} redirects elsewhere, which is not followed for an address that no administrator "
                    "of all repositories gave; give the address that it leads to (GitLab's end with .git)."
                ) from error

    async def fetch(self, source: str, wants: Mapping[str, str | None], access: Access | None = None) -> None:
        """Bring the objects of these refs (name to object id) and move the mirror's refs there; None deletes one.

        Nothing has moved when this raises GitError: the ids may be gone at the source by now; look again.
        """
        moves = {check_ref(ref): check_sha(sha) if sha else None for ref, sha in wants.items()}
        wanted = {ref: sha for ref, sha in moves.items() if sha}
        async with self._changing:
            if wanted:
                await self._adopt_format(next(iter(wanted.values())))
                await self._bring(source, wanted, access)
            await self._move(moves)

    async def bring(self, source: str, sha: str, access: Access | None = None) -> None:
        """Have a commit that no ref of `source` leads to any more, if it is still there. Raises GitError, NotFound."""
        async with self._changing:
            await self._adopt_format(check_sha(sha))
            await self._bring(source, {sha: sha}, access)

    async def commit_of(self, sha: str) -> str | None:
        """The commit that an object id stands for: itself, or what a tag points to. None: neither, or not here."""
        for _ in range(TAG_DEPTH):
            (info,) = await self._objects.infos([check_sha(sha)])
            if info is None or info.kind not in ("commit", "tag"):
                return None
            if info.kind == "commit":
                return sha
            sha, _ = tag_target(await self._objects.object(sha, "tag"))
        return None

    async def resolve(self, name: str) -> str | None:
        """The commit that a person means: an id, 7 or more of its first digits, a branch, a tag, or a whole ref name.

        None: there is none. Raises Conflict when the digits fit several commits.
        """
        if is_sha(name):
            return await self.commit_of(name)
        if is_prefix(name):
            listed = await run("rev-parse", f"--disambiguate={name}", git_dir=self.path)
            infos = await self._objects.infos([line for line in listed.text.splitlines() if is_sha(line)])
            commits = [info.sha for info in infos if info is not None and info.kind == "commit"]
            if len(commits) > 1:
                raise Conflict(f"{name} fits {len(commits)} commits: {', '.join(commits[:5])}. Give more digits.")
            if commits:
                return commits[0]
        candidates = (name, f"refs/heads/{name}", f"refs/tags/{name}")
        infos = await self._objects.infos([candidate for candidate in candidates if is_ref(candidate)])
        found = next((info.sha for info in infos if info is not None), None)
        return None if found is None else await self.commit_of(found)

    async def commits(self, shas: Sequence[str]) -> list[Commit]:
        """What is shown of these commits, in the same order. Raises NotFound."""
        found = await self._objects.objects([check_sha(sha) for sha in shas])
        for sha, thing in zip(shas, found, strict=True):
            if thing is None or thing.kind != "commit":
                raise NotFound(f"There is no commit {sha} in this repository's mirror.")
        return [commit_from(sha, thing.data) for sha, thing in zip(shas, found, strict=True) if thing is not None]

    async def new_commits(
        self, new: str, not_reachable_from: Iterable[str], *, limit: int = WALK_LIMIT, first_parent: bool = False
    ) -> list[str]:
        """The commits that `new` has and none of the others has, newest first, parents after children."""
        edge = [check_sha(sha) for sha in not_reachable_from]
        straight = await self._straight(check_sha(new), edge, limit)
        if straight is not None:
            return straight
        known = await self._objects.infos(edge)
        revisions = [new, *(f"^{sha}" for sha, info in zip(edge, known, strict=True) if info is not None)]
        order = ["--first-parent"] if first_parent else []
        listed = await run(
            "rev-list",
            "--topo-order",
            f"--max-count={limit}",
            *order,
            "--stdin",
            git_dir=self.path,
            stdin="".join(f"{revision}\n" for revision in revisions).encode(),
            timeout_s=300.0,
        )
        return listed.text.split()

    async def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` has `old` in its history (or is the same)."""
        if await self._straight(check_sha(new), [check_sha(old)], STRAIGHT_LIMIT) is not None:
            return True
        infos = await self._objects.infos([old, new])
        if None in infos:
            return False
        told = await run("merge-base", "--is-ancestor", old, new, git_dir=self.path, ok=(0, 1), timeout_s=300.0)
        return told.exit_code == 0

    async def paths(self, commit: str) -> list[str]:
        """Every tracked path of a commit, sorted: files and symbolic links, no folders, no submodules."""
        return [path for path, entry in await self._objects.paths(await self._tree(commit)) if entry.mode != SUBMODULE]

    async def read(self, commit: str, path: str, limit_bytes: int = 16 * 1024 * 1024) -> bytes | None:
        """One file's bytes; None when there is no such regular file. Raises TooLarge, NotFound for the commit."""
        entry = await self._objects.entry(await self._tree(commit), path)
        if entry is None or not entry.is_file:
            return None
        return await self._objects.object(entry.sha, "blob", limit_bytes)

    async def changed(self, old: str | None, new: str) -> list[str]:
        """Paths that differ between two commits; with None, all that `new` has."""
        if old is None:
            return await self.paths(new)
        args = ("diff-tree", "-r", "-z", "--name-only", "--no-renames", check_sha(old), check_sha(new))
        told = await run(*args, git_dir=self.path, timeout_s=300.0)
        return told.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]

    async def archive(self, commit: str, file_format: str = "tar") -> AsyncIterator[bytes]:
        """The commit's files as one `tar` or `zip`, piece by piece."""
        if file_format not in ("tar", "zip"):
            raise BadInput(f"{file_format!r} is not an archive format: tar or zip.")
        args = ("archive", f"--format={file_format}", check_sha(commit))
        async with Process(args, git_dir=self.path) as process:
            process.close_stdin()
            while data := await process.read():
                yield data
            if (exit_code := await process.wait()) != 0:
                raise failed(args, exit_code, process.stderr)

    async def tend(self) -> bool:
        """Pack it when it holds many loose objects or packs; nothing is dropped. Gives whether it was needed."""
        packs = sum(1 for _ in (self.path / "objects" / "pack").glob("*.pack"))
        loose = sum(1 for _ in (self.path / "objects" / "00").glob("*"))
        if packs <= PACKS_LIMIT and loose <= LOOSE_FOLDER_LIMIT:
            return False
        async with self._changing:
            # Geometric repacking takes in unreachable objects too: a commit that was pushed away stays.
            await run("repack", "-d", "-q", "--geometric=2", git_dir=self.path, timeout_s=3600.0)
            await run("pack-refs", "--all", git_dir=self.path)
        return True

    async def _bring(self, source: str, wanted: dict[str, str], access: Access | None) -> None:
        """Have the objects of `wanted`, whatever way is quickest."""
        path = local_path(source)
        if path is None:
            with _environment(access) as env:
                await fetching.fetch(self.path, source, wanted, env, _config(access))
            known = await self._objects.infos(list(wanted.values()))
            if None in known:
                raise GitError("The remote's refs moved while they were fetched; they are looked at again.")
            return
        repository = find_local(path)
        if repository.is_shallow:
            await fetching.fetch(self.path, str(repository.git_dir), wanted, None)
            return
        reader = self._sources.setdefault(repository.git_dir, ObjectReader(repository.git_dir, self._standing))
        wants = list(dict.fromkeys(wanted.values()))
        few = await few_missing(reader, self._objects, wants)
        if few is not None:
            # A handful is written quicker than a thread is asked.
            if len(few.objects) > FEW_AT_ONCE:
                await asyncio.to_thread(write_few, few, self.path / "objects")
            else:
                write_few(few, self.path / "objects")
            self._objects.written(few.objects)
            return
        tips = list(dict.fromkeys((await self.refs()).values()))
        there = await reader.infos(tips)
        haves = [sha for sha, info in zip(tips, there, strict=True) if info is not None]
        await fetching.copy_pack(repository, self.path, wants, haves)

    async def _move(self, moves: Mapping[str, str | None]) -> None:
        """Deletions first: `refs/heads/a` must be gone before there can be a `refs/heads/a/b`."""
        gone = [f"delete {ref}\0" for ref, sha in moves.items() if sha is None]
        here = [f"update {ref}\0{sha}\0" for ref, sha in moves.items() if sha is not None]
        for orders in (gone, here):
            if orders:
                try:
                    await self._transaction(orders)
                except GitError as error:
                    if ".lock'" not in error.stderr or not self._remove_locks(STALE_LOCK_S):
                        raise
                    await self._transaction(orders)

    async def _transaction(self, orders: list[str]) -> None:
        async with asyncio.timeout(60.0), self._standing.use(self.path, UPDATE_REF) as process:
            with contextlib.suppress(BrokenPipeError):  # it refused already: its messages tell
                await process.write("\0".join(["start", *orders, "commit", ""]).encode())
            answer = b""
            while not answer.endswith(b"commit: ok\n"):
                data = await process.read()
                if not data:
                    raise await died(process)
                answer += data

    async def _straight(self, new: str, edge: list[str], limit: int) -> list[str] | None:
        """`new_commits` for a straight line that ends at the only edge; None when it is not that simple."""
        if len(edge) != 1:
            return None
        line: list[str] = []
        while new != edge[0]:
            if len(line) == min(limit, STRAIGHT_LIMIT):
                return None
            line.append(new)
            _, parents = commit_links(await self._objects.object(new, "commit"))
            if len(parents) != 1:
                return None
            new = parents[0]
        return line

    async def _tree(self, commit: str) -> str:
        tree, _ = commit_links(await self._objects.object(commit, "commit"))
        return tree

    async def _adopt_format(self, sha: str) -> None:
        """Ids of a source tell its object format; a mirror that is still empty is made again for it."""
        if not self._digits:
            text = (self.path / "config").read_text("utf-8")
            self._digits = 64 if "objectformat = sha256" in text.lower() else 40
        if len(sha) == self._digits:
            return
        if await self.refs():
            raise Conflict(
                "The source's object format (SHA-1 or SHA-256) changed; remove the repository and add it anew."
            )
        self._standing.forget(self.path)
        await asyncio.to_thread(shutil.rmtree, self.path)
        await asyncio.to_thread(self._make, "sha256" if len(sha) == 64 else "sha1")
        self._digits = len(sha)

    def _make(self, object_format: str) -> None:
        """The few files of an empty repository, HEAD last: who has one, has all. And no lock of an earlier life."""
        if (self.path / "HEAD").is_file():
            self._remove_locks(0.0)
            return
        for folder in ("objects/pack", "objects/info", "refs/heads", "refs/tags"):
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        sha256 = object_format == "sha256"
        extensions = "[extensions]\n\tobjectformat = sha256\n" if sha256 else ""
        (self.path / "config").write_text(CONFIG.format(version=int(sha256), extensions=extensions), "utf-8")
        head = self.path / "HEAD.new"
        head.write_text("ref: refs/heads/main\n", "utf-8")
        head.replace(self.path / "HEAD")

    def _remove_locks(self, age_s: float) -> int:
        """Remove lock files that a killed git left: nobody else changes a mirror. Gives how many there were."""
        before = time.time() - age_s
        removed = 0
        for place in (self.path.glob("*.lock"), (self.path / "refs").rglob("*.lock")):
            for lock in place:
                if lock.lstat().st_mtime <= before:
                    lock.unlink(missing_ok=True)
                    removed += 1
        return removed


def _config(access: Access | None) -> dict[str, str]:
    return {} if access is None else access.config


@contextlib.contextmanager
def _environment(access: Access | None) -> Iterator[dict[str, str] | None]:
    if access is None:
        yield None
    else:
        with access.environment() as env:
            yield env
