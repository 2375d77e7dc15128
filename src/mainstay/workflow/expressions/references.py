"""What an expression looks at, and which of it comes from strangers."""

from collections.abc import Iterator
from dataclasses import dataclass

from mainstay.workflow.expressions.syntax import (
    And,
    Call,
    Context,
    Expression,
    ExpressionError,
    Filter,
    Index,
    Literal,
    Or,
    children,
    unparse,
)
from mainstay.workflow.expressions.templates import Template, parse_template
from mainstay.workflow.expressions.values import to_text


@dataclass(frozen=True, slots=True)
class Reference:
    """A context path or a function that an expression uses."""

    kind: str
    """`context` or `function`."""
    path: tuple[str, ...]
    """`("github", "event", "*", "title")`: names as written, `*` for a filter or a key that is computed. A function has
    its name alone."""
    offset: int
    """Where it begins, in the text of the expression or template."""


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
    if not isinstance(expression, Template):
        return tuple(sorted(_walk(expression, 0), key=lambda each: each.offset))
    return tuple(
        reference
        for tree, start in zip(expression.expressions, expression.starts, strict=True)
        for reference in sorted(_walk(tree, start), key=lambda each: each.offset)
    )


def _walk(node: Expression, start: int) -> Iterator[Reference]:
    path, context = _path(node)
    if context is not None:
        yield Reference("context", path, context.offset + start)
    if isinstance(node, Call):
        yield Reference("function", (node.name,), node.offset + start)
    below = _keys(node) if context is not None else children(node)
    for child in below:
        yield from _walk(child, start)


def _path(node: Expression) -> tuple[tuple[str, ...], Context | None]:
    """The names from a context down to `node`, and that context; None if it does not begin with one."""
    names: list[str] = []
    while isinstance(node, Index | Filter):
        key = node.key if isinstance(node, Index) else None
        names.append(to_text(key.value) if isinstance(key, Literal) else "*")
        node = node.target
    if not isinstance(node, Context):
        return (), None
    return (node.name, *reversed(names)), node


def _keys(node: Expression) -> list[Expression]:
    """The computed keys of a context path: `matrix.os` in `needs.a.outputs[matrix.os]`."""
    keys: list[Expression] = []
    while isinstance(node, Index | Filter):
        if isinstance(node, Index) and not isinstance(node.key, Literal):
            keys.append(node.key)
        node = node.target
    return keys


UNTRUSTED_ENDINGS = frozenset(
    {
        "body",
        "default_branch",
        "description",
        "email",
        "head_branch",
        "label",
        "message",
        "name",
        "page_name",
        "ref",
        "title",
        "*",
    }
)
"""Last names of paths below `github.event` that strangers can fill, from GitHub's page on script injections."""

SAFE_BELOW_EVENT = frozenset({"repository", "organization", "enterprise", "installation", "inputs", "ref", "sender"})
"""Parts of the event that only members can fill, or that allow no characters a shell would mind."""


def injection_risks(script: str) -> tuple[Risk, ...]:
    """The places of a `run` script where text that strangers can write is pasted in; none if it cannot be parsed."""
    try:
        template = parse_template(script)
    except ExpressionError:
        return ()
    found = []
    for tree, start in zip(template.expressions, template.starts, strict=True):
        for node, context in _pasted(tree):
            if _untrusted(_path(node)[0]):
                found.append(_risk(script, unparse(node), context.offset + start))
    return tuple(found)


def _risk(script: str, path: str, offset: int) -> Risk:
    message = (
        f"{path} is text that anyone can write, and here it becomes part of the script: a shell would run what stands "
        f'in it. Give it to the step as a variable (env: TEXT: ${{{{ {path} }}}}) and write "$TEXT" in the script.'
    )
    line = script.count("\n", 0, offset) + 1
    return Risk(path, offset, line, offset - script.rfind("\n", 0, offset), message)


_PASSING_ON = frozenset({"format", "join", "toJSON", "fromJSON", "case"})
"""Functions whose result holds the text of their arguments; the others give true, false or a digest."""


def _pasted(node: Expression) -> Iterator[tuple[Expression, Context]]:
    """The context paths whose text can be in the result."""
    _, context = _path(node)
    if context is not None:
        yield node, context
    elif isinstance(node, And | Or):
        for child in node.operands:
            yield from _pasted(child)
    elif isinstance(node, Call) and node.name in _PASSING_ON:
        arguments = node.arguments
        for child in (*arguments[1::2], arguments[-1]) if node.name == "case" else arguments:
            yield from _pasted(child)
    elif isinstance(node, Index | Filter):
        yield from _pasted(node.target)


def _untrusted(path: tuple[str, ...]) -> bool:
    names = tuple(name.lower() for name in path)
    if names[0] != "github":
        return False
    if len(names) == 1 or names[1:] in (("event",), ("head_ref",)):
        return True
    return names[1] == "event" and names[2] not in SAFE_BELOW_EVENT and names[-1] in UNTRUSTED_ENDINGS
