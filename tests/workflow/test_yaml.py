"""YAML with places, exact text and limits."""
# ruff: noqa: E501  (tables read better in one line)

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mainstay.model.plan import Json
from mainstay.workflow import yaml
from mainstay.workflow.yaml import BrokenYaml, Mapping, Scalar, Sequence

SAMPLES = [
    "a: 1\nb: [x, 'y', \"z\\n\"]\n",
    "on:\n  push:\n    branches: [ main ]\njobs:\n- a\n- b: c\n  d: |\n    text\n\n    more\n  e: >-\n    folded\n    text\n",
    "x: &a {k: v, l: [1, 2]}\ny: *a\n",
    "a:   # remark\n  b : c\n\n\n# end\n",
    "? a\n: b\n",
    "plain: text over\n  two lines\nquoted: 'it''s\n  long'\n",
    "empty:\nnull: ~\nlist:\n-\n- \n",
    "--- \na: b\n...\n",
    "{a: b, c: {d: [e, {f: g}]}}",
    "a: |2\n    indented\n  less\n",
    "a: http://x/y:z\nb: a#b\nc: -x\n",
]


def read(text: str | bytes) -> Json:
    data = text.encode() if isinstance(text, str) else text
    return yaml.as_json(yaml.parse(yaml.read_text(data)).root)


def broken(data: bytes) -> BrokenYaml:
    with pytest.raises(BrokenYaml) as caught:
        yaml.parse(yaml.read_text(data))
    return caught.value


NAMES = ("value", "anchor", "style")


def _place(event: Any) -> tuple[int, int]:
    """Where it begins; ends of collections are never shown to anyone."""
    return (0, 0) if "End" in type(event).__name__ else (event.start_mark.line, event.start_mark.column)


def outcome(events: Callable[[], Iterable[Any]]) -> object:
    """What can be seen of all events, or the kind of the error."""
    try:
        return [
            (type(each).__name__, *_place(each), *(getattr(each, name, None) for name in NAMES)) for each in events()
        ]
    except (YAMLError, BrokenYaml):
        return "an error"


