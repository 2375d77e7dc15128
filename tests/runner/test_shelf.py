"""Artifacts of other jobs and caches: `actions/download-artifact`, `actions/cache`."""

import io
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from mainstay.model.plan import Service, Step
from mainstay.runner.pack import choose, pack, unpack
from mainstay.runner.unpack import BadBundle, Into, parts_of, unpack_zip
from mainstay.runner.zstd import ZstdFile
from tests.runner.bench import Bench


def go_on() -> None:
    """Nobody stops it."""


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("shelf"))
    with bench.runner():
        yield bench


@pytest.fixture
def bench(runner: Bench) -> Bench:
    runner.server.shared, runner.server.caches = {}, []
    return runner


DOWNLOAD = "actions/download-artifact@v4"


def test_an_artifact_of_another_job_is_unpacked_where_it_is_wanted(bench: Bench) -> None:
    bench.server.shared = {"dist": zipped({"a/x.whl": "wheel", "b.txt": "text"})}
    finish, record = bench.run(
        Step(uses=DOWNLOAD, id="d", inputs={"name": "dist", "path": "out", "github-token": "t"}),
        "cat out/a/x.whl out/b.txt; test '${{ steps.d.outputs.download-path }}' = \"$PWD/out\"",
    )
    assert finish.state == "passed", finish.reason
    assert record.log.endswith(b"wheeltext")
    assert any("github-token" in each.message for each in finish.annotations)


def test_all_artifacts_have_folders_of_their_own_unless_they_are_merged(bench: Bench) -> None:
    bench.server.shared = {"cov-1": zipped({"1": "one"}), "cov-2": zipped({"2": "two"}), "other": zipped({"3": "3"})}
    finish, record = bench.run(
        Step(uses=DOWNLOAD, inputs={"path": "all"}),
        Step(uses=DOWNLOAD, inputs={"pattern": "cov-*", "path": "merged", "merge-multiple": "true"}),
        "ls all all/cov-1 merged | tr '\\n' ' '",
    )
    assert finish.state == "passed", finish.reason
    assert record.log.endswith(b"all: cov-1 cov-2 other  all/cov-1: 1  merged: 1 2 ")


@pytest.mark.parametrize(
    ("inputs", "holds"),
    [
        ({}, b"both one two"),
        ({"separate-directories": "true"}, b"cov-1 cov-1/both cov-1/one cov-2 cov-2/both cov-2/two"),
    ],
)
def test_artifacts_are_put_together_as_one(bench: Bench, inputs: dict[str, str], holds: bytes) -> None:
    shared = {"cov-1": {"one": "1", "both": "1"}, "cov-2": {"two": "2", "both": "2"}, "other": {"3": "3"}}
    bench.server.shared = {name: zipped(files) for name, files in shared.items()}
    finish, record = bench.run(
        Step(uses="actions/upload-artifact/merge@v4", inputs={"name": "all", "pattern": "cov-*", **inputs}),
        Step(uses=DOWNLOAD, inputs={"name": "all", "path": "back"}),
        "cd back && find . -mindepth 1 | sed s,./,, | sort | tr '\\n' ' '; cat both || true",
    )
    assert finish.state == "passed", finish.reason
    listed = record.log.replace(b"\r", b"")
    assert holds in listed
    assert inputs or listed.endswith(b"2")


@pytest.mark.parametrize(("version", "kept"), [("v3", True), ("v4.3.6", True), ("v4", False), ("v7.0.1", False)])
def test_hidden_files_are_kept_by_the_versions_that_kept_them(bench: Bench, version: str, kept: bool) -> None:
    inputs = {"name": "data", "path": ".coverage.*", "if-no-files-found": "error"}
    finish, _ = bench.run("echo > .coverage.1", Step(uses=f"actions/upload-artifact@{version}", inputs=inputs))
    assert finish.state == ("passed" if kept else "failed")


