"""Text with `${{ expressions }}` in it."""

from dataclasses import dataclass

from mainstay.model.plan import Json
from mainstay.workflow.expressions.evaluation import Scope
from mainstay.workflow.expressions.syntax import Expression


@dataclass(frozen=True, slots=True)
class Template:
    """Literal text and expressions in turn."""

    parts: tuple[str | Expression, ...]
    text: str
    """As it was written."""


def parse_template(text: str) -> Template:
    """Raises ExpressionError whose `offset`, `line` and `column` count within `text`. Text without `${{` is itself."""
    raise NotImplementedError


def render(template: Template, scope: Scope) -> str:
    """The text, each expression replaced by its value as GitHub writes it (null is empty, lists are `Array`)."""
    raise NotImplementedError


def render_value(template: Template, scope: Scope) -> Json:
    """A template that is exactly one `${{ }}` gives the value with its type, any other its text."""
    raise NotImplementedError
