"""Report files: JUnit XML read into tests, coverage kept, what cannot be read said with its place."""

import io
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.runner import junit
from mainstay.runner.results import gather
from mainstay.wire.runner import TestReport as Report
from tests.runner.bench import Bench

PYTEST = """<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="5" time="0.05">
<properties><property name="python" value="3"/></properties>
<testcase classname="tests.test_a.TestCase" name="test_x[a-1]" time="0.25" />
<testcase classname="tests.test_a" name="test_y" time="0.001"><failure message="assert 1 == 2">def test_y():
&gt;  assert 1 == 2</failure><system-out>printed</system-out></testcase>
<testcase classname="tests.test_a" name="test_s" time="0"><skipped message="no &lt;db&gt;">x</skipped></testcase>
<testcase classname="tests.test_a" name="test_e" time="0.0"><error message="failed on setup">trace</error></testcase>
<testcase classname="tests.test_b.Deep.Er" name="test" file="tests/test_b.py" line="7" time="1,234.5"/>
</testsuite></testsuites>"""
SUREFIRE = """<testsuite xmlns="urn:x" name="com.Suite">
<testcase name="flaky" classname="com.A" time="0.1"><flakyFailure message="first">one</flakyFailure>
<flakyError message="second">two</flakyError></testcase>
<testcase name="broken" classname="com.A"><failure message="no">a</failure>
<rerunFailure message="again">b</rerunFailure></testcase>
</testsuite>"""


def read(text: str | bytes) -> list[Report]:
    return list(junit.read(io.BytesIO(text.encode() if isinstance(text, str) else text)))


def test_what_pytest_writes_is_read() -> None:
    found = {report.id: report for report in read(PYTEST)}
    assert list(found) == [
        "tests.test_a.TestCase.test_x[a-1]",
        "tests.test_a.test_y",
        "tests.test_a.test_s",
        "tests.test_a.test_e",
        "tests/test_b.py::Deep::Er::test",
    ]
    assert [report.outcome for report in found.values()] == ["passed", "failed", "skipped", "error", "passed"]
    failed = found["tests.test_a.test_y"]
    assert (failed.message, failed.output, failed.suite) == ("assert 1 == 2", "printed", "tests.test_a")
    assert failed.trace == "def test_y():\n>  assert 1 == 2"
    assert found["tests.test_a.test_s"].message == "no <db>"
    last = found["tests/test_b.py::Deep::Er::test"]
    assert (last.file, last.line, last.duration_s) == ("tests/test_b.py", 7, 1234.5)


DIALECTS = {
    "GoogleTest": (
        """<testsuites tests="3" name="AllTests"><testsuite name="Math" tests="3">
        <testcase name="Adds" status="run" result="completed" time="0.5" classname="Math"/>
        <testcase name="DISABLED_Divides" status="notrun" result="suppressed" time="0" classname="Math"/>
        <testcase name="Fails" status="run" classname="Math"><failure message="m.cc:7&#x0A;Expected" type="">
        <![CDATA[m.cc:7 Expected]]></failure></testcase></testsuite></testsuites>""",
        [("Math.Adds", "passed"), ("Math.DISABLED_Divides", "skipped"), ("Math.Fails", "failed")],
    ),
    "jest-junit": (
        """<testsuites name="jest tests"><testsuite name="sum" timestamp="x">
        <testcase classname="sum adds" name="sum adds" time="0.002"></testcase>
        <testcase classname="sum fails" name="sum fails"><failure>Error: no
        at Object.test (/a.js:1)</failure></testcase></testsuite></testsuites>""",
        [("sum adds.sum adds", "passed"), ("sum fails.sum fails", "failed")],
    ),
    "go-junit-report": (
        """<testsuites><testsuite name="example.com/pkg"><properties><property name="go" value="1"/></properties>
        <testcase name="TestA/sub_case" classname="example.com/pkg" time="0.1"/>
        <testcase name="TestB" classname="example.com/pkg"><skipped message="short"/></testcase>
        </testsuite></testsuites>""",
        [("example.com/pkg.TestA/sub_case", "passed"), ("example.com/pkg.TestB", "skipped")],
    ),
    "nose": (
        """<testsuite name="nosetests" tests="1"><testcase classname="path.to.TestClass" name="test_it" time="0">
        <error type="exceptions.TypeError" message="oops"><![CDATA[Traceback]]></error></testcase></testsuite>""",
        [("path.to.TestClass.test_it", "error")],
    ),
    "unittest-xml-reporting": (
        """<testsuites><testsuite name="tests.T-2026" file="tests.py"><testcase classname="tests.T" name="test_a"
        time="0.1" timestamp="x" file="tests.py" line="4"/><system-out>all</system-out></testsuite></testsuites>""",
        [("tests.py::T::test_a", "passed")],
    ),
    "suites within suites": (
        """<testsuites><testsuite name="outer"><testsuite name="inner"><testcase name="a"/></testsuite>
        <testcase name="b"/></testsuite></testsuites>""",
        [("inner.a", "passed"), ("outer.b", "passed")],
    ),
}


@pytest.mark.parametrize("tool", DIALECTS)
def test_what_other_tools_write_is_read(tool: str) -> None:
    text, expected = DIALECTS[tool]
    assert [(report.id, report.outcome) for report in read(text)] == expected


