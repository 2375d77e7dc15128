"""YAML 1.2 bytes -> a tree of nodes that know their place. Scalars keep their text: 3.10 is not 3.1, `on` is not true.

ruamel.yaml finds the tokens and their order; everything above (values, duplicate keys, aliases, limits) is done here,
because its own trees convert scalars and cost twice the time. Limits hold while reading, not after it, so that a file
made to be large once it is expanded is refused at once.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ruamel.yaml import events
from ruamel.yaml.error import FileMark, MarkedYAMLError, YAMLError
from ruamel.yaml.parser import Parser
from ruamel.yaml.reader import Reader, ReaderError
from ruamel.yaml.scanner import Scanner
from ruamel.yaml.tokens import ScalarToken

from mainstay.model.plan import Json
from mainstay.workflow.expressions.values import format_number

MAX_BYTES = 512 * 1024
MAX_TOKENS = 40_000
MAX_NODES = 20_000
"""Nodes of the whole tree, with every alias counted as what it stands for."""
MAX_DEPTH = 50

_REMARK = r"(?:\#[^\0\n\r\x85\u2028\u2029]*+)?"
_BLANK = re.compile(rf"(?:\ *+{_REMARK}\n)*+\ *+{_REMARK}")
_BLANK_IN_FLOW = re.compile(rf"(?:[ \t]*+{_REMARK}\n)*+[ \t]*+{_REMARK}")
"""What stands between tokens: spaces, remarks and line ends."""
_END = r"\0 \t\n\r\x85\u2028\u2029"
_WORD = rf"(?:[^{_END}:]|:(?![{_END}]))++"
_PLAIN = re.compile(rf"{_WORD}(?:\ ++(?!\#){_WORD})*+")
_WORD_IN_FLOW = rf"(?:[^{_END}:,\[\]{{}}]|:(?![{_END}]))++"
_PLAIN_IN_FLOW = re.compile(rf"{_WORD_IN_FLOW}(?:\ ++(?!\#){_WORD_IN_FLOW})*+")
"""A plain scalar as far as it goes in one line."""

STANDARD_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq"))


class BrokenYaml(Exception):
    """Not YAML, or over a limit. `line` and `column` count from 1."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value, as text."""

    text: str
    line: int
    column: int
    style: str = ""
    """Empty: plain. Else the sign it begins with: `'`, `"`, `|`, `>`."""
    is_text: bool = False
    """Quoted, a block, or tagged `!!str`: never a number, boolean or null."""

    @property
    def value(self) -> Json:
        """By YAML 1.2's core schema; a number that would be written otherwise (3.10, 1_0, 0x1f) stays text."""
        return self.text if self.is_text else plain_value(self.text)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of nodes."""

    items: tuple["Node", ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys, in the order of the file, and their nodes. Of a key that stands twice, the first."""

    entries: dict[str, "Node"]
    keys: dict[str, Scalar]
    """Where each key stands."""
    line: int
    column: int


Node: TypeAlias = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read: its tree and its lines, for excerpts."""

    root: Node
    lines: list[str] = field(default_factory=list)
    doubles: tuple[tuple[Scalar, Scalar], ...] = ()
    """Keys that stand twice in one mapping: the second and the first."""


_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, Json] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


def plain_value(text: str) -> Json:
    """What a plain scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if text[:1] in "-+0123456789" and len(text) < 30 and _NUMBER.match(text):
        number = float(text) if any(sign in text for sign in ".eE") else int(text)
        return number if format_number(number) == text else text
    return text


def as_json(node: Node) -> Json:
    """The tree below as a JSON value."""
    match node:
        case Scalar():
            return node.value
        case Sequence(items):
            return [as_json(item) for item in items]
        case Mapping(entries):
            return {key: as_json(value) for key, value in entries.items()}