def test_nothing_to_put_together_fails_unless_told(bench: Bench) -> None:
    uses = "actions/upload-artifact/merge@v4"
    refused, _ = bench.run(Step(uses=uses, inputs={"pattern": "none-*"}))
    assert (refused.state, "has a name like none-*" in (refused.reason or "")) == ("failed", True)
    ignored, _ = bench.run(Step(uses=uses, inputs={"pattern": "none-*", "if-no-files-found": "ignore"}))
    assert ignored.state == "passed"


def test_what_the_job_itself_kept_comes_back_from_its_journal(bench: Bench) -> None:
    bench.server.shared = {"mine": zipped({"old": "old"})}
    finish, record = bench.run(
        "echo new > new",
        Step(uses="actions/upload-artifact@v4", inputs={"name": "mine", "path": "new"}),
        Step(uses=DOWNLOAD, inputs={"name": "mine", "path": "back"}),
        "ls back",
    )
    assert finish.state == "passed", finish.reason
    assert record.log.endswith(b"new\n")


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"name": "none"}, "this build has no artifact none; those kept so far: dist"),
        ({"name": "dist", "path": "/etc"}, "neither in the work tree nor in HOME"),
        ({"name": "dist", "path": "../x"}, "neither in the work tree nor in HOME"),
        ({"name": "dist", "run-id": "7"}, "only the artifacts of this build"),
        ({"name": "bad"}, "does not stay in its folder"),
        ({"name": "noise"}, "it is no zip"),
    ],
)
def test_what_cannot_be_downloaded_fails_in_words(bench: Bench, inputs: dict[str, str], words: str) -> None:
    bench.server.shared = {"dist": zipped({"x": "x"})}
    if inputs["name"] in ("bad", "noise"):
        bench.server.shared = {"bad": zipped({"../../escaped": "x"}), "noise": b"no zip at all"}
    finish, _ = bench.run(Step(uses=DOWNLOAD, inputs=inputs))
    assert finish.state == "failed"
    assert words in (finish.reason or "")


def test_a_server_that_is_away_is_waited_for(bench: Bench) -> None:
    bench.server.shared = {"dist": zipped({"x": "x"})}
    bench.server.fail("get artifacts", "503", "503", "502")
    finish, _ = bench.run(Step(uses=DOWNLOAD, inputs={"name": "dist"}))
    assert finish.state == "passed", finish.reason


def test_a_job_that_waits_for_an_artifact_can_be_cancelled(bench: Bench) -> None:
    bench.server.fail("get artifacts", *["503"] * 1000)
    try:
        attempt, record = bench.give(Step(uses=DOWNLOAD, inputs={"name": "dist"}))
        bench.server.wait(lambda: record.progress)
        bench.server.cancel(attempt, "enough")
        finish = bench.server.ended(attempt)
        assert (finish.state, finish.steps[0].state) == ("cancelled", "cancelled")
    finally:
        bench.server.faults.clear()


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    root, outside, bundle = tmp_path / "root", tmp_path / "outside", tmp_path / "b.zip"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    (root / "file").symlink_to(outside / "victim")
    bundle.write_bytes(zipped({"link/x": "x"}))
    with pytest.raises(BadBundle, match="link is a link"):
        unpack_zip(bundle, root, (), go_on)
    bundle.write_bytes(zipped({"file": "x"}))
    assert unpack_zip(bundle, root, (), go_on) == 1
    assert list(outside.iterdir()) == []
    assert (root / "file").read_text() == "x"


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "b.zip"
    monkeypatch.setattr("mainstay.runner.unpack.MAX_BYTES", 1 << 20)
    bundle.write_bytes(zipped({"zeros": bytes(2 << 20)}))
    with pytest.raises(BadBundle, match="larger than the limit"):
        unpack_zip(bundle, tmp_path, (), go_on)
    monkeypatch.setattr("mainstay.runner.unpack.MAX_DIRECTORY", 1 << 20)
    bundle.write_bytes(zipped({f"{'x' * 3000}{n}": "" for n in range(400)}))
    with pytest.raises(BadBundle, match="list of files"):
        unpack_zip(bundle, tmp_path, (), go_on)
    monkeypatch.setattr("mainstay.runner.unpack.MAX_ENTRIES", 1)
    bundle.write_bytes(zipped({"a": "", "b": ""}))
    with pytest.raises(BadBundle, match="holds 2 files"):
        unpack_zip(bundle, tmp_path, (), go_on)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "", ".", "a\0b"])
