"""The tree of an expression, and the errors with a place that everything here raises.

Reading text is in `reading`, writing it in `unparse` below. Nodes that mean the same are equal: offsets do not count.
"""

import math
import re
from dataclasses import dataclass, field
from typing import TypeAlias

from mainstay.model.errors import BadInput
from mainstay.workflow.expressions.values import format_number

MAX_EXCERPT = 120
"""Characters of a line that an error shows around its caret."""


class ExpressionError(BadInput):
    """An expression or template that cannot be read or evaluated, with its place in the text that was given.

    `text` is that whole text, `offset` counts its characters from 0, `line` and `column` from 1; `excerpt` is the line
    with a caret line below it. `str(error)` is the message and the excerpt.
    """

    code = "bad-expression"

    def __init__(self, message: str, text: str = "", offset: int = 0) -> None:
        super().__init__(message)
        self.text = text
        self.offset = min(offset, len(text)) if text else offset
        start = text.rfind("\n", 0, self.offset) + 1
        self.line = text.count("\n", 0, self.offset) + 1
        self.column = self.offset - start + 1
        self.excerpt = _excerpt(text, start, self.offset)

    def moved(self, text: str, by: int) -> "ExpressionError":
        """The same error, seen in a longer `text` in which the expression begins at `by`."""
        return ExpressionError(self.message, text, self.offset + by)

    def __str__(self) -> str:
        return f"{self.message}\n{self.excerpt}" if self.excerpt else self.message


def _excerpt(text: str, start: int, offset: int) -> str:
    """The line that begins at `start`, cut to what fits around `offset`, and a caret below."""
    end = text.find("\n", offset)
    end = len(text) if end < 0 else end
    first = max(start, offset - MAX_EXCERPT // 2)
    shown = text[first : min(end, first + MAX_EXCERPT)].replace("\t", " ").replace("\r", " ")
    if not shown.strip():
        return ""
    lead, tail = "..." * (first > start), "..." * (end > first + MAX_EXCERPT)
    return f"  {lead}{shown}{tail}\n  {' ' * (len(lead) + offset - first)}^"


@dataclass(frozen=True, slots=True)
class Literal:
    """`null`, `true`, `3`, `'text'`."""

    value: bool | int | float | str | None
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Context:
    """`github`: the name in lower case."""

    name: str
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Index:
    """`target.name`, `target[key]`; a property is an index by a literal string."""

    target: "Expression"
    key: "Expression"
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Filter:
    """`target.*`, `target[*]`."""

    target: "Expression"
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """`!operand`."""

    operand: "Expression"
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """`left == right` and the like."""

    operator: str
    """`==`, `!=`, `<`, `<=`, `>`, `>=`."""
    left: "Expression"
    right: "Expression"
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class And:
    """`a && b && c`: two or more operands, none of them an And."""

    operands: tuple["Expression", ...]
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Or:
    """`a || b || c`: two or more operands, none of them an Or."""

    operands: tuple["Expression", ...]
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """`name(arguments)`: the name as documented (`fromJSON`), whatever case it was written in."""

    name: str
    arguments: tuple["Expression", ...]
    offset: int = field(default=0, compare=False)


Expression: TypeAlias = Literal | Context | Index | Filter | Not | Compare | And | Or | Call
"""Any node of the tree. Texts that differ only in spaces, brackets and the case of names give equal trees."""

PROPERTY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
"""What may stand behind a dot."""


def children(node: Expression) -> tuple[Expression, ...]:
    """The nodes directly below, in the order of the text."""
    match node:
        case Index(target, key):
            return (target, key)
        case Filter(target):
            return (target,)
        case Not(operand):
            return (operand,)
        case Compare(_, left, right):
            return (left, right)
        case And(operands) | Or(operands):
            return operands
        case Call(_, arguments):
            return arguments
        case Literal() | Context():
            return ()


_STRENGTH = {Or: 1, And: 2, Compare: 3, Not: 5}
"""How tightly a node holds together; comparisons by `_strength`, everything else never needs brackets."""


def _strength(node: Expression) -> int:
    if isinstance(node, Compare):
        return 3 if node.operator in ("==", "!=") else 4
    return _STRENGTH.get(type(node), 9)


def _bracketed(node: Expression, at_least: int) -> str:
    text = unparse(node)
    return text if _strength(node) >= at_least else f"({text})"


def unparse(expression: Expression) -> str:
    """Text with `parse(unparse(e)) == e`, without brackets that are not needed."""
    match expression:
        case Literal(value):
            return _literal(value)
        case Context(name):
            return name
        case Index(target, Literal(str() as key)) if PROPERTY.match(key):
            return f"{_target(target)}.{key}"
        case Index(target, key):
            return f"{_target(target)}[{unparse(key)}]"
        case Filter(target):
            return f"{_target(target)}.*"
        case Not(operand):
            return f"!{_bracketed(operand, 5)}"
        case Compare(operator, left, right):
            strength = _strength(expression)
            return f"{_bracketed(left, strength)} {operator} {_bracketed(right, strength + 1)}"
        case And(operands):
            return " && ".join(_bracketed(operand, 3) for operand in operands)
        case Or(operands):
            return " || ".join(_bracketed(operand, 2) for operand in operands)
        case Call(name, arguments):
            return f"{name}({', '.join(map(unparse, arguments))})"


def _target(node: Expression) -> str:
    """What stands before a dot: a literal only in brackets."""
    text = unparse(node)
    return text if isinstance(node, Context | Index | Filter | Call) else f"({text})"


def _literal(value: bool | int | float | str | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, int) or math.isnan(value) or math.isinf(value):
        return str(value) if isinstance(value, int) else format_number(value)
    return repr(value)
