"""The page of a build: readable with hundreds of jobs, summaries as harmless Markdown, what failed since when."""

import re
import time
from datetime import timedelta

import pytest

from mainstay.web.pages import markdown
from tests.web.conftest import Site, on_each_database
from tests.web.filling import NOON, Filling, JobRow, Step


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))


def test_many_legs_of_a_matrix_are_one_line(site: Site) -> None:
    def fill(f: Filling) -> None:
        repository = f.repository("demo")
        legs = [
            JobRow(f"test ({n})", "failed" if n in (7, 150) else "passed", needs=["lint"], steps=[Step("Run")])
            for n in range(297)
        ]
        jobs = [JobRow("lint"), *legs, JobRow("package", "skipped", needs=["test"]), JobRow("alone")]
        f.build(repository, f.commit(repository, "x"), jobs)

    site.fill(fill)
    answer = site.page("/builds/1")
    text = text_of(answer.text)
    assert "300 jobs" in text
    assert "2 failed, 295 passed" in text
    assert len(answer.content) < 120_000
    rows = re.findall(r'<li id="job-(\d+)">\s*<div class="row">', answer.text)
    assert len(rows) == 5, "lint, the two that failed, package, alone"
    edges = answer.text.count('class="edge"')
    nodes = re.findall(r'<a href="#job-\d+" class="s-(\w+)" aria-label="([^"]+)"', answer.text)
    assert edges == 2
    assert nodes == [
        ("passed", "lint: passed"),
        ("failed", "test ×297: failed"),
        ("skipped", "package: skipped"),
        ("passed", "alone: passed"),
    ]


@on_each_database
def test_a_broken_build_tells_what_came_since_the_last_green_one(site: Site) -> None:
    def fill(f: Filling) -> None:
        repository = f.repository("demo")
        for n, state in enumerate(("passed", "failed", "failed", "passed")):
            sha = f.commit(repository, f"change {n}", at=NOON + timedelta(minutes=n))
            f.build(repository, sha, [JobRow(state=state)], at=NOON + timedelta(minutes=n))

    site.fill(fill)
    page = site.page("/builds/3").text
    assert "2 commits since it last passed, in" in text_of(page)
    since = page[page.index('class="since"') : page.index("</details>")]
    assert re.findall(r"change \d", since) == ["change 2", "change 1"]
    assert re.findall(r'rel="(\w+)" href="(/builds/\d+)"', page) == [("prev", "/builds/2"), ("next", "/builds/4")]
    assert "since it last passed" not in site.page("/builds/4").text


def test_summaries_are_shown_as_markdown(site: Site) -> None:
    def fill(f: Filling) -> None:
        repository = f.repository("demo")
        remarks = [{"level": "warning", "message": f"m{n}", "path": "a b.py", "line": n} for n in range(501)]
        job = JobRow(summary="# Size\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n", annotations=remarks)
        f.build(repository, f.commit(repository, "x"), [job])

    site.fill(fill)
    page = site.page("/builds/1").text
    assert "<h3>Size</h3>" in page
    assert '<td align="right">2</td>' in page
    assert "the first 50 of 501" in page
    assert '<a href="/jobs/1/attempts/1?q=a%20b.py"' in page


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("- [x] done\n- [ ] not", "<ul>\n<li>☑ done</li>\n<li>☐ not</li>\n</ul>\n"),
        ("![p](https://x.example/a.png)", '<a href="https://x.example/a.png" rel="noopener noreferrer nofollow">p</a>'),
        ("<script>alert(1)</script>x<b onclick=a()>y", "x<b>y</b>"),
        ("[a](javascript:alert(1))", "[a](javascript:alert(1))"),
        ('<a href="javascript:alert(1)">a</a>', '<a rel="noopener noreferrer nofollow">a</a>'),
        ("[a](/builds/1/cancel)", '<a rel="noopener noreferrer nofollow">a</a>'),
        ('<p style="position:fixed" id="main" class="top">x</p>', "<p>x</p>"),
        (
            "<details open><summary>s</summary>\n\n*t*\n</details>",
            '<details open=""><summary>s</summary>\n<p><em>t</em></p>',
        ),
        ("a\u202eb\x1b", "<p>a\ufffdb\ufffd</p>"),
    ],
)
def test_markdown_becomes_harmless_html(text: str, html: str) -> None:
    assert html in markdown.rendered(text)


def test_no_markdown_takes_long() -> None:
    begun = time.monotonic()
    for text in ("[" * 99_000, "![" * 60_000, "> " * 30_000, "*a **b " * 9_000, "<div>" * 20_000, "|a" * 40_000):
        markdown.rendered(text)
    assert time.monotonic() - begun < 30  # measured: 2 s
