"""Logs as text on a page, and where their failure is."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mainstay.flow import failure
from mainstay.web.pages import ansi


def shown(data: bytes) -> list[str]:
    return [str(line.html) for line in ansi.lines(data, 0)]


@pytest.mark.parametrize(
    ("data", "html"),
    [
        (b"\x1b[7;31mx\x1b[27;9my", '<span class="b-red">x</span><span class="c-red t-struck">y</span>'),
        (b"\x1b[31m10%\r20%", '<span class="c-red">20%</span>'),
        (b"1%\r" * 5000 + b"done\r", "done"),
        (b"\x1b[31mred\x1b[0m plain", '<span class="c-red">red</span> plain'),
        (b"\x1b[1;92mx", '<span class="c-green t-bold">x</span>'),
        (b"\x1b[38;5;196mx\x1b[39my", '<span class="c-red">x</span>y'),
        (b"\x1b[38;2;0;0;255mx", '<span class="c-blue">x</span>'),
        (b"\x1b]8;;javascript:alert(1)\x07click\x1b]8;;\x07", "click"),
        (b"\x1b]0;title\x1b\\x", "x"),
        (b"\x1b[2J\x1b[99;99Hx", "x"),
        (b"10%\r50%\r100%", "100%"),
        (b"line\r", "line"),
        (b"<b>&\"'", "&lt;b&gt;&amp;&#34;&#39;"),
        (b"\xff\x00\x08", "\ufffd\u2400\u2408"),
        ("a\u202eb".encode(), "a\ufffdb"),
        (b"\x1b[999999999999m\x1b[mx", "x"),
    ],
)
def test_terminal_sequences_become_classes_or_nothing(data: bytes, html: str) -> None:
    assert shown(data) == [html]


def test_colours_go_on_over_the_end_of_a_line() -> None:
    assert shown(b"\x1b[31ma\nb") == ['<span class="c-red">a</span>', '<span class="c-red">b</span>']


@given(some.binary(max_size=400))
def test_no_bytes_whatever_become_other_tags_than_ours(data: bytes) -> None:
    for html in shown(data):
        rest = re.sub(r'<span class="[a-z -]+">|</span>', "", html)
        assert "<" not in rest
        assert "\x1b" not in rest


def test_bombs_are_read_quickly() -> None:
    begun = time.process_time()
    for bomb in (
        b"\x1b[31m" * 60_000,
        b"\x1b]" * 60_000,
        b"\x1b[" + b"1;" * 60_000 + b"m",
        b" " * 500_000,
        b"w-./" * 99_000,
    ):
        list(ansi.lines(bomb, 0))
        failure.first_failing_line(bomb)
    assert time.process_time() - begun < 20  # measured: 0.1 s


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (b"ok\nERROR happened: no\nE       assert 1 == 2\n", b"E       assert"),
        (b"a\n\x1b[1m\x1b[31mE       AssertionError\n", b"\x1b[1m\x1b[31mE  "),
        (b"x\nTraceback (most recent call last):\n", b"Traceback"),
        (b"x\nFAILED tests/a.py::b\n##[error]Process\n", b"FAILED"),
        (b"a.py:3:1: F401 unused\nmore\n", b"a.py:3"),
        (b"bash: frobnicate: command not found\n", b"bash:"),
        (b"nothing\ntells\n\n", b"tells"),
    ],
)
def test_the_first_line_that_tells_of_a_failure_is_found(log: bytes, line: bytes) -> None:
    place = failure.first_failing_line(log)
    assert place is not None
    assert log[place:].startswith(line)


def test_an_empty_log_has_no_failing_line() -> None:
    assert failure.first_failing_line(b"\n \n") is None
