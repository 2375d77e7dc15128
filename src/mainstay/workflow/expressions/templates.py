"""Text with `${{ expressions }}` in it, and the key `if`, which may go without the braces."""

import re
from dataclasses import dataclass
from functools import lru_cache

from mainstay.workflow.expressions.names import STATUS_FUNCTIONS
from mainstay.workflow.expressions.reading import CACHED_LENGTH, parse
from mainstay.workflow.expressions.syntax import And, Call, Expression, ExpressionError, Literal, children

MAX_TEMPLATE = 1024 * 1024
"""Characters of one template."""
MAX_EXPRESSIONS = 10_000
"""Expressions in one template."""


@dataclass(frozen=True, slots=True)
class Template:
    """Literal text and expressions in turn, neither empty."""

    parts: tuple[str | Expression, ...]
    text: str
    """As it was written."""
    starts: tuple[int, ...] = ()
    """Where the text of each expression begins: add it to the offset of a node to find it in `text`."""

    @property
    def expressions(self) -> tuple[Expression, ...]:
        return tuple(part for part in self.parts if not isinstance(part, str))


_END = re.compile(r"(?:[^'}]++|'(?:[^']++|'')*+'|\}(?!\}))*+\}\}")
"""From behind `${{` to the first `}}` outside of a string."""


def parse_template(text: str) -> Template:
    """Raises ExpressionError whose `offset`, `line` and `column` count within `text`. Text without `${{` is itself."""
    if "${{" not in text:
        return Template((text,) if text else (), text)
    return _template_cached(text) if len(text) <= CACHED_LENGTH else _template(text)


def _template(text: str) -> Template:
    if len(text) > MAX_TEMPLATE:
        raise ExpressionError(f"a template of {len(text)} characters is longer than the limit of {MAX_TEMPLATE}")
    parts: list[str | Expression] = []
    starts: list[int] = []
    at = 0
    while (start := text.find("${{", at)) >= 0:
        end = _END.match(text, start + 3)
        if end is None:
            raise ExpressionError("this ${{ has no closing }} (one inside of a string does not count)", text, start)
        if len(starts) == MAX_EXPRESSIONS:
            raise ExpressionError(f"a template has at most {MAX_EXPRESSIONS} expressions", text, start)
        if start > at:
            parts.append(text[at:start])
        parts.append(_inner(text, start + 3, end.end() - 2))
        starts.append(start + 3)
        at = end.end()
    if at < len(text):
        parts.append(text[at:])
    return Template(tuple(parts), text, tuple(starts))


_template_cached = lru_cache(maxsize=1024)(_template)


def _inner(text: str, start: int, end: int) -> Expression:
    """The expression in `text[start:end]`, its errors placed within `text`."""
    try:
        return parse(text[start:end])
    except ExpressionError as error:
        raise error.moved(text, start) from None


def parse_condition(text: str | None) -> Expression:
    """The tree of an `if` key: with or without `${{ }}` around it, `success() && (...)` where no status is asked.

    None and blank text are `success()`. Text around `${{ }}` makes a string, as on GitHub; see `condition_warning`.
    """
    if text is None or not text.strip():
        return _SUCCESS
    return _guarded_cached(text) if len(text) <= CACHED_LENGTH else _guarded(text)


def _guarded(text: str) -> Expression:
    tree = _condition(text)
    if _names_status(tree):
        return tree
    return And((_SUCCESS, *(tree.operands if isinstance(tree, And) else (tree,))))


_guarded_cached = lru_cache(maxsize=1024)(_guarded)


def condition_warning(text: str | None) -> str | None:
    """What is odd about an `if` that can be read: text around `${{ }}` is never empty, so it is always true."""
    if text is None or "${{" not in text or len(_template(text.strip()).parts) == 1:
        return None
    return "this condition is always true: text stands around its ${{ }}; write the whole condition inside"


_SUCCESS = Call("success", ())


def _condition(text: str) -> Expression:
    """The tree without the implicit `success()`. Every offset in it counts in `text`: hence the blanks in front."""
    if "${{" not in text:
        return parse(text)
    lead = len(text) - len(text.lstrip())
    try:
        template = parse_template(text.strip())
    except ExpressionError as error:
        raise error.moved(text, lead) from None
    pattern = ""
    arguments: list[Expression] = []
    for part in template.parts:
        if isinstance(part, str):
            pattern += part.replace("{", "{{").replace("}", "}}")
            continue
        start = lead + template.starts[len(arguments)]
        end = _END.match(text, start)
        pattern += f"{{{len(arguments)}}}"
        arguments.append(parse(" " * start + text[start : end.end() - 2]) if end else part)
    if pattern == "{0}":
        return arguments[0]
    return Call("format", (Literal(pattern, lead), *arguments), lead)


def _names_status(tree: Expression) -> bool:
    if isinstance(tree, Call) and tree.name in STATUS_FUNCTIONS:
        return True
    return any(map(_names_status, children(tree)))
