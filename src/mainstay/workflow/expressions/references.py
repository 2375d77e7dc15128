"""What an expression looks at, and which of it comes from strangers."""

from dataclasses import dataclass

from mainstay.workflow.expressions.syntax import Expression
from mainstay.workflow.expressions.templates import Template


@dataclass(frozen=True, slots=True)
class Reference:
    """A context path or a function that an expression uses."""

    kind: str
    """`context` or `function`."""
    path: tuple[str, ...]
    """`("github", "event", "*", "title")`: names as written, `*` for a filter or an index that is computed. A function has its name alone."""
    offset: int


@dataclass(frozen=True, slots=True)
class Risk:
    """Text from an event pasted into a script, where a shell would run it."""

    path: str
    """`github.event.head_commit.message`."""
    offset: int
    line: int
    column: int
    message: str
    """What can happen and what to write instead."""


def references(expression: Expression | Template) -> tuple[Reference, ...]:
    """Everything it uses, in the order of the text."""
    raise NotImplementedError


def injection_risks(script: str) -> tuple[Risk, ...]:
    """The places of a `run` script where text that strangers can write is pasted in. Bad expressions are not its business: none."""
    raise NotImplementedError
