"""Which secrets and variables a workflow file reads: whoever brings it has to give them here as well."""

from collections.abc import Iterator
from dataclasses import dataclass

from mainstay.workflow import yaml
from mainstay.workflow.expressions import ExpressionError, Reference, parse_condition, parse_template, references
from mainstay.workflow.read import Workflow

GIVEN = frozenset({"github_token"})
"""Secrets that are always there."""


@dataclass(frozen=True, slots=True)
class Read:
    """A secret or variable that a file reads, and where it does so first."""

    name: str
    line: int


def secrets(workflow: Workflow) -> tuple[Read, ...]:
    """In the order of the file, each once; without those that are always there, and those that a caller gives."""
    called = workflow.triggers.call.secrets if workflow.triggers.call is not None else {}
    given = GIVEN | {name.lower() for name in called}
    return tuple(each for each in _read(workflow, "secrets") if each.name.lower() not in given)


def variables(workflow: Workflow) -> tuple[Read, ...]:
    """In the order of the file, each once."""
    return tuple(_read(workflow, "vars"))


def _read(workflow: Workflow, context: str) -> Iterator[Read]:
    seen = set()
    for scalar, is_condition in _scalars(yaml.parse(yaml.read_text(workflow.data)).root):
        for reference in _references(scalar.text, is_condition):
            path = reference.path
            if reference.kind != "context" or path[0].lower() != context or len(path) < 2 or path[1] == "*":
                continue
            if path[1].lower() not in seen:
                seen.add(path[1].lower())
                yield Read(path[1], scalar.line)


def _references(text: str, is_condition: bool) -> tuple[Reference, ...]:
    try:
        if "${{" in text:
            return references(parse_template(text))
        return references(parse_condition(text)) if is_condition else ()
    except ExpressionError:
        return ()


def _scalars(root: yaml.Node) -> Iterator[tuple[yaml.Scalar, bool]]:
    """Every text of the file in its order, and whether it is a condition."""
    todo: list[tuple[yaml.Node, bool]] = [(root, False)]
    while todo:
        node, is_condition = todo.pop()
        match node:
            case yaml.Scalar():
                yield node, is_condition
            case yaml.Sequence():
                todo += [(item, False) for item in reversed(node.items)]
            case yaml.Mapping():
                todo += [(value, name == "if") for name, value in reversed(node.entries.items())]
