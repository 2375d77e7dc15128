"""Mirrors of repositories on this machine: what comes in, what is read, what never goes away."""

import asyncio
import io
import os
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mainstay.git import copying
from mainstay.git.mirror import Mirror
from mainstay.git.process import GitError
from mainstay.git.reader import KEPT_BYTES, ObjectReader
from mainstay.git.standing import CAT_FILE, Standing
from mainstay.model.errors import BadInput, Conflict, NotFound, TooLarge
from tests.git.conftest import ENV, Origin

pytestmark = pytest.mark.anyio


@pytest.fixture
async def mirror(tmp_path: Path) -> AsyncIterator[Mirror]:
    made = Mirror(tmp_path / "mirror.git")
    await made.create()
    yield made
    await made.close()


async def take_in(mirror: Mirror, origin: Origin) -> dict[str, str]:
    """One look as the engine has it: every ref that moved is fetched."""
    seen = (await mirror.remote_refs(str(origin.path))).refs
    known = await mirror.refs()
    moves: dict[str, str | None] = {ref: sha for ref, sha in seen.items() if known.get(ref) != sha}
    moves |= dict.fromkeys(known.keys() - seen.keys())
    await mirror.fetch(str(origin.path), moves)
    assert await mirror.refs() == seen
    return seen


def fsck(mirror: Mirror) -> None:
    subprocess.run(["git", "fsck", "--strict", "--connectivity-only"], cwd=mirror.path, check=True, env=ENV)


async def test_an_empty_repository_has_no_refs_but_a_default_branch(origin: Origin, mirror: Mirror) -> None:
    listed = await mirror.remote_refs(str(origin.path))
    assert (listed.refs, listed.head) == ({}, "refs/heads/main")
    await mirror.fetch(str(origin.path), {})


async def test_a_pushed_commit_is_brought_with_its_files(origin: Origin, mirror: Mirror) -> None:
    sha = origin.commit(".github/workflows/ci.yml", "on: push\n")
    origin.push()
    assert await take_in(mirror, origin) == {"refs/heads/main": sha}
    assert await mirror.paths(sha) == [".github/workflows/ci.yml"]
    assert await mirror.read(sha, ".github/workflows/ci.yml") == b"on: push\n"
    fsck(mirror)


