"""The page of a build: readable with hundreds of jobs, summaries as harmless Markdown, what failed since when."""

import re
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from mainstay.store.schema import attempts, jobs
from mainstay.web.pages import markdown
from tests.web.conftest import Site, on_each_database
from tests.web.filling import NOON, Filling, JobRow, Step, TestRow


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


def traced(deep: int) -> str:
    frames = "".join(f'  File "shop.py", line {n}, in call\n    call({n})\n' for n in range(deep))
    return f"Traceback (most recent call last):\n{frames}AssertionError: two items are missing"


def test_a_failure_that_jobs_share_is_told_once_and_with_its_end(site: Site) -> None:
    def fill(f: Filling) -> None:
        repository = f.repository("demo")
        log = ("::group::Quiet\nfine\n::endgroup::\n" + traced(300) + "\n").encode()
        step = Step("Run tests", "failed", log, exit_code=1)
        shared = [JobRow(f"leg-{n}", "failed", steps=[step], seconds=n) for n in range(14)]
        shared[0] = replace(shared[0], tests=[TestRow("test_basket", "failed", message=traced(300))])
        other = JobRow("other", "failed", steps=[Step("Lint", "failed", b"a.py:1:1: F821 undefined\n", exit_code=1)])
        f.build(repository, f.commit(repository, "x"), [other, *shared])

    site.fill(fill)
    page = site.page("/builds/1").text
    excerpts = [text_of(each) for each in re.findall(r'<pre class="log excerpt".*?</pre>', page, re.DOTALL)]
    assert len(excerpts) == 2
    assert "F821" in excerpts[0]
    assert excerpts[1].endswith(
        "… File &#34;shop.py&#34;, line 299, in call call(299) AssertionError: two items are missing "
    )
    assert "::group::" not in excerpts[1]
    assert "the same in 10 more jobs: leg-1, leg-2" in text_of(page)
    assert "15 jobs failed; these are the first of them." in text_of(page)
    [trace] = re.findall(r'<pre class="trace".*?</pre>', page, re.DOTALL)
    assert text_of(trace).endswith("AssertionError: two items are missing")
    assert len(trace) < 2000


@on_each_database
def test_a_build_that_ran_again_a_day_later_took_the_time_of_that_round(site: Site) -> None:
    def fill(f: Filling) -> None:
        repository = f.repository("demo")
        f.build(repository, f.commit(repository, "x"), [JobRow("lint"), JobRow("test", attempt_states=("failed",))])
        later = {"queued_at": NOON + timedelta(hours=20), "started_at": NOON + timedelta(hours=20, seconds=5)}
        ended = {"finished_at": NOON + timedelta(hours=20, seconds=35), "cause": "run again by ada"}
        f.conn.execute(update(attempts).where(attempts.c.number == 2).values(**later, **ended))

    site.fill(fill)
    site.clock.at = NOON + timedelta(hours=21)
    page = site.page("/builds/1").text
    assert "demo#1 passed in 30 s" in text_of(page)
    assert "run again by ada 1 h ago" in text_of(page)
    bars = re.findall(r'<rect class="bar" x="(\d+)" y="1" width="(\d+)"', page)
    assert bars == [("143", "857")], "lint was not in this round"
    assert "attempt 1" in text_of(page), "the earlier round stays to be seen"
    build = site.api("GET", "/builds/1").json()
    assert (build["started_at"], build["finished_at"]) == ("2026-11-21T08:00:05.000Z", "2026-11-21T08:00:35.000Z")
    assert " 30 s " in text_of(site.page("/repositories/demo").text)


def test_one_job_of_an_open_build_is_cancelled(site: Site) -> None:
    def fill(f: Filling) -> None:
        repository = f.repository("demo")
        f.build(repository, f.commit(repository, "x"), [JobRow("lint", "queued"), JobRow("test", "queued")])

    site.fill(fill)
    site.sign_in()
    page = site.page("/builds/1").text
    assert re.search(r'rel="icon" href="/assets/\w+/icon-running.svg"', page)
    token = re.search(r'name="form_token" value="([^"]+)"', page)
    assert token is not None
    fields = {"form_token": token[1], "job": "lint", "back": "/builds/1#job-1"}
    answer = site.client.post("/builds/1/cancel", data=fields, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/builds/1#job-1")
    states = [job["state"] for job in site.api("GET", "/builds/1").json()["jobs"]]
    assert states == ["cancelled", "queued"]


def test_a_verdict_that_was_taken_over_leads_to_where_it_is_from(site: Site) -> None:
    def fill(f: Filling) -> None:
        repository = f.repository("demo")
        for text in ("one", "two"):
            f.build(repository, f.commit(repository, text), [JobRow("test")])
        f.conn.execute(update(jobs).where(jobs.c.id == 2).values(reused_from=1))

    site.fill(fill)
    assert '<a href="/builds/1#job-1">#1</a>' in site.page("/builds/2").text


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
    begun = time.process_time()
    for text in ("[" * 99_000, "![" * 60_000, "> " * 30_000, "*a **b " * 9_000, "<div>" * 20_000, "|a" * 40_000):
        markdown.rendered(text)
    assert time.process_time() - begun < 30  # measured: 2 s
