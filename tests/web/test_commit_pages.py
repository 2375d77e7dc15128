"""A repository's commits: paged both ways, filtered, as a line with what was merged, in a grid of bounded width."""

import re
import subprocess
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from mainstay.git.touched import touched
from mainstay.web.columns import COLUMNS
from tests.web.conftest import Site, on_each_database
from tests.web.filling import NOON, Filling, JobRow, sha_of

COUNT = 75


def history(f: Filling) -> int:
    """A line of 75 commits on main, every seventh failed, every tenth by Grace; a tag's build of an old one."""
    demo = f.repository("demo", None)
    for n in range(COUNT):
        author = "Grace Hopper" if n % 10 == 0 else "Ada Lovelace"
        sha = f.commit(demo, f"change {n}", at=NOON - timedelta(hours=COUNT - n), author=author)
        f.build(demo, sha, [JobRow("test", "failed" if n % 7 == 0 else "passed")])
    f.ref(demo, "main", sha)
    f.build(demo, sha_of(f"{demo} change 3"), [JobRow("wheel")], branch="refs/tags/v1", workflow="release")
    return demo


def shown(text: str) -> list[str]:
    """The commits of a page's grid, in order."""
    grid = text[text.index('<table class="grid">') :] if '<table class="grid">' in text else ""
    grid = grid.partition("</table>")[0]
    return re.findall(r'<a class="sha" href="[^"]*/commits/([0-9a-f]{40})"', grid)


def followed(site: Site, path: str, rel: str) -> list[list[str]]:
    """The commits of all pages from this one on."""
    pages = []
    while path:
        text = site.page(path).text
        pages.append(shown(text))
        link = re.search(rf'<a href="([^"]*)" rel="{rel}"', text)
        path = link[1].replace("&amp;", "&") if link else ""
        assert len(pages) < 50
    return pages


@on_each_database
@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", lambda n: True),
        ("?branch=main", lambda n: True),
        ("?state=failed", lambda n: n % 7 == 0),
        ("?author=GRACE", lambda n: n % 10 == 0),
        ("?text=change+1", lambda n: str(n).startswith("1")),
        ("?state=failed&author=grace%20h", lambda n: n % 70 == 0),
    ],
)
def test_paging_shows_every_commit_that_fits_once_and_goes_back_the_same_way(site: Site, query: str, wanted) -> None:  # type: ignore[no-untyped-def]
    demo = site.fill(history)
    expected = {sha_of(f"{demo} change {n}") for n in range(COUNT) if wanted(n)}
    pages = followed(site, f"/repositories/demo{query}", "next")
    found = [sha for page in pages for sha in page]
    assert len(found) == len(set(found))
    assert set(found) == expected
    if len(pages) > 1:
        last = re.search(r'<a href="([^"]*)" rel="next"', site.page(f"/repositories/demo{query}").text)
        assert last
        back = followed(site, last[1].replace("&amp;", "&"), "prev")
        assert [sha for page in reversed(back[1:]) for sha in page] == pages[0]


def test_a_tag_that_was_built_later_brings_its_commit_to_the_front_once(site: Site) -> None:
    demo = site.fill(history)
    pages = followed(site, "/repositories/demo", "next")
    assert sha_of(f"{demo} change 3") in pages[0]
    assert sha_of(f"{demo} change 3") not in pages[-1]


