"""Collects what is wrong with a workflow file: each problem with its place, an excerpt and maybe a suggestion."""

import difflib
from collections.abc import Iterable, Sequence

from mainstay.model.plan import Problem
from mainstay.workflow.yaml import Node, Scalar

MAX_PROBLEMS = 50
"""Beyond these they are only counted."""
MAX_EXCERPT = 120
"""Characters of a line that are shown around the caret."""


class Problems:
    """The problems of one file, in the order they were found until `all()` sorts them by place."""

    def __init__(self, path: str, lines: Sequence[str]) -> None:
        self.path = path
        self.lines = lines
        self.found: list[Problem] = []
        self.left_out = 0

    def error(self, at: Node, message: str, offset: int = 0) -> None:
        """Something that stops the workflow. `offset` counts characters within the text of a scalar."""
        self.add("error", message, *self.place(at, offset))

    def warning(self, at: Node, message: str, offset: int = 0) -> None:
        """Something that is left out or looks wrong, and does not stop the workflow."""
        self.add("warning", message, *self.place(at, offset))

    def add(self, severity: str, message: str, line: int, column: int) -> None:
        if len(self.found) >= MAX_PROBLEMS:
            self.left_out += 1
            return
        excerpt = _excerpt(self.lines[line - 1], column) if 0 < line <= len(self.lines) else None
        self.found.append(Problem(severity, message, self.path, line, column, excerpt))

    def all(self) -> tuple[Problem, ...]:
        found = sorted(self.found, key=lambda problem: (problem.line or 0, problem.column or 0))
        if self.left_out:
            found.append(Problem("error", f"and {self.left_out} more problems that are not shown", self.path))
        return tuple(found)

    @property
    def failed(self) -> bool:
        return any(problem.severity == "error" for problem in self.found)

    def place(self, at: Node, offset: int = 0) -> tuple[int, int]:
        """Line and column of a node, or of the character at `offset` of a scalar's text where that can be told."""
        if not isinstance(at, Scalar) or not offset:
            return at.line, at.column
        before = at.text[:offset]
        newlines = before.count("\n")
        inside = offset - (before.rfind("\n") + 1)
        if at.style == "|":
            line = at.line + 1 + newlines
            shown = self.lines[line - 1] if line <= len(self.lines) else ""
            column = len(shown) - len(at.text.split("\n")[newlines]) + inside + 1
        else:
            line, column = at.line, at.column + len(at.style) + inside
        rest = at.text[offset:].split("\n")[0]
        if column > 0 and line <= len(self.lines) and self.lines[line - 1][column - 1 :].startswith(rest[:10]):
            return line, column
        return at.line, at.column


def _excerpt(line: str, column: int) -> str:
    start = max(0, column - 1 - MAX_EXCERPT // 2)
    shown = line[start : start + MAX_EXCERPT].replace("\t", " ")
    lead = "..." if start else ""
    tail = "..." if len(line) > start + MAX_EXCERPT else ""
    return f"  {lead}{shown}{tail}\n  {' ' * (len(lead) + column - 1 - start)}^"


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean "branches"?`, or nothing."""
    lowered = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower()[:100], lowered, n=1, cutoff=0.7)
    return f'; did you mean "{lowered[found[0]]}"?' if found else ""
