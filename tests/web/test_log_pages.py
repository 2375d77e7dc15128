"""The page of a log: opened where it matters, small whatever its size, searched whole, with addresses for lines."""

import html
import re
import time

import pytest
from sqlalchemy import update

from mainstay.model.errors import BadInput
from mainstay.store.schema import attempts
from mainstay.web.pages import log_search
from tests.web.conftest import Site, on_each_database
from tests.web.filling import Filling, JobRow, Step

LOG = b"".join(b"line %d\n" % n for n in range(200_000))
PAGE = "/jobs/1/attempts/1"


def with_log(site: Site, *steps: Step, state: str = "passed") -> None:
    """One build whose only job printed this."""

    def fill(f: Filling) -> None:
        repository = f.repository("demo")
        f.build(repository, f.commit(repository, "x"), [JobRow(state=state, steps=steps)])

    site.fill(fill)


def lines(text: str, mark: str = "") -> list[tuple[int, str]]:
    """Numbers and texts of the lines on a page; with `mark` of those with that class."""
    found = re.findall(
        r'<(?:div|summary) class="l([^"]*)" id="L(\d+)"><(?:a|span)[^>]*>\d+</(?:a|span)>(.*?)</(?:div|summary)>', text
    )
    return [(int(n), html.unescape(re.sub("<[^>]+>", "", said))) for classes, n, said in found if mark in classes]


@on_each_database
def test_a_log_opens_at_its_first_failing_line(site: Site) -> None:
    steps = [Step("Set up", output=b"x\n"), Step("Run", "failed", b"hello\nE       assert 1 == 2\nbye\n", exit_code=1)]
    with_log(site, *steps, state="failed")
    assert lines(site.page(PAGE).text, "here") == [(3, "E       assert 1 == 2")]


def test_lines_that_came_before_their_step_was_known_stay_where_they_are(site: Site) -> None:
    """What a live page keeps as it is has the same mark afterwards."""
    with_log(site, Step("Run", "running", b"one\ntwo\n"), state="running")
    known = re.findall('data-keep="([^"]+)"', site.page(PAGE).text)
    site.fill(lambda f: f.conn.execute(update(attempts).values(steps=[])))
    before = site.page(PAGE).text
    assert 'aria-label="Lines of the log"' in before
    assert re.findall('data-keep="([^"]+)"', before) == known
    assert len(known) == 1


def test_a_large_log_is_shown_in_small_parts(site: Site) -> None:
    with_log(site, Step("Run", output=LOG))
    answer = site.page(PAGE)
    assert len(answer.content) < 150_000
    assert lines(answer.text)[0] == (1, "line 0")
    part = site.page(f"{PAGE}?part=1&from=3886&to=999999")
    assert lines(part.text)[0] == (445, "line 444")
    assert int(part.headers["log-next"]) > 3886
    deep = site.page(f"{PAGE}?at={LOG.index(b'line 150000')}")
    assert lines(deep.text, "here") == [(150_001, "line 150000")]


@on_each_database
def test_lines_have_addresses(site: Site) -> None:
    with_log(site, Step("Set up", output=LOG), Step("Run", output=b"one\ntwo\nthree"))
    assert lines(site.page(f"{PAGE}?lines=180001-180003").text, "here") == [
        (180_001, "line 180000"),
        (180_002, "line 180001"),
        (180_003, "line 180002"),
    ]
    assert lines(site.page(f"{PAGE}?lines=200003").text, "here") == [(200_003, "three")]
    for nonsense in ("999999999", "5-2", "0", "7-"):
        assert site.page(f"{PAGE}?lines={nonsense}").status_code in (200, 422)
    assert site.page(f"{PAGE}?lines=x").status_code == 422


def test_one_endless_line_is_cut_with_a_mark(site: Site) -> None:
    with_log(site, Step("Run", output=b"A" * 3_000_000 + b"\nafter it\n"))
    answer = site.page(PAGE)
    assert len(answer.content) < 60_000
    assert "2,995,905 more bytes in this line" in answer.text
    within = site.page(f"{PAGE}?at=4096").text
    assert "2,991,809 more bytes in this line" in within
    assert lines(site.page(f"{PAGE}?lines=2").text, "here") == [(2, "after it")]


def test_groups_are_folded_but_for_the_one_that_was_asked_for(site: Site) -> None:
    log = b"before\n::group::Install <b>\na\nb\n::endgroup::\nbetween\n##[group]Test\nc\n##[endgroup]\n"
    log += b"::error file=a.py::no\n"
    with_log(site, Step("Run", output=log))
    text = site.page(f"{PAGE}?lines=8").text
    assert re.findall(r'<details class="fold"( open)?>', text) == ["", " open"]
    assert [said for _, said in lines(text)][:4] == ["before", "Install <b> 2 lines", "a", "b"]
    assert lines(text, "m-error") == [(10, "::error file=a.py::no")]


@on_each_database
def test_a_whole_log_is_searched(site: Site) -> None:
    noise = b"".join(b"\x1b[32mok\x1b[0m %d\n" % n for n in range(50_000))
    log = noise + b"Fatal: <it> \x1b[31mbro\x1b[0mke\n" + noise
    with_log(site, Step("Run", output=log))
    for query in ("q=fatal:+%3Cit%3E+broke", "q=BROKE%24&regex=1", "q=%5Efatal.%2Bbr&regex=1"):
        text = site.page(f"{PAGE}?{query}").text
        assert "1 line matches." in text
        assert lines(text, "here") == [(50_001, "Fatal: <it> broke")]
        assert [n for n, _ in lines(text)] == [49_999, 50_000, 50_001, 50_002, 50_003]
    assert "<mark>Fatal: &lt;it&gt; broke</mark>" in site.page(f"{PAGE}?q=fatal:+%3Cit%3E+broke").text
    assert "No line matches." in site.page(f"{PAGE}?q=absent").text
    assert "unclosed group" in site.page(f"{PAGE}?q=(&regex=1").text


def test_a_search_goes_on_from_page_to_page(site: Site) -> None:
    with_log(site, Step("Run", output=LOG))
    found: list[int] = []
    path: str | None = f"{PAGE}?q=line+1999%5Cd%2B%24&regex=1"
    while path is not None:
        text = site.page(path).text
        found += [n for n, _ in lines(text, "here")]
        more = re.search(r'class="button" href="([^"]*from=\d+)"', text)
        path = html.unescape(more[1]) if more else None
    assert found == [n + 1 for n in range(200_000) if str(n).startswith("1999") and n > 1999]


@pytest.mark.parametrize("text", [r"(a|a)*$", r"(a+)+$", r"(.*)(.*)(.*)(.*)x", r"\w{30}\w{30}x"])
def test_no_expression_takes_long(text: str) -> None:
    wanted = log_search.matcher(text, regex=True)
    begun = time.process_time()
    list(wanted.lines(b"a" * 40_000 + b"!"))
    assert time.process_time() - begun < 20  # measured: under 0.1 s


@pytest.mark.parametrize("text", ["(", r"\w{999}{999}", r"(?<=a)b", "x" * 201, ""])
def test_what_cannot_be_searched_for_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadInput):
        log_search.matcher(text, regex=True)