def test_merged_commits_stand_under_their_merge_and_open_ones_beside_the_line(site: Site) -> None:
    def fill(f: Filling) -> int:
        demo = f.repository("demo", None)
        made = [f.commit(demo, "root", at=NOON)]
        f.fork(demo, "topic")
        f.fork(demo, "other")
        for n, (text, branch, merges) in enumerate(
            [
                ("topic 1", "topic", None),
                ("main 1", "main", None),
                ("topic 2", "topic", None),
                ("merge", "main", "topic"),
                ("main 2", "main", None),
                ("other 1", "other", None),
            ]
        ):
            made.append(f.commit(demo, text, branch=branch, merges=merges, at=NOON + timedelta(minutes=n + 1)))
            f.build(demo, made[-1], [JobRow()], branch=branch)
        f.build(demo, made[0], [JobRow()])
        f.ref(demo, "main", made[5])
        f.ref(demo, "other", made[6])
        return demo

    demo = site.fill(fill)
    text = site.page("/repositories/demo").text
    rows = re.findall(r'<tr class="(line|merged|beside)">.*?/commits/([0-9a-f]{40})"', text, re.DOTALL)
    names = {
        sha_of(f"{demo} {text}"): text
        for text in ("root", "topic 1", "topic 2", "main 1", "main 2", "merge", "other 1")
    }
    assert [(kind, names[sha]) for kind, sha in rows] == [
        ("beside", "other 1"),
        ("line", "main 2"),
        ("line", "merge"),
        ("merged", "topic 2"),
        ("merged", "topic 1"),
        ("line", "main 1"),
        ("line", "root"),
    ]
    assert "fold 2 merged commits" in text


def test_three_hundred_jobs_share_columns_and_open_up_step_by_step(site: Site) -> None:
    def fill(f: Filling) -> None:
        demo = f.repository("demo", None)
        jobs = [JobRow(f"test ({n})", "failed" if n in (3, 9) else "passed") for n in range(256)]
        jobs += [JobRow(f"job-{n}") for n in range(44)]
        sha = f.commit(demo, "change")
        f.build(demo, sha, jobs)
        f.build(demo, sha, [JobRow("wheel")], workflow="release")
        f.ref(demo, "main", sha)

    site.fill(fill)
    wide = site.page("/repositories/demo").text
    assert wide.count('scope="col" class="job"') <= COLUMNS
    assert ">2</b>" in wide, "how many of them failed"
    link = re.search(r'<a href="([^"]*jobs=tests)"', wide)
    assert link
    opened = site.page(link[1]).text
    legs = re.search(r'<a href="([^"]*jobs=test)" title="test: 256 jobs"', opened)
    assert legs
    assert parse_qs(urlsplit(legs[1]).query)["jobs"] == ["test"]
    assert "216 more jobs have no column" in site.page(legs[1]).text


@on_each_database
def test_a_commit_tells_its_children_and_what_came_since_the_last_green(site: Site) -> None:
    demo = site.fill(history)
    failed, green, child = (sha_of(f"{demo} change {n}") for n in (63, 62, 64))
    text = site.page(f"/repositories/demo/commits/{failed}").text
    assert f"/commits/{green}" in text
    assert "Since the last green" in text
    assert re.search(rf"Child</dt><dd>.*?/commits/{child}", text)


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_commit_that_was_never_built_is_shown_from_the_mirror_with_the_reason(site: Site, tmp_path: Path) -> None:
    demo = site.fill(lambda f: f.repository("demo", None))
    mirror = site.engine.mirrors.path_of(demo)
    site.do(site.engine.mirrors.of(demo).create)
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-q", "-b", "main")
    (work / "a <b>.txt").write_text("one\n")
    (work / "raw").write_bytes(b"\0\1")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "First <i>")
    git(work, "mv", "a <b>.txt", "moved.txt")
    git(work, "commit", "-q", "-m", "Move it")
    git(work, "push", "-q", str(mirror), "main")
    first, second = git(work, "rev-list", "--reverse", "main").split()

    text = site.page(f"/repositories/demo/commits/{first[:9]}").text
    assert "was not tested" in text
    assert "First &lt;i&gt;" in text
    assert "a &lt;b&gt;.txt" in text
    assert "binary" in text
    assert "a &lt;b&gt;.txt</bdi> → " in site.page(f"/repositories/demo/commits/{second}").text
    assert site.page(f"/repositories/demo/commits/{'0' * 40}").status_code == 404
    assert site.page("/repositories/demo/commits/not-hex").status_code == 422
    found = site.do(touched, mirror, None, first)
    assert [(each.path, each.added) for each in found.files] == [("a <b>.txt", 1), ("raw", None)]