@pytest.mark.parametrize("text", SAMPLES)
def test_events_are_those_of_ruamels_own_classes(text: str) -> None:
    found = outcome(lambda: yaml._Events(text))
    assert found != "an error"
    assert found == outcome(lambda: YAML(typ="safe", pure=True).parse(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [("3.10", "3.10"), ("3.12", 3.12), ("3", 3), ("on", "on"), ("yes", "yes"), ("no", "no"), ("off", "off"), ("true", True),
     ("False", False), ("null", None), ("~", None), ("", None), ("'3'", "3"), ("1_000", "1_000"), ("0o17", "0o17"),
     ("0x1f", "0x1f"), ("010", "010"), ("1e3", "1e3"), ("-7", -7), ("+7", "+7"), ("12:30:45", "12:30:45"),
     ("2020-01-02", "2020-01-02"), ("!!str 3", "3"), ("1.0", "1.0"), ("9" * 40, "9" * 40), (".inf", ".inf")],
)  # fmt: skip
def test_scalars_keep_their_text_unless_it_is_a_number_written_the_usual_way(text: str, value: Json) -> None:
    found = read(f"a: {text}\n")["a"]
    assert found == value
    assert type(found) is type(value)


def test_the_key_on_stays_a_text() -> None:
    assert list(read("on: push\n")) == ["on"]


def test_nodes_know_their_place() -> None:
    root = yaml.parse("a: 1\nb:\n  - x\n  - {c: d}\n").root
    assert isinstance(root, Mapping)
    assert (root.keys["b"].line, root.keys["b"].column) == (2, 1)
    inner = yaml.as_json(root.entries["b"])
    assert inner == ["x", {"c": "d"}]
    items = root.entries["b"]
    assert isinstance(items, Sequence)
    last = items.items[1]
    assert isinstance(last, Mapping)
    assert (last.entries["c"].line, last.entries["c"].column) == (4, 9)


def test_byte_order_marks_and_windows_line_ends_change_nothing() -> None:
    assert read(b"\xef\xbb\xbfa: |\r\n  x\r\n  y\r\nb: 1\r\n") == {"a": "x\ny\n", "b": 1}


def test_keys_that_stand_twice_are_found_with_both_places() -> None:
    ((second, first),) = yaml.parse("a: 1\nb: 2\na: 3\n").doubles
    assert (second.line, first.line) == (3, 1)


def billion_laughs() -> bytes:
    lines = [b"a: &a [" + b", ".join([b"x"] * 9) + b"]"]
    for code in range(ord("b"), ord("k")):
        alias = b"*%c" % (code - 1)
        lines.append(b"%c: &%c [%s]" % (code, code, b", ".join([alias] * 9)))
    return b"\n".join(lines)


BAD: dict[str, tuple[bytes, str, int]] = {
    "billion laughs": (billion_laughs(), "counting each alias", 5),
    "five megabytes": (b"a: 1\n" * 1_000_000, "5,000,000 bytes", 1),
    "many parts": (b"a: 1\n" * 100_000, "too many parts", 10_000),
    "deep flow": (b"[" * 500_000, "nested deeper", 1),
    "deep block": (b"- " * 200_000, "nested deeper", 1),
    "deep indent": (b"".join(b" " * n + b"a:\n" for n in range(900)), "nested deeper", 51),
    "tab": (b"a:\n\tb: 1\n", "a tab may not stand here", 2),
    "tab after spaces": (b"a:\n  b: 1\n \t c: 1\n", "", 3),
    "utf-16": ("a: 1".encode("utf-16"), "UTF-16", 1),
    "invalid utf-8": (b"a: 1\nb: \xff\n", "0xff is not UTF-8", 2),
    "control character": (b"a: 1\nb: \x07\n", "U+0007", 2),
    "nul": (b"a: 1\nb: \x00\n", "U+0000", 2),
    "open quote": (b"a: 1\nb: 'x\nc: 1\n", "never closed", 2),
    "colon in text": (b"a: b: c\n", "put the whole value in quotes", 1),
    "two documents": (b"a: 1\n---\nb: 1\n", "second document", 2),
    "empty": (b"", "empty", 1),
    "only remarks": (b"# a\n# b\n", "empty", 1),
    "alias inside itself": (b"a: &x [*x]\n", "inside what it stands for", 1),
    "unknown alias": (b"a: *x\n", "not defined above", 1),
    "foreign tag": (b"a: !!python/object x\n", "means nothing here", 1),
    "directive": (b"%YAML 1.1\n---\na: b\n", "%YAML", 1),
    "list as key": (b"[a]: b\n", "single text", 1),
    "unbalanced": (b"a: [1, 2\nb: 3\n", "", 2),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_with_words_and_place_within_a_second(case: str) -> None:
    data, words, line = BAD[case]
    before = time.thread_time()
    error = broken(data)
    assert time.thread_time() - before < 1
    assert words in error.message
    assert error.line == line


@pytest.mark.parametrize(
    "data",
    [b"a: " + b"x " * 250_000, b"# remark\n" * 55_000, b"a: |\n" + b"  some text here\n" * 30_000, b"\n" * 500_000],
)
def test_the_largest_files_that_are_taken_still_take_less_than_a_second(data: bytes) -> None:
    before = time.thread_time()
    with contextlib.suppress(BrokenYaml):
        yaml.parse(yaml.read_text(data))
    assert time.thread_time() - before < 2, "twice the promised time, for a busy test machine"


def survives(data: bytes) -> None:
    try:
        document = yaml.parse(yaml.read_text(data))
    except BrokenYaml as error:
        refusal: BrokenYaml | None = error
    else:
        refusal = None
        yaml.as_json(document.root)
    assert refusal is None or (refusal.message and refusal.line >= 1)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    survives(data)


PIECES = st.lists(
    st.sampled_from(["a", ":", " ", "\n", "- ", "[", "]", "{", "}", ",", "'", '"', "|", ">", "&x", "*x", "!", "!!str", "%", "@",
                     "`", "#", "?", "---", "...", "\t", "\r", "  ", "<<", "é", "\\", "\u2028", "\x85", "${{", "}}"]),
    max_size=40,
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(PIECES)
def test_no_mixture_of_signs_crashes_the_reader(pieces: list[str]) -> None:
    survives("".join(pieces).encode())


@settings(max_examples=200, deadline=None)
@given(
    st.text(
        st.characters(
            codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff\x85\u2028\u2029\ufffe\uffff"
        ),
        max_size=50,
    )
)
def test_quoted_text_comes_back_as_it_was(text: str) -> None:
    root = yaml.parse("a: '" + text.replace("'", "''") + "'").root
    assert isinstance(root, Mapping)
    found = root.entries["a"]
    assert isinstance(found, Scalar)
    assert found.text == text
