"""The tree of an expression, text to tree and back."""

from dataclasses import dataclass
from typing import TypeAlias

from mainstay.model.errors import BadInput


class ExpressionError(BadInput):
    """An expression or template that cannot be read or evaluated, with its place in the text that was given.

    `text` is that whole text, `offset` counts its characters from 0, `line` and `column` from 1; `excerpt` is the line
    with a caret line below it. `str(error)` is the message and the excerpt.
    """

    code = "bad-expression"
    text: str
    offset: int
    line: int
    column: int
    excerpt: str


@dataclass(frozen=True, slots=True)
class Literal:
    value: None | bool | int | float | str


Expression: TypeAlias = Literal
"""Any node of the tree. Equal texts, but for spaces and brackets, give equal trees."""


def parse(text: str) -> Expression:
    """The tree of one expression, without `${{ }}`. Raises ExpressionError, also for unknown contexts and functions."""
    raise NotImplementedError


def parse_condition(text: str | None) -> Expression:
    """The tree of an `if` key: with or without `${{ }}` around it, `success() && (...)` where it names no status function.

    None and blank text are `success()`. Text around `${{ }}` (`${{ a }} == 'b'`) makes a string that is always true;
    GitHub accepts it, so it is accepted, and `condition_warning(text)` says so.
    """
    raise NotImplementedError


def unparse(expression: Expression) -> str:
    """Text with `parse(unparse(e)) == e`."""
    raise NotImplementedError
