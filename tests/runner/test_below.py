"""Files that the runner opens for a job, which may have put anything in their places, even after it looked."""

import os
import zipfile
from pathlib import Path

import pytest

from mainstay.model.errors import BadInput
from mainstay.runner import below
from mainstay.runner.actions import artifacts
from mainstay.runner.actions.call import ActionFailed
from mainstay.runner.actions.setup_python import _from_file
from mainstay.runner.hashing import files_below, hash_files
from mainstay.runner.pack import pack
from mainstay.runner.reports import _junit

SECRET = "mst_api_the-servers-own"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A work tree, and beside it what only the runner may read."""
    (tmp_path / "token").write_text(SECRET)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/r.xml").write_text(f'<testsuite><testcase name="{SECRET}"/></testsuite>')
    made = tmp_path / "work"
    (made / "dir").mkdir(parents=True)
    (made / "dir/plain").write_text("3.12\n")
    return made


def test_a_plain_file_and_a_link_within_are_read(work: Path) -> None:
    (work / "link").symlink_to("dir/plain")
    (work / "absolute").symlink_to(work / "dir/plain")
    for name in ("dir/plain", "link", "absolute"):
        assert below.text(work, work / name) == "3.12\n"


@pytest.mark.parametrize("name", ["../token", "/etc/hostname", "dir", "pipe", "link", "linked/r.xml", "missing"])
def test_nothing_else_is(work: Path, name: str) -> None:
    os.mkfifo(work / "pipe")
    (work / "link").symlink_to("../token")
    (work / "linked").symlink_to("../reports")
    with pytest.raises((below.Elsewhere, FileNotFoundError)):
        below.text(work, work / name)


def test_a_file_of_a_version_tells_nothing_of_the_runner(work: Path) -> None:
    (work / ".python-version").symlink_to("../token")
    for name in (".python-version", "../token", str(work.parent / "token")):
        with pytest.raises(ActionFailed, match="leads out") as caught:
            _from_file(work, name)
        assert SECRET not in str(caught.value)
    (work / "deep.toml").write_text("a = " + "[" * 100_000)
    (work / "odd.toml").write_text("project = 1\n[tool]\npoetry = []\n")
    for name in ("deep.toml", "odd.toml"):
        with pytest.raises(ActionFailed):
            _from_file(work, name)


def exchanged(work: Path, name: str) -> None:
    """What a program of the job does after the runner has looked: a link in the place of a file, or of its folder."""
    (work / name).unlink()
    (work / name).symlink_to("../token" if "/" not in name else "../../token")


def test_a_file_that_became_a_link_after_it_was_chosen_is_in_no_bundle(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (work / name).write_text("public")
    chosen = sorted(files_below(work))
    assert chosen == ["dir/plain", "one", "two"]
    exchanged(work, "one")
    exchanged(work, "dir/plain")
    bundle = tmp_path / "b.zip"
    artifacts._zip(work, work, chosen, bundle, 6)
    with zipfile.ZipFile(bundle) as opened:
        assert opened.namelist() == ["two"]
        assert opened.read("two") == b"public"
        assert opened.getinfo("two").date_time[0] > 2000
    monkeypatch.setattr("mainstay.runner.hashing.files_below", lambda _: iter(chosen))
    with pytest.raises(BadInput, match="leads out"):
        hash_files(work, ("one",))
    with pytest.raises(below.Elsewhere):
        below.into_zip(zipfile.ZipFile(tmp_path / "c.zip", "w"), work, work / "one", "one")


def test_a_folder_that_became_a_link_is_not_followed(work: Path, tmp_path: Path) -> None:
    (work / "reports").symlink_to("../reports")
    found, remarks = _junit(work, ("reports/*.xml",))
    assert (found, len(remarks)) == ((), 1)
    with pytest.raises(below.Elsewhere):
        pack({"work": work}, [("work", ("reports", "r.xml"))], tmp_path / "c.tar.zst", lambda: None)