def read_text(data: bytes) -> str:
    """The file's text: UTF-8, with or without a byte order mark, line ends made one. Raises BrokenYaml."""
    if len(data) > MAX_BYTES:
        raise BrokenYaml(f"the file has {len(data):,} bytes; at most {MAX_BYTES:,} are read")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise BrokenYaml("the file is UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line_start = before.rfind(b"\n") + 1
        column = len(before[line_start:].decode("utf-8", "replace")) + 1
        message = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise BrokenYaml(message, before.count(b"\n") + 1, column) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse(text: str) -> Document:
    """Raises BrokenYaml, also for an empty file and for more than one document."""
    try:
        builder = _Builder(_Events(text))
        root = builder.document()
    except MarkedYAMLError as error:
        raise _explained(error, text) from None
    except ReaderError as error:
        # Its position counts characters of the whole text.
        before = text[: error.position]
        raise BrokenYaml(
            f"character U+{ord(chr(error.character)):04X} may not stand in YAML",
            before.count("\n") + 1,
            len(before) - before.rfind("\n"),
        ) from None
    except YAMLError as error:
        raise BrokenYaml(f"this is not YAML: {error}") from None
    return Document(root, text.split("\n"), tuple(builder.doubles))


HINTS = (
    ("'\\t'", "a tab may not stand here: YAML is indented with spaces"),
    (
        "mapping values are not allowed",
        'a ": " is not allowed here: put the whole value in quotes, or check the indentation',
    ),
    ("could not find expected ':'", 'a key without ":" (or a text that must be put in quotes)'),
    ("expected <block end>", "this does not fit the indentation above"),
    ("cannot start any token", "a value may not begin with this sign: put it in quotes"),
    ("found undefined alias", "this alias (*) names an anchor (&) that is not defined above"),
    ("unexpected end of stream", "a quote that was opened here is never closed"),
)


def _explained(error: MarkedYAMLError, text: str) -> BrokenYaml:
    """ruamel's error in our words where we have them, always with its own behind."""
    mark = error.problem_mark or error.context_mark
    said = ", ".join(part for part in (error.context, error.problem) if part)
    hint = next((words for sign, words in HINTS if sign in said), None)
    if hint and "never closed" in hint and error.context_mark is not None:
        mark = error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    if not hint and "\t" in text.split("\n")[line - 1][: column - 1]:
        hint = HINTS[0][1]
    return BrokenYaml(f"{hint} ({said})" if hint else f"this is not YAML: {said}", line, column)


class _Events(Reader, Scanner, Parser):
    """ruamel's reader, scanner and parser over one string that is all in memory.

    What is overridden gives the same tokens in half the time: no refilling of buffers, no lookup of one part by the
    other, all tokens found before the parser asks, blanks and plain texts found by patterns instead of sign by sign.
    Tests compare the events with those of ruamel's own classes.
    """

    reader: Any = None
    scanner: Any = None
    resolver: Any = None
    scanner_processing_version = (1, 2)
    processing_version = (1, 2)
    comment_handling = False

    def __init__(self, text: str) -> None:
        self.reader = self.scanner = self.resolver = self
        self._reader = self._scanner = self._parser = self
        Reader.__init__(self, text, self)
        Scanner.__init__(self, self)
        Parser.__init__(self, self)
        self.loader: Any = None
        self.place = 0
        while not self.done:
            self.fetch_more_tokens()
            if len(self.tokens) > MAX_TOKENS:
                raise BrokenYaml(f"the file has too many parts: at most {MAX_TOKENS:,} are read", self.line + 1)
            if len(self.flow_context) > MAX_DEPTH or len(self.indents) > MAX_DEPTH:
                raise BrokenYaml(f"nested deeper than {MAX_DEPTH} levels", self.line + 1, self.column + 1)

    def fetch_directive(self) -> None:
        raise BrokenYaml("a line that begins with % (%YAML, %TAG) is not supported: leave it out", self.line + 1)

    def distribute_comment(self, comment: object, line: int) -> None:
        """Remarks are not kept."""

    def peek(self, index: int = 0) -> str:
        try:
            return self.buffer[self.pointer + index]
        except IndexError:
            return "\0"

    def prefix(self, length: int = 1) -> str:
        return self.buffer[self.pointer : self.pointer + length]

    def forward(self, length: int = 1) -> None:
        start = self.pointer
        end = start + length
        if end > len(self.buffer):
            end = len(self.buffer)
        self.pointer = end
        self.index += end - start
        newline = self.buffer.rfind("\n", start, end)
        if newline < 0:
            self.column += end - start
        else:
            self.line += self.buffer.count("\n", start, end)
            self.column = end - newline - 1

    def get_mark(self) -> FileMark:
        return FileMark(self.name, self.index, self.line, self.column)

    def scan_to_next_token(self) -> None:
        line = self.line
        found = (_BLANK_IN_FLOW if self.flow_context else _BLANK).match(self.buffer, self.pointer)
        if found is not None and found.end() > self.pointer:
            self.forward(found.end() - self.pointer)
            if line != self.line and not self.flow_context:
                self.allow_simple_key = True
        if self.peek() in "\x85\u2028\u2029":
            super().scan_to_next_token()

    def scan_plain(self) -> ScalarToken:
        pattern = _PLAIN_IN_FLOW if self.flow_context else _PLAIN
        chunks: list[str] = []
        spaces: list[str] = []
        start = end = self.get_mark()
        indent = self.indent + 1
        while self.peek() != "#":
            found = pattern.match(self.buffer, self.pointer)
            if found is None:
                break
            self.allow_simple_key = False
            chunks += (*spaces, found[0])
            self.forward(len(found[0]))
            end = self.get_mark()
            spaces = self.scan_plain_spaces(indent, start)
            if not spaces or self.peek() == "#" or (not self.flow_context and self.column < indent):
                break
        return ScalarToken("".join(chunks), True, start, end)

    def check_token(self, *choices: type) -> bool:
        return self.place < len(self.tokens) and (not choices or isinstance(self.tokens[self.place], choices))

    def peek_token(self) -> Any:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def get_token(self) -> Any:
        self.place += 1
        return self.tokens[self.place - 1]

    def __iter__(self) -> Iterator[Any]:
        while self.check_event():
            yield self.get_event()


class _Builder:
    """Events -> nodes. Recursion is bounded by the depth that the scanner let through."""

    def __init__(self, source: _Events) -> None:
        self.events = iter(source)
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.open: set[str] = set()
        self.nodes = 0
        self.doubles: list[tuple[Scalar, Scalar]] = []

    def document(self) -> Node:
        first = next(self.events)
        while isinstance(first, events.StreamStartEvent):
            first = next(self.events)
        if isinstance(first, events.StreamEndEvent):
            raise BrokenYaml("the file is empty")
        root = self.node(next(self.events))
        next(self.events)
        another = next(self.events)
        if not isinstance(another, events.StreamEndEvent):
            raise BrokenYaml("a second document begins here; a workflow file holds one", another.start_mark.line + 1)
        return root

    def node(self, event: Any) -> Node:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, events.AliasEvent):
            return self.alias(event.anchor, line, column)
        before = self.nodes
        self.count(1, line, column)
        if event.anchor:
            self.open.add(event.anchor)
        tag = str(event.tag) if event.tag is not None else None
        if tag and tag != "!" and tag not in STANDARD_TAGS:
            raise BrokenYaml(f"the tag {tag} means nothing here; leave it out", line, column)
        node: Node
        if isinstance(event, events.ScalarEvent):
            is_text = bool(event.style) or tag in ("!", "tag:yaml.org,2002:str")
            node = Scalar(event.value, line, column, event.style or "", is_text)
        elif isinstance(event, events.SequenceStartEvent):
            items = []
            while not isinstance(inner := next(self.events), events.SequenceEndEvent):
                items.append(self.node(inner))
            node = Sequence(tuple(items), line, column)
        else:
            node = self.mapping(line, column)
        if event.anchor:
            self.open.discard(event.anchor)
            self.anchors[event.anchor] = (node, self.nodes - before)
        return node

    def mapping(self, line: int, column: int) -> Mapping:
        entries: dict[str, Node] = {}
        keys: dict[str, Scalar] = {}
        while not isinstance(inner := next(self.events), events.MappingEndEvent):
            key = self.node(inner)
            value = self.node(next(self.events))
            if not isinstance(key, Scalar):
                raise BrokenYaml(
                    "a key must be a single text (a `{` or `[` that means text is put in quotes)", key.line, key.column
                )
            if key.text in keys:
                self.doubles.append((key, keys[key.text]))
            else:
                keys[key.text] = key
                entries[key.text] = value
        return Mapping(entries, keys, line, column)

    def alias(self, name: str, line: int, column: int) -> Node:
        if name in self.open:
            raise BrokenYaml(f"the alias *{name} stands inside what it stands for", line, column)
        if name not in self.anchors:
            raise BrokenYaml(f"the alias *{name} names an anchor &{name} that is not defined above", line, column)
        node, size = self.anchors[name]
        self.count(size, line, column)
        return node

    def count(self, nodes: int, line: int, column: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            message = f"the file has more than {MAX_NODES:,} values, counting each alias (*) as all that it stands for"
            raise BrokenYaml(message, line, column)
