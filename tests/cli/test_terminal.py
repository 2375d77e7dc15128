"""Durations, times, sizes, tables and colours as people see them."""

import io
import json
from datetime import UTC, datetime

import pytest

from mainstay.cli import main, terminal
from mainstay.cli.terminal import Painted, Progress, Table, Terminal
from mainstay.model.errors import NotFound

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"),
        (0, "0.0 s"),
        (0.42, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (72, "1 min 12 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_durations_have_the_two_units_that_matter(seconds: float, words: str) -> None:
    assert terminal.duration(seconds) == words


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (None, "never"),
        ("2026-11-20T11:59:58Z", "just now"),
        ("2026-11-20T11:59:18Z", "42 s ago"),
        ("2026-11-20T11:55:00Z", "5 min ago"),
        ("2026-11-20T02:00:00Z", "10 h ago"),
        ("2026-11-10T12:00:00Z", "10 d ago"),
        ("2026-01-02T12:00:00Z", "2026-01-02"),
    ],
)
def test_times_are_told_from_now(at: str | None, words: str) -> None:
    assert terminal.ago(at, NOW) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (8123, "8.1 kB"), (999_960, "1.0 MB"), (2 * 10**13, "20.0 TB")]
)
def test_sizes_are_in_powers_of_ten(count: int, words: str) -> None:
    assert terminal.size(count) == words


def test_a_narrow_table_cuts_only_its_flexible_column_and_shows_the_cut() -> None:
    table = Table(("A", "LONG"), flexible=1)
    table.rows.append(("x", "a very long text that does not fit"))
    lines = list(table.lines(Terminal(io.StringIO(), width=15)))
    assert lines == ["A  LONG", "x  a very long…"]


def test_wide_signs_count_twice() -> None:
    table = Table(("A", "B"), flexible=0)
    table.rows.append(("漢字", "x"))
    table.rows.append(("abcd", "y"))
    assert [
        line.index(sign) for line, sign in zip(list(table.lines(Terminal(io.StringIO())))[1:], "xy", strict=True)
    ] == [
        4,
        6,
    ]


def test_foreign_text_cannot_command_the_terminal() -> None:
    stream = io.StringIO()
    out = Terminal(stream, colours=True)
    table = Table(("A",), flexible=0)
    table.rows.append(("evil\x1b[2J\x07\nname",))
    for line in table.lines(out):
        out.line(line)
    out.line("evil\x1b]0;title\x07 \x9b2J")
    text = stream.getvalue().replace("\x1b[90m", "").replace("\x1b[0m", "")
    assert not any(sign in text for sign in "\x1b\x07\x9b")


def test_there_are_no_colours_where_there_is_no_terminal() -> None:
    out = Terminal.on(io.StringIO())
    assert out.state_text("failed") == "✗ failed"
    assert not out.live


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" in Terminal.on(Screen()).state_text("passed")
    monkeypatch.setenv("NO_COLOR", "1")
    assert Terminal.on(Screen()).state_text("passed") == "✓ passed"


def test_what_the_encoding_lacks_is_replaced() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    out = Terminal.on(stream)
    out.line(f"{out.glyph('passed')} café")
    assert raw.getvalue() == b"+ caf?\n"


def test_every_state_has_a_glyph_of_its_own_kind() -> None:
    out = Terminal(io.StringIO())
    assert out.state("neutral") == Painted("○ neutral", "bright_black")
    assert out.state("something new").text == "? something new"


def test_progress_on_what_is_no_terminal_says_each_change_once() -> None:
    stream = io.StringIO()
    progress = Progress(Terminal(stream))
    for text in ("demo#7 is queued", "demo#7 is queued", "demo#7 is running"):
        progress.show("running", text)
    progress.clear()
    assert stream.getvalue() == "◐ demo#7 is queued\n◐ demo#7 is running\n"


def test_what_others_named_commands_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b]0;title\x07b\x9b2Jc\u202ed\r"
    terminal.print_json({"name": name})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"name": name}
    assert shown.isascii()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(main.mainstay, "main", lambda *_, **__: (_ for _ in ()).throw(NotFound(name)))
        assert main.run([]) == 5
    assert capsys.readouterr().err == "mainstay: a]0;titleb2Jc\u202ed\n"


def test_a_narrow_table_keeps_to_its_width_and_names_keep_their_ends() -> None:
    table = Table(("IS", "TEST", "RUNNER"), flexible=1, names=frozenset({1, 2}))
    table.rows.append(("failed", "tests/test_basket.py::test_total[postgres]", "arm-builder-01.north.example.org"))
    wide = list(table.lines(Terminal(io.StringIO(), width=200)))
    assert "tests/test_basket.py::test_total[postgres]" in wide[1]
    narrow = list(table.lines(Terminal(io.StringIO(), width=40)))
    assert all(len(line) <= 40 for line in narrow)
    assert "es]" in narrow[1]
    assert narrow[1].endswith(".example.org")
