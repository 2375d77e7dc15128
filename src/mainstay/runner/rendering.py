"""Evaluates the expressions of steps. `hashFiles` reads files, so what calls it is evaluated in a thread."""

from collections.abc import Mapping

from mainstay.model.plan import WHOLE, Json
from mainstay.runner.threads import Threads
from mainstay.workflow.expressions import (
    ExpressionError,
    Scope,
    evaluate_condition,
    parse_template,
    render,
    render_value,
)
from mainstay.workflow.expressions.values import to_text, truthy

SLOW = "hashfiles"


def render_names(text: str, scope: Scope) -> dict[str, str]:
    """Names and values that one expression gives (`env: ${{ matrix.env }}`). Raises ExpressionError."""
    value: Json = render_value(parse_template(text), scope)
    if not isinstance(value, dict):
        if value is None or value == "":
            return {}
        raise ExpressionError(f"{text} must give a mapping of names to values; it gives {to_text(value)[:80]!r}")
    return {str(name): to_text(each) for name, each in value.items()}


class Rendering:
    """Raises ExpressionError, and what `hashFiles` raises."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    async def condition(self, text: str | None, scope: Scope) -> bool:
        """Whether an `if` says yes."""
        if text is not None and SLOW in text.lower():
            return await self._threads.run(evaluate_condition, text, scope)
        return evaluate_condition(text, scope)

    async def text(self, text: str, scope: Scope) -> str:
        """A template as text."""
        if "${{" not in text:
            return text
        template = parse_template(text)
        if SLOW in text.lower():
            return await self._threads.run(render, template, scope)
        return render(template, scope)

    async def mapping(self, templates: Mapping[str, str], scope: Scope) -> dict[str, str]:
        """The values of a mapping as texts."""
        found: dict[str, str] = {}
        for name, text in templates.items():
            found |= render_names(text, scope) if name == WHOLE else {name: await self.text(text, scope)}
        return found

    @staticmethod
    def flag(text: str, scope: Scope) -> bool:
        """A template that is true or false."""
        value: Json = render_value(parse_template(text), scope) if "${{" in text else text
        return value.strip().lower() == "true" if isinstance(value, str) else truthy(value)