def test_names_that_lead_out_are_refused(name: str) -> None:
    with pytest.raises(BadBundle):
        parts_of(name)


def test_a_cache_whose_names_are_endless_fills_no_memory(tmp_path: Path) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        entry = tarfile.TarInfo("work/x")
        entry.type, entry.size = kind, 1 << 33
        bundle = tmp_path / "c.tar.zst"
        with bundle.open("wb") as file, ZstdFile(file, "w", level=1) as packed:
            packed.write(entry.tobuf(tarfile.GNU_FORMAT))
            for _ in range(4):
                packed.write(bytes(1 << 20))
        with pytest.raises(BadBundle, match=f"a header of {1 << 33} bytes"):
            unpack(bundle, {"work": tmp_path}, go_on)


CACHE = "actions/cache@v4"
MAKE = "mkdir -p deps/sub ~/.cache/tool; echo 1 > deps/sub/f; ln -s sub/f deps/l; echo h > ~/.cache/tool/t"
INPUTS = {"path": "deps\n~/.cache/tool", "key": "k-1", "restore-keys": "k-\n"}
HIT = 'echo "hit=${{ steps.c.outputs.cache-hit }} matched=${{ steps.c.outputs.cache-matched-key }}"'


def test_a_cache_is_saved_at_the_end_and_restored_by_the_next_job(bench: Bench) -> None:
    finish, record = bench.run(Step(uses=CACHE, id="c", inputs=INPUTS), HIT, MAKE)
    assert finish.state == "passed"
    assert b"hit= matched=\n" in record.log
    assert [key for key, _, _ in bench.server.caches] == ["k-1"]
    finish, record = bench.run(
        Step(uses=CACHE, id="c", inputs=INPUTS), HIT, "cat deps/sub/f deps/l ~/.cache/tool/t; readlink deps/l"
    )
    assert finish.state == "passed"
    assert record.log.endswith(b"hit=true matched=k-1\n1\n1\nh\nsub/f\n")
    finish, record = bench.run(Step(uses=CACHE, id="c", inputs={**INPUTS, "key": "k-2"}), HIT, "cat deps/l")
    assert b"hit=false matched=k-1\n1\n" in record.log
    assert [key for key, _, _ in bench.server.caches] == ["k-1", "k-2"]


def test_a_failed_job_saves_no_cache_unless_it_is_told_to(bench: Bench) -> None:
    finish, _ = bench.run(Step(uses=CACHE, inputs=INPUTS), MAKE, "exit 1")
    assert (finish.state, bench.server.caches) == ("failed", [])
    bench.run(Step(uses=CACHE, inputs={**INPUTS, "save-always": "true"}), MAKE, "exit 1")
    assert len(bench.server.caches) == 1


def test_a_cache_of_other_paths_does_not_fit(bench: Bench) -> None:
    bench.run(Step(uses=CACHE, inputs=INPUTS), MAKE)
    _, record = bench.run(Step(uses="actions/cache/restore@v4", inputs={**INPUTS, "path": "deps"}), "ls deps || true")
    assert b"No cache fits k-1" in record.log


def test_saving_and_looking_up_by_themselves(bench: Bench) -> None:
    bench.run(MAKE, Step(uses="actions/cache/save@v4", inputs=INPUTS))
    finish, record = bench.run(
        Step(uses="actions/cache/restore@v4", id="c", inputs={**INPUTS, "lookup-only": "true"}), HIT, "test ! -e deps"
    )
    assert finish.state == "passed"
    assert b"hit=true" in record.log
    finish, _ = bench.run(
        Step(uses="actions/cache/restore@v4", inputs={"path": "deps", "key": "none", "fail-on-cache-miss": "true"})
    )
    assert finish.state == "failed"


