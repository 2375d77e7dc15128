"""Workflow commands in a step's output, and the environment files it writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.model.job import Annotation
from mainstay.workflow.command_files import (
    CommandFileError,
    read_environment,
    read_pairs,
    read_paths,
    read_summary,
)
from mainstay.workflow.commands import (
    AddMask,
    Annotate,
    Command,
    CommandReader,
    Debug,
    Echo,
    EndGroup,
    Group,
    Refused,
    ResumeCommands,
    SaveState,
    SetOutput,
    StopCommands,
    may_hold_commands,
)

LINES: list[tuple[bytes, Command | None]] = [
    (b"::debug::Set the Octocat variable", Debug("Set the Octocat variable")),
    (
        b"::notice file=app.js,line=1,col=5,endColumn=7::Missing semicolon\n",
        Annotate(Annotation("notice", "Missing semicolon", path="app.js", line=1, column=5)),
    ),
    (
        b"::error file=a%2Cb%3Ac.py,line=3,endLine=7,title=A %25 B::one%0Atwo%250A: ::\r\n",
        Annotate(Annotation("error", "one\ntwo%0A: ::", title="A % B", path="a,b:c.py", line=3, end_line=7)),
    ),
    (b"  \t::Warning::text", Annotate(Annotation("warning", "text"))),
    (b"::warning file=,line=x,endLine=-1::", Annotate(Annotation("warning", ""))),
    (b"::error endLine=4::e", Annotate(Annotation("error", "e", line=4, end_line=4))),
    (b"::error line=9,endLine=4,col=2::e", Annotate(Annotation("error", "e", line=9, column=2))),
    (b"::error col=2::e", Annotate(Annotation("error", "e"))),
    (b"::error line=99999999999999::e", Annotate(Annotation("error", "e"))),
    (b"\xef\xbb\xbf::error::\xff\xe4", Annotate(Annotation("error", "\ufffd\ufffd"))),
    (b"::group::My title", Group("My title")),
    (b"::endgroup::", EndGroup()),
    (b"##[group]old form", Group("old form")),
    (b"12:00 ##[endgroup]", EndGroup()),
    (b"##[error file=a;line=2]m%5D%3B", Annotate(Annotation("error", "m];", path="a", line=2))),
    (b"::add-mask::Mona The Octocat", AddMask("Mona The Octocat")),
    (b"::add-mask::a%0Ab", AddMask("a\nb")),
    (b"::set-output name=color::gre%25en", SetOutput("color", "gre%en")),
    (b"::save-state name=pid::42", SaveState("pid", "42")),
    (b"::echo::ON ", Echo(on=True)),
    (b"::echo::off", Echo(on=False)),
    (b"", None),
    (b"plain text", None),
    (b"text ::error::not at the beginning", None),
    (b"::error", None),
    (b"::unknown::x", None),
    (b"std::string::npos", None),
    (b"::error:x::y", None),
    (b"##[nope]x", None),
    (b"##[group", None),
]


@pytest.mark.parametrize(("line", "command"), LINES, ids=lambda each: repr(each)[:40])
def test_a_line_is_the_command_that_github_reads(line: bytes, command: Command | None) -> None:
    assert CommandReader().read(line) == command
    if command is not None:
        assert may_hold_commands(b"text before\n" + line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"::set-env name=A::b", "GITHUB_ENV"),
        (b"::add-path::/x", "GITHUB_PATH"),
        (b"::add-matcher::x.json", "not supported"),
        (b"::set-output::v", "needs a name"),
        (b"::save-state name=::v", "needs a name"),
        (b"::add-mask:: ", "needs a value"),
        (b"::echo::maybe", "either on or off"),
        (b"::stop-commands::", "token"),
        (b"::stop-commands::error", "token"),
        (b"::stop-commands::pause-logging", "token"),
        (b"::debug::" + b"x" * 2_000_000, "limit of 1048576"),
    ],
    ids=lambda each: repr(each)[:30],
)
def test_a_command_that_is_not_obeyed_says_why_without_its_value(line: bytes, words: str) -> None:
    command = CommandReader().read(line)
    assert isinstance(command, Refused)
    assert words in command.message
    assert len(command.message) < 300


def test_between_stop_and_its_token_lines_are_only_text() -> None:
    reader = CommandReader()
    assert reader.read(b"::stop-commands::T0k-en") == StopCommands("T0k-en")
    assert reader.read(b"::error::x") is None
    assert reader.read(b"::stop-commands::other") is None
    assert reader.read(b"::add-mask::x") is None
    assert reader.read(b"text ::t0k-en::") is None
    assert reader.read(b"::T0k-en::\n") == ResumeCommands()
    assert reader.read(b"::T0k-en::\n") is None
    assert reader.read(b"::debug::x") == Debug("x")


def test_long_messages_are_cut_with_a_mark() -> None:
    command = CommandReader().read(b"::error title=" + b"t" * 5_000 + b"::" + b"m" * 100_000)
    assert isinstance(command, Annotate)
    assert command.annotation.message.endswith("[cut: 34464 more characters]")
    assert "[cut: 3976 more characters]" in (command.annotation.title or "")


@given(
    st.lists(
        st.sampled_from(
            [b"::", b"##[", b"]", b"error", b" ", b"=", b",", b"%0A", b"\xff", b"a", b"\n", b"stop-commands"]
        )
    )
)
def test_no_line_crashes_the_reader(pieces: list[bytes]) -> None:
    reader = CommandReader()
    reader.read(b"".join(pieces))
    reader.read(b"".join(reversed(pieces)))


PAIRS = [
    (b"", {}),
    (b"\n\r\n", {}),
    (b"name=value", {"name": "value"}),
    (b"\xef\xbb\xbfname=value\r\nother==\r\n", {"name": "value", "other": "="}),
    (b"name=first\nname=second\n", {"name": "second"}),
    (b"a=\nb= x << y ", {"a": "", "b": " x << y "}),
    (b'json<<EOF\n{\n  "a": 1\n}\nEOF\nb=2\n', {"json": '{\n  "a": 1\n}', "b": "2"}),
    (b"a<<EOF\nEOF", {"a": ""}),
    (b"a<<EOF\n\nEOF", {"a": ""}),
    (b"a<<EOF\n\n\nEOF", {"a": "\n"}),
    (b"a<<=\nx\n=", {"a": "x"}),
    (b"a<<E O F\nx=1\nEOF\nE O F\n", {"a": "x=1\nEOF"}),
    (b"a<<EOF\r\none\r\ntwo\r\nEOF\r\nb=2\r\n", {"a": "one\ntwo", "b": "2"}),
    (b"a<<EOF\none\r\ntwo\nEOF\n", {"a": "one\r\ntwo"}),
    (b"a=\xff\xe4", {"a": "\ufffd\ufffd"}),
    ("ä=ü".encode("utf-16"), {"ä": "ü"}),
]


@pytest.mark.parametrize(("content", "pairs"), PAIRS, ids=lambda each: repr(each)[:40])
def test_an_environment_file_is_read_in_both_forms(content: bytes, pairs: dict[str, str]) -> None:
    assert read_pairs(content, "GITHUB_OUTPUT") == pairs


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"ok=1\njust text", 'GITHUB_OUTPUT, line 2: "just text" is neither'),
        (b"=value", "a name before ="),
        (b"<<EOF\nEOF", "a name before <<"),
        (b"a<<\nx\n", "a delimiter behind <<"),
        (b"a=1\nb<<EOF\nx\nEOF2\n", 'line 2: the value of "b" has no end: no line after it is "EOF"'),
        (b"a=" + b"x" * 5_000_000, "more than the limit"),
        (b"".join(b"n%d=\n" % n for n in range(10_001)), "limit of 10000 names"),
    ],
    ids=lambda each: repr(each)[:30],
)
def test_an_environment_file_that_cannot_be_read_is_named_with_its_line(content: bytes, words: str) -> None:
    with pytest.raises(CommandFileError) as caught:
        read_pairs(content, "GITHUB_OUTPUT")
    assert words in caught.value.message


def test_reserved_names_are_refused_and_the_others_hold() -> None:
    content = b"GITHUB_SHA=x\nrunner_os=x\nNODE_OPTIONS=x\nMAINSTAY=x\nCI=false\nPATH=/x\nZ\0=1\nBIG=" + b"x" * 140_000
    found = read_environment(content)
    assert found.values == {"CI": "false", "PATH": "/x"}
    assert len(found.refused) == 6
    assert all("cannot be set through GITHUB_ENV" in reason for reason in found.refused)


def test_paths_are_lines_and_summaries_have_a_limit() -> None:
    assert read_paths(b"/a\r\n\n /b c\n/a") == ("/a", " /b c", "/a")
    with pytest.raises(CommandFileError, match="line 1"):
        read_paths(b"/a\0")
    assert read_summary(b"# Hi\r\n\xff") == "# Hi\n\ufffd"
    with pytest.raises(CommandFileError, match="none of it is kept"):
        read_summary(b"x" * 1_048_577)


@given(
    st.lists(
        st.sampled_from([b"a", b"=", b"<<", b"EOF", b"\n", b"\r\n", b"\xff", b"\0", b"\xff\xfe"]), max_size=20
    ).map(b"".join)
)
def test_no_content_crashes_the_file_readers(content: bytes) -> None:
    for read in (read_environment, read_paths, read_summary):
        try:
            read(content)
        except CommandFileError:
            continue


@given(st.dictionaries(st.text("ab_", min_size=1), st.text("xy\n= <", max_size=10)))
def test_values_written_as_heredocs_come_back(pairs: dict[str, str]) -> None:
    content = "".join(f"{name}<<END-OF-{name}\n{value}\nEND-OF-{name}\n" for name, value in pairs.items())
    assert read_pairs(content.encode(), "GITHUB_STATE") == pairs