def test_further_tries_of_a_test_are_told_apart() -> None:
    found = [(report.id, report.outcome, report.rerun) for report in read(SUREFIRE)]
    assert found == [
        ("com.A.flaky", "failed", 0),
        ("com.A.flaky", "error", 1),
        ("com.A.flaky", "passed", 2),
        ("com.A.broken", "failed", 0),
        ("com.A.broken", "failed", 1),
    ]


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>'


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("", "not well-formed XML: no element found", 1),
        ("<testsuite>\n<testcase name='x'>\n</testsuite>", "mismatched tag", 3),
        (BOMB, "document type", 1),
        ('<!DOCTYPE testsuite SYSTEM "file:///etc/passwd"><testsuite/>', "document type", 1),
        ("<html/>", "it is no JUnit report: it begins with <html>", 1),
        ("<testsuite>" * 101, "levels deep", 1),
        (b'<?xml version="1.0" encoding="klingon"?><testsuite/>', "unknown encoding", 1),
        ("<testsuite><testcase name='" + "x" * (9 << 20) + "'/></testsuite>", "a tag of more than 8 MiB", None),
    ],
)
def test_what_is_no_report_is_refused_with_its_line(text: str | bytes, words: str, line: int | None) -> None:
    with pytest.raises(junit.BadReport) as refused:
        read(text)
    assert words in refused.value.message
    assert line in (None, refused.value.line)


PIECES = st.sampled_from(
    ["<testsuite>", "</testsuite>", "<testcase>", "</testcase>", "<failure/>", "<error>", "</error>", "<flakyError>"]
).flatmap(lambda tag: st.sampled_from([tag, "</flakyError>", "&amp;", "&#0;", "<![CDATA[x]]>", "<!--", "-->", "<?x?>"]))


@given(st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=30).map(lambda parts: "".join(parts).encode())))
@settings(max_examples=400, deadline=None)
def test_no_bytes_crash_the_reader(content: bytes) -> None:
    with suppress(junit.BadReport):
        for report in read(content):
            assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
            assert report.id


@pytest.mark.parametrize("whole", [PYTEST, SUREFIRE])
def test_a_report_cut_anywhere_is_refused_and_crashes_nothing(whole: str) -> None:
    for end in range(0, len(whole), 7):
        with pytest.raises(junit.BadReport):
            read(whole[:end])


def test_a_hundred_thousand_tests_are_read_quickly() -> None:
    case = '<testcase classname="tests.test_a.Case" name="test_x[%d]" time="0.25"><failure>x</failure></testcase>'
    text = "<testsuites><testsuite>" + "".join(case % number for number in range(100_000)) + "</testsuite></testsuites>"
    began = time.process_time()
    assert sum(1 for _ in junit.read(io.BytesIO(text.encode()))) == 100_000
    assert time.process_time() - began < 10


def test_texts_are_bounded() -> None:
    long = "x" * 300_000
    [report] = read(
        f'<testsuite><testcase name="{long}"><failure message="{long}">{long}</failure></testcase></testsuite>'
    )
    assert len(report.id) <= junit.MAX_NAME
    assert len(report.message or "") <= junit.MAX_MESSAGE
    assert len(report.trace or "") <= junit.MAX_TEXT


def test_tests_that_reported_by_themselves_are_not_counted_twice(tmp_path: Path) -> None:
    own = Report("tests/test_a.py::TestCase::test_x[a-1]", "passed")
    (tmp_path / "1.jsonl").write_bytes(msgspec.json.encode(own) + b"\n")
    counts = gather(tmp_path, tmp_path / "all", str, read(PYTEST)).counts
    assert counts == {"passed": 2, "failed": 1, "error": 1, "skipped": 1}
    counts = gather(None, tmp_path / "all", str, [*read(SUREFIRE), *read(SUREFIRE)]).counts
    assert counts == {"passed": 1, "failed": 1, "error": 0, "skipped": 0}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("reports"))
    with bench.runner():
        yield bench


def test_reports_of_a_job_are_delivered_and_bad_ones_are_warned_of(bench: Bench) -> None:
    bench.commit({"out/a.xml": PYTEST, "out/b.xml": "<testsuite>\n<oops", "cov/coverage.xml": "<coverage/>"})
    reports = {"junit": ("out/*.xml",), "coverage": ("cov/**",)}
    finish, record = bench.run("true", plan={"reports": reports})
    assert finish.tests == {"passed": 2, "failed": 1, "error": 1, "skipped": 1}
    assert len(record.tests) == 5
    assert list(record.artifacts) == ["coverage-report"]
    [warning] = finish.annotations
    assert (warning.level, warning.path, warning.line) == ("warning", "out/b.xml", 2)
    assert "not well-formed" in warning.message


def test_reports_that_are_missing_are_a_warning(bench: Bench) -> None:
    finish, _ = bench.run("true", plan={"reports": {"junit": ("none/*.xml",), "coverage": ("../x",)}})
    assert finish.state == "passed"
    assert [each.level for each in finish.annotations] == ["warning", "warning"]
    assert "no file was found for none/*.xml" in finish.annotations[0].message