def test_a_cache_that_cannot_be_read_or_kept_is_a_warning(bench: Bench) -> None:
    bench.run(MAKE, Step(uses="actions/cache/save@v4", inputs=INPUTS))
    [(key, version, _)] = bench.server.caches
    bench.server.caches = [(key, version, b"not zstd")]
    finish, record = bench.run(Step(uses=CACHE, inputs=INPUTS))
    assert finish.state == "passed"
    assert b"\nWarning: the cache " in record.log
    assert b"there is nothing at its paths" in record.log
    assert any("could not be restored: it cannot be read" in each.message for each in finish.annotations)
    assert any("there is nothing at its paths" in each.message for each in finish.annotations)


def test_archives_keep_globs_links_and_modes_and_leave_out_what_leads_out(tmp_path: Path) -> None:
    source, target = {"work": tmp_path / "a"}, {"work": tmp_path / "b"}
    (tmp_path / "a/x/node_modules/deep").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "a/x/node_modules/deep/f").write_text("f")
    (tmp_path / "a/x/node_modules/deep/f").chmod(0o755)
    (tmp_path / "a/x/node_modules/out").symlink_to("/etc/passwd")
    (tmp_path / "a/x/node_modules/up").symlink_to("../../../../b")
    (tmp_path / "a/x/skip").write_text("")
    (tmp_path / "a/linked").symlink_to("/etc")
    chosen = choose(source, [("work", ("**", "node_modules")), ("work", ("linked", "ssl"))], [("work", ("**", "gone"))])
    pack(source, chosen, tmp_path / "c", go_on)
    assert unpack(tmp_path / "c", target, go_on) == (3, 2)
    assert (tmp_path / "b/x/node_modules/deep/f").stat().st_mode & 0o777 == 0o755
    assert not (tmp_path / "b/x/skip").exists()


def test_an_archive_that_names_other_folders_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    pack({"etc": tmp_path}, [("etc", ("x",))], tmp_path / "c", go_on)
    with pytest.raises(BadBundle, match="none of the job's folders"):
        unpack(tmp_path / "c", {"work": tmp_path}, go_on)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Into(tmp_path) as into:
        for number in range(20):
            into.file(("a", str(number % 3), "f"), io.BytesIO(b"x"), 10, 0o644)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_job_with_services_fails_at_once_where_there_is_no_engine(bench: Bench) -> None:
    finish, _ = bench.run("true", plan={"services": {"db": Service("postgres:18")}})
    assert finish.state == "failed"
    assert "asks for containers" in (finish.reason or "")


def test_what_is_damaged_on_its_way_is_not_used(bench: Bench) -> None:
    bench.server.shared["damaged"] = b"PK whatever"
    bench.server.digests["damaged"] = "0" * 64
    finish, _ = bench.run(
        Step(uses="actions/download-artifact@v4", inputs={"name": "damaged"}, timeout_s="1", continue_on_error="true"),
    )
    assert finish.steps[0].state.value == "allowed"
    assert not (bench.folder / "damaged").exists()
    del bench.server.shared["damaged"]


def test_file_names_that_are_not_utf8_are_kept_with_words(bench: Bench) -> None:
    finish, record = bench.run(
        "mkdir out; python3 -c \"open(b'out/caf\\xe9', 'w').write('x')\"",
        Step(uses="actions/upload-artifact@v4", inputs={"name": "odd", "path": "out"}),
    )
    assert finish.state == "passed"
    assert zipfile.ZipFile(io.BytesIO(record.artifacts["odd"])).namelist() == ["caf%E9"]
    assert "not UTF-8" in finish.annotations[0].message


def test_an_artifact_without_files_says_why_in_the_log_too(bench: Bench) -> None:
    finish, record = bench.run(
        "mkdir .out; touch .out/a .out/b", Step(uses="actions/upload-artifact@v4", inputs={"name": "o", "path": ".out"})
    )
    assert finish.state == "passed"
    assert not record.artifacts
    words = (
        "no files were found for the artifact: .out; 2 hidden ones were left out, "
        "which include-hidden-files: true keeps"
    )
    assert finish.annotations[0].message == words
    assert f"Warning: {words}\n".encode() in record.log