async def test_what_was_just_brought_is_not_asked_of_git_again(
    origin: Origin, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push is looked at from several sides: ancestry, commits shown, paths, workflow files, and all of it again."""
    first = origin.commit(".mainstay/ci.yml", "on: push\n")
    origin.push()
    await take_in(mirror, origin)
    second = origin.commit("other", "x" * 100_000)
    origin.push()
    await take_in(mirror, origin)
    asked: list[str] = []
    ask = ObjectReader._ask

    async def counted(self: ObjectReader, verb: str, names: Sequence[str], take: Any) -> Any:
        asked.extend(names)
        return await ask(self, verb, names, take)

    monkeypatch.setattr(ObjectReader, "_ask", counted)
    assert await mirror.commit_of(second) == second
    assert await mirror.is_ancestor(first, second)
    assert await mirror.new_commits(second, [first]) == [second]
    [shown] = await mirror.commits([second])
    assert shown.parents == (first,)
    assert await mirror.paths(second) == [".mainstay/ci.yml", "other"]
    assert await mirror.read(second, ".mainstay/ci.yml") == b"on: push\n"
    assert asked == []
    with pytest.raises(TooLarge):
        await mirror.read(second, ".mainstay/ci.yml", limit_bytes=3)
    assert len(await mirror.read(second, "other") or b"") == 100_000
    assert len(asked) == 1  # too large to be kept
    with pytest.raises(NotFound):
        await mirror.commits(["1" * 40])


async def test_kept_objects_are_bounded(origin: Origin, mirror: Mirror) -> None:
    names = [f"file{number}" for number in range(40)]
    for name in names:
        (origin.work / name).write_text(name * 2000)
    sha = origin.commit("last", "last")
    origin.push()
    await take_in(mirror, origin)
    for name in names:
        assert await mirror.read(sha, name) == (name * 2000).encode()
    assert mirror._objects._kept_bytes == sum(len(thing.data) for thing in mirror._objects._kept.values())
    assert 0 < mirror._objects._kept_bytes <= KEPT_BYTES


async def test_few_objects_are_copied_without_a_git_and_many_as_a_pack(
    origin: Origin, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = origin.commit()
    origin.push()
    await take_in(mirror, origin)
    assert list((mirror.path / "objects/pack").iterdir()) == []
    monkeypatch.setattr(copying, "OBJECTS_LIMIT", 10)
    for number in range(10):
        last = origin.commit(f"file{number}")
    origin.push()
    await take_in(mirror, origin)
    assert len(list((mirror.path / "objects/pack").glob("*.pack"))) == 1
    assert len(await mirror.new_commits(last, [first])) == 10
    fsck(mirror)


async def test_five_hundred_commits_in_one_push_are_listed_newest_first(origin: Origin, mirror: Mirror) -> None:
    first = origin.commit()
    origin.push()
    await take_in(mirror, origin)
    stream = "".join(
        f"commit refs/heads/main\nmark :{n}\ncommitter Ben <b@e> {1700000000 + n} +0000\ndata 2\nc\n"
        + (f"from {first}\n" if n == 1 else "")
        + f"M 644 inline f{n % 7}\ndata {len(str(n))}\n{n}\n"
        for n in range(1, 501)
    )
    origin.git("fast-import", "--quiet", "--force", stdin=stream.encode())
    origin.push("refs/heads/main")
    tip = (await take_in(mirror, origin))["refs/heads/main"]
    new = await mirror.new_commits(tip, [first])
    assert (len(new), new[0]) == (500, tip)
    commits = await mirror.commits(new)
    assert [commit.parents[0] for commit in commits] == [*new[1:], first]
    fsck(mirror)


async def test_new_and_deleted_branches_move_the_mirrors_own_refs(origin: Origin, mirror: Mirror) -> None:
    sha = origin.commit()
    origin.push("HEAD:refs/heads/main", "HEAD:refs/heads/a/b")
    assert set(await take_in(mirror, origin)) == {"refs/heads/main", "refs/heads/a/b"}
    origin.push(":refs/heads/a/b")
    origin.push("HEAD:refs/heads/a")
    assert await take_in(mirror, origin) == {"refs/heads/main": sha, "refs/heads/a": sha}
    await mirror.fetch(str(origin.path), {"refs/heads/never-was": None})


async def test_a_deletion_among_other_moves_makes_room_for_a_ref_of_the_same_name(
    origin: Origin, mirror: Mirror
) -> None:
    origin.commit()
    origin.push("HEAD:refs/heads/a")
    await take_in(mirror, origin)
    origin.push(":refs/heads/a")
    origin.push("HEAD:refs/heads/a/b")
    assert set(await take_in(mirror, origin)) == {"refs/heads/a/b"}


async def test_tags_of_both_kinds_are_peeled_to_their_commit(origin: Origin, mirror: Mirror) -> None:
    sha = origin.commit()
    origin.git("tag", "light")
    origin.git("tag", "-a", "noted", "-m", "a note")
    origin.git("tag", "-a", "nested", "noted", "-m", "a note on a note")
    tree = origin.git("rev-parse", "HEAD^{tree}")
    origin.git("tag", "of-a-tree", tree)
    origin.push("HEAD:refs/heads/main", "--tags")
    seen = await take_in(mirror, origin)
    commits = {ref: await mirror.commit_of(value) for ref, value in seen.items()}
    assert commits == {
        "refs/heads/main": sha,
        "refs/tags/light": sha,
        "refs/tags/noted": sha,
        "refs/tags/nested": sha,
        "refs/tags/of-a-tree": None,
    }
    assert seen["refs/tags/noted"] != sha
    assert await mirror.resolve("nested") == sha


async def test_a_commit_that_was_pushed_away_by_force_stays(origin: Origin, mirror: Mirror) -> None:
    base = origin.commit()
    lost = origin.commit("lost", "precious")
    origin.push()
    await take_in(mirror, origin)
    origin.git("reset", "-q", "--hard", base)
    kept = origin.commit("kept")
    origin.push("+HEAD:refs/heads/main")
    await take_in(mirror, origin)
    origin.git("reflog", "expire", "--expire=now", "--all")
    origin.git("gc", "-q", "--prune=now", cwd=origin.path)
    for _ in range(45):
        origin.commit("file")
    origin.push()
    await take_in(mirror, origin)
    assert await mirror.read(lost, "lost") == b"precious"
    assert not await mirror.is_ancestor(lost, kept)
    assert await mirror.is_ancestor(base, kept)
    assert await mirror.new_commits(kept, [lost]) == [kept]


async def test_tending_packs_loose_objects_and_drops_none(
    origin: Origin, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = origin.commit()
    lost = origin.commit("lost", "precious")
    origin.push()
    await take_in(mirror, origin)
    origin.git("reset", "-q", "--hard", base)
    origin.push("+HEAD:refs/heads/main")
    await take_in(mirror, origin)
    assert not await mirror.tend()
    monkeypatch.setattr("mainstay.git.mirror.PACKS_LIMIT", -1)
    assert await mirror.tend()
    assert len(list((mirror.path / "objects/pack").glob("*.pack"))) == 1
    assert await mirror.read(lost, "lost") == b"precious"
    assert await mirror.refs() == {"refs/heads/main": base}


async def test_merges_bring_the_commits_of_all_parents_and_first_parents_alone_when_asked(
    origin: Origin, mirror: Mirror
) -> None:
    base = origin.commit()
    origin.git("checkout", "-q", "-b", "side")
    side = origin.commit("side")
    origin.git("checkout", "-q", "main")
    main = origin.commit("main")
    origin.git("merge", "-q", "--no-ff", "-m", "merge", "side")
    merge = origin.git("rev-parse", "HEAD")
    origin.push()
    await take_in(mirror, origin)
    assert set(await mirror.new_commits(merge, [base])) == {merge, main, side}
    assert await mirror.new_commits(merge, [base], first_parent=True) == [merge, main]
    assert await mirror.new_commits(merge, [main]) == [merge, side]
    assert await mirror.new_commits(merge, [merge]) == []
    assert await mirror.new_commits(merge, [base], limit=1) == [merge]
    assert (await mirror.commits([merge]))[0].parents == (main, side)
    assert len(await mirror.new_commits(merge, [])) == 4


async def test_refs_with_names_like_options_or_shell_text_are_names(origin: Origin, mirror: Mirror) -> None:
    sha = origin.commit()
    names = ["-rf", "--upload-pack=touch x", "$(touch x)", "`id`", "ä/日本", "a'b\"c", "a;b&c|d"]
    refs = {f"refs/heads/{name}" for name in names if " " not in name}
    origin.push(*(f"HEAD:{ref}" for ref in sorted(refs)))
    assert set(await take_in(mirror, origin)) == refs
    assert await mirror.resolve("-rf") == sha
    origin.git("pack-refs", "--all", cwd=origin.path)
    assert set(await take_in(mirror, origin)) == refs


async def test_a_ref_name_that_is_not_utf8_is_left_out_and_said(origin: Origin, mirror: Mirror) -> None:
    sha = origin.commit()
    origin.push()
    origin.git(b"update-ref", b"refs/heads/caf\xe9", sha.encode(), cwd=origin.path)
    listed = await mirror.remote_refs(str(origin.path))
    assert (set(listed.refs), listed.skipped) == ({"refs/heads/main"}, ("refs/heads/caf\\xe9",))
    origin.git("pack-refs", "--all", cwd=origin.path)
    assert (await mirror.remote_refs(str(origin.path))).skipped == ("refs/heads/caf\\xe9",)


@pytest.mark.parametrize("bad", ["-rf", "main", "HEAD", "refs/heads/a b", "refs/heads/..", "refs/heads/x.lock", ""])
async def test_what_is_not_a_whole_ref_name_is_refused(origin: Origin, mirror: Mirror, bad: str) -> None:
    with pytest.raises(BadInput):
        await mirror.fetch(str(origin.path), {bad: "0" * 40})


@pytest.mark.parametrize("bad", ["-rf", "--all", "HEAD", "../../etc/passwd", "A" * 40, "0" * 39, "0" * 40 + "\n"])
async def test_what_is_not_a_commit_id_is_refused_everywhere(origin: Origin, mirror: Mirror, bad: str) -> None:
    with pytest.raises(BadInput):
        await mirror.fetch(str(origin.path), {"refs/heads/main": bad})
    for ask in (mirror.commit_of, mirror.paths):
        with pytest.raises(BadInput):
            await ask(bad)
    with pytest.raises(BadInput):
        await mirror.commits([bad])
    with pytest.raises(BadInput):
        await mirror.new_commits(bad, [])
    with pytest.raises(BadInput):
        await mirror.is_ancestor(bad, "0" * 40)
    with pytest.raises(BadInput):
        async for _ in mirror.archive(bad):
            pass


@pytest.mark.parametrize(
    "source", ["-u", "--upload-pack=x", "ext::sh -c id", "relative/path", "", "ssh://-oProxyCommand=x/y"]
)
async def test_an_address_that_is_none_is_refused(mirror: Mirror, source: str) -> None:
    with pytest.raises(BadInput):
        await mirror.remote_refs(source)


async def test_a_repository_that_is_not_there_is_said_in_words(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        await mirror.remote_refs(str(tmp_path / "nowhere"))
    with pytest.raises(NotFound, match="is not a git repository"):
        await mirror.remote_refs(tmp_path.as_uri())


async def test_work_trees_and_file_urls_lead_to_the_main_repositorys_refs(origin: Origin, mirror: Mirror) -> None:
    sha = origin.commit()
    origin.git("worktree", "add", "-q", "-b", "other", "../other")
    for source in (str(origin.work), origin.work.as_uri(), str(origin.work.parent / "other")):
        listed = await mirror.remote_refs(source)
        assert listed.refs == {"refs/heads/main": sha, "refs/heads/other": sha}
        assert listed.head == "refs/heads/main"


async def test_many_loose_refs_are_listed_by_git_and_come_out_the_same(origin: Origin, mirror: Mirror) -> None:
    sha = origin.commit()
    origin.push()
    lines = "".join(f"create refs/heads/b{number} {sha}\n" for number in range(250))
    origin.git("update-ref", "--stdin", stdin=lines.encode(), cwd=origin.path)
    listed = await mirror.remote_refs(str(origin.path))
    assert (len(listed.refs), listed.head) == (251, "refs/heads/main")


async def test_a_symbolic_branch_is_listed_as_what_it_points_to(origin: Origin, mirror: Mirror) -> None:
    sha = origin.commit()
    origin.push()
    origin.git("symbolic-ref", "refs/heads/alias", "refs/heads/main", cwd=origin.path)
    assert (await mirror.remote_refs(str(origin.path))).refs["refs/heads/alias"] == sha


async def test_a_damaged_source_is_an_error_and_moves_nothing(origin: Origin, mirror: Mirror) -> None:
    sha = origin.commit(text="whole")
    origin.push()
    blob = origin.git("rev-parse", "HEAD:file")
    path = origin.path / "objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    path.write_bytes(b"rubbish")
    with pytest.raises(GitError, match=r"lacks the object|damaged"):
        await mirror.fetch(str(origin.path), {"refs/heads/main": sha})
    assert await mirror.refs() == {}
    assert await mirror.commit_of(sha) is None


async def test_a_damaged_source_is_an_error_when_it_comes_as_a_pack(
    origin: Origin, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "OBJECTS_LIMIT", 0)
    sha = origin.commit(text="whole")
    origin.push()
    blob = origin.git("rev-parse", "HEAD:file")
    (origin.path / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(GitError, match="pack-objects"):
        await mirror.fetch(str(origin.path), {"refs/heads/main": sha})
    assert await mirror.refs() == {}


async def test_bytes_that_do_not_have_their_id_are_refused(origin: Origin, mirror: Mirror) -> None:
    sha = origin.commit(text="one")
    origin.push()
    other = origin.git("hash-object", "-w", "--stdin", stdin=b"two\n")
    blob = origin.git("rev-parse", "HEAD:file")
    target = origin.path / "objects" / blob[:2] / blob[2:]
    target.chmod(0o644)
    target.write_bytes((origin.work / ".git/objects" / other[:2] / other[2:]).read_bytes())
    with pytest.raises(GitError, match="damaged"):
        await mirror.fetch(str(origin.path), {"refs/heads/main": sha})


async def test_a_torn_object_of_the_mirror_is_mended_by_the_next_fetch(origin: Origin, mirror: Mirror) -> None:
    """Loose objects are not flushed to the disk one by one (nor does git): a power cut may leave an empty file."""
    sha = origin.commit(text="whole")
    origin.push()
    await take_in(mirror, origin)
    torn = mirror.path / "objects" / sha[:2] / sha[2:]
    torn.chmod(0o644)
    torn.write_bytes(b"")
    await mirror.close()
    await mirror.fetch(str(origin.path), {"refs/heads/main": sha})
    assert await mirror.read(sha, "file") == b"whole"
    fsck(mirror)


async def test_two_fetches_at_once_both_succeed(origin: Origin, mirror: Mirror) -> None:
    shas = {}
    for name in ("one", "two", "three"):
        shas[f"refs/heads/{name}"] = origin.commit(name)
        origin.push(f"HEAD:refs/heads/{name}")
    await asyncio.gather(*(mirror.fetch(str(origin.path), {ref: sha}) for ref, sha in shas.items()))
    assert await mirror.refs() == shas
    fsck(mirror)


async def test_a_sha256_repository_is_mirrored_like_any_other(
    make_origin: Callable[[str, str], Origin], mirror: Mirror
) -> None:
    origin = make_origin("new", "sha256")
    sha = origin.commit("dir/file", "text")
    origin.push()
    assert len(sha) == 64
    await take_in(mirror, origin)
    assert await mirror.read(sha, "dir/file") == b"text"
    last = origin.commit("dir/other")
    origin.push()
    await take_in(mirror, origin)
    assert await mirror.new_commits(last, [sha]) == [last]
    assert await mirror.resolve(last[:9]) == last
    fsck(mirror)


async def test_a_source_that_changed_its_object_format_is_refused_in_words(
    origin: Origin, make_origin: Callable[[str, str], Origin], mirror: Mirror
) -> None:
    origin.commit()
    origin.push()
    await take_in(mirror, origin)
    other = make_origin("new", "sha256")
    sha = other.commit()
    other.push()
    with pytest.raises(Conflict, match="object format"):
        await mirror.fetch(str(other.path), {"refs/heads/main": sha})


async def test_a_shallow_source_is_mirrored_as_far_as_it_goes(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    origin.commit("one")
    second = origin.commit("two")
    origin.push()
    shallow = tmp_path / "shallow"
    origin.git("clone", "-q", "--depth=1", origin.path.as_uri(), str(shallow))
    await mirror.fetch(str(shallow), {"refs/heads/main": second})
    assert await mirror.new_commits(second, []) == [second]
    assert await mirror.read(second, "two") == b"two\n"


async def test_commits_are_shown_whatever_bytes_they_hold(origin: Origin, mirror: Mirror) -> None:
    tree = origin.git("mktree")
    raw = {
        "latin": b"tree %s\nauthor J\xf6rg <j@x> 1700000000 +0200\ncommitter A <a@x> 1700000001 +0000\n"
        b"encoding ISO-8859-1\n\nGr\xfc\xdfe\n",
        "broken": b"tree %s\nauthor \xff\xfe <\xff> 99999999999999999999 +9999\ncommitter <> now\n\nz\xe9ro\n",
        "signed": b"tree %s\nauthor A <a@x> 0 +0000\ncommitter A <a@x> 0 +0000\ngpgsig -----BEGIN\n \n author X <x> 1\n"
        b" -----END\n\n\n  The subject  \n\nbody\n",
        "bare": b"tree %s\nauthor A <a@x> 0 +0000\ncommitter A <a@x> 0 +0000\n\n",
    }
    shas = {}
    for name, text in raw.items():
        data = text.replace(b"%s", tree.encode())
        shas[name] = origin.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=data)
        origin.git("update-ref", f"refs/heads/{name}", shas[name])
    await mirror.fetch(str(origin.work), {f"refs/heads/{name}": sha for name, sha in shas.items()})
    latin, broken, signed, bare = await mirror.commits(list(shas.values()))
    assert (latin.author, latin.subject) == ("Jörg", "Grüße")
    assert latin.authored_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert (broken.author, broken.subject) == ("\ufffd\ufffd", "z\ufffdro")
    assert broken.authored_at == broken.committed_at == datetime(1970, 1, 1, tzinfo=UTC)
    assert (signed.author, signed.subject) == ("A", "The subject")
    assert (bare.subject, bare.message) == ("", "")
    for commit in (latin, broken, signed, bare):
        commit.message.encode()


async def test_a_message_of_a_megabyte_is_cut_and_the_commit_taken(origin: Origin, mirror: Mirror) -> None:
    origin.commit()
    message = "ä" * 600 + "\n\n" + "é" * 500_000
    sha = origin.git("commit-tree", "HEAD^{tree}", stdin=message.encode())
    origin.push(f"{sha}:refs/heads/main")
    await take_in(mirror, origin)
    (commit,) = await mirror.commits([sha])
    assert commit.subject == "ä" * 500
    assert 64 * 1024 - 2 <= len(commit.message.encode()) <= 64 * 1024


async def test_reading_finds_regular_files_only(origin: Origin, mirror: Mirror) -> None:
    (origin.work / "dir").mkdir()
    (origin.work / "dir/link").symlink_to("../file")
    (origin.work / os.fsdecode(b"caf\xe9")).write_text("latin")
    (origin.work / "run").write_text("#!/bin/sh\n")
    (origin.work / "run").chmod(0o755)
    sha = origin.commit("file", "text")
    origin.push()
    await take_in(mirror, origin)
    assert await mirror.paths(sha) == [os.fsdecode(b"caf\xe9"), "dir/link", "file", "run"]
    assert await mirror.read(sha, os.fsdecode(b"caf\xe9")) == b"latin"
    assert await mirror.read(sha, "run") == b"#!/bin/sh\n"
    for path in ("dir", "dir/link", "dir/link/x", "nothing", "", "/", "..", "../file", "file/", "-rf", "a\nb"):
        assert await mirror.read(sha, path) is None
    with pytest.raises(TooLarge):
        await mirror.read(sha, "file", limit_bytes=3)
    assert await mirror.read(sha, "file") == b"text"
    with pytest.raises(NotFound):
        await mirror.read("1" * 40, "file")


async def test_shortened_ids_and_names_are_resolved(origin: Origin, mirror: Mirror) -> None:
    sha = origin.commit()
    origin.push("HEAD:refs/heads/main", "HEAD:refs/heads/feature/x")
    await take_in(mirror, origin)
    for name in (sha, sha[:7], sha[:20], "main", "feature/x", "refs/heads/main"):
        assert await mirror.resolve(name) == sha
    tree = (await mirror.commits([sha]))[0].tree
    for name in (tree[:10], "f" * 7, "nothing", "HEAD", "@", "main^", "main:file", "-rf", "--all", "a b", ""):
        assert await mirror.resolve(name) is None


async def test_digits_that_fit_two_commits_are_refused_with_both(
    origin: Origin, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commits with seven equal digits take too long to find; with two digits it is the same rule."""
    monkeypatch.setattr("mainstay.git.mirror.is_prefix", lambda name: len(name) == 4)
    seen: dict[str, str] = {}
    origin.commit()
    tree = origin.git("rev-parse", "HEAD^{tree}")
    count = 0
    while True:
        lines = "".join(
            f"commit refs/heads/n{number}\ncommitter B <b@e> {number} +0000\ndata 1\nc\n"
            for number in range(count, count + 500)
        )
        count += 500
        origin.git("fast-import", "--quiet", "--force", stdin=lines.encode())
        listed = origin.git("for-each-ref", "--format=%(objectname)", "refs/heads/n*").split()
        seen = {}
        pair = next(((seen[sha[:4]], sha) for sha in listed if seen.setdefault(sha[:4], sha) != sha), None)
        if pair:
            break
    assert tree
    await mirror.fetch(str(origin.work), {"refs/heads/a": pair[0], "refs/heads/b": pair[1]})
    with pytest.raises(Conflict, match="fits 2 commits"):
        await mirror.resolve(pair[0][:4])


async def test_changed_paths_are_listed(origin: Origin, mirror: Mirror) -> None:
    first = origin.commit("a")
    second = origin.commit("dir/ä b")
    origin.push()
    await take_in(mirror, origin)
    assert await mirror.changed(first, second) == ["dir/ä b"]
    assert await mirror.changed(None, second) == ["a", "dir/ä b"]


async def test_an_archive_holds_the_commits_files(origin: Origin, mirror: Mirror) -> None:
    sha = origin.commit("dir/file", b"x" * 1_000_000)
    origin.push()
    await take_in(mirror, origin)
    data = b"".join([piece async for piece in mirror.archive(sha)])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        member = tar.extractfile("dir/file")
        assert member is not None
        assert len(member.read()) == 1_000_000
    with pytest.raises(BadInput):
        async for _ in mirror.archive(sha, "sh"):
            pass


async def test_a_lock_left_by_a_git_that_was_killed_needs_nobody(
    origin: Origin, mirror: Mirror, tmp_path: Path
) -> None:
    sha = origin.commit()
    origin.push()
    await take_in(mirror, origin)
    for name in ("refs/heads/main.lock", "packed-refs.lock", "HEAD.lock"):
        (mirror.path / name).touch()
    again = Mirror(tmp_path / "mirror.git")
    await again.create()
    await again.fetch(str(origin.path), {"refs/heads/main": None, "refs/heads/new": sha})
    assert await again.refs() == {"refs/heads/new": sha}
    old = mirror.path / "refs/heads/new.lock"
    old.touch()
    os.utime(old, (0, 0))
    await again.fetch(str(origin.path), {"refs/heads/new": None})
    assert await again.refs() == {}
    await again.close()


async def test_a_standing_process_that_dies_is_replaced(origin: Origin, tmp_path: Path) -> None:
    standing = Standing()
    mirror = Mirror(tmp_path / "m.git", standing)
    await mirror.create()
    sha = origin.commit(text="text")
    origin.push()
    await take_in(mirror, origin)
    async with standing.use(mirror.path, CAT_FILE) as process:
        process.kill()
    assert await mirror.read(sha, "file") == b"text"
    await standing.close()
    assert standing.open == 0


async def test_standing_processes_are_bounded_and_idle_ones_end(
    make_origin: Callable[..., Origin], tmp_path: Path
) -> None:
    standing = Standing(limit=2, idle_s=0.2)
    for name in ("a", "b", "c"):
        origin = make_origin(name)
        origin.commit()
        origin.push()
        mirror = Mirror(tmp_path / f"{name}.git", standing)
        await mirror.create()
        await take_in(mirror, origin)
    assert standing.open <= 2
    async with asyncio.timeout(60):
        while standing.open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await standing.close()


async def test_a_cancelled_fetch_leaves_a_mirror_that_works(origin: Origin, mirror: Mirror) -> None:
    sha = origin.commit()
    origin.push()
    for moment in range(6):
        task = asyncio.create_task(mirror.fetch(str(origin.path), {"refs/heads/main": sha}))
        for _ in range(moment * 2):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await mirror.fetch(str(origin.path), {"refs/heads/main": sha})
    assert await mirror.refs() == {"refs/heads/main": sha}
