"""GitHub Actions' expression language: text -> frozen tree -> value. Pure, and bounded in depth, length, time and size.

    scope = Scope({"github": {...}, "matrix": {...}}, status=SUCCESS)
    evaluate(parse("github.ref == 'refs/heads/main'"), scope)      # -> True
    render(parse_template("py-${{ matrix.python }}"), scope)       # -> "py-3.12"
    render_value(parse_template("${{ fromJSON('[1]') }}"), scope)  # -> [1]
    evaluate_condition("failure() && matrix.os != 'x'", scope)     # the key `if`, with its implicit success()

Every mistake in a text is an `ExpressionError` with `offset`, `line`, `column` within it and a caret `excerpt`.
Short texts keep their tree, so parsing one again costs nothing.
"""

from mainstay.workflow.expressions.availability import AVAILABILITY, Availability, misuses
from mainstay.workflow.expressions.evaluation import (
    CANCELLED,
    FAILURE,
    SUCCESS,
    Scope,
    Status,
    evaluate,
    evaluate_condition,
    render,
    render_value,
)
from mainstay.workflow.expressions.reading import parse
from mainstay.workflow.expressions.references import Reference, Risk, injection_risks, references
from mainstay.workflow.expressions.syntax import Expression, ExpressionError, unparse
from mainstay.workflow.expressions.templates import Template, condition_warning, parse_condition, parse_template

__all__ = [
    "AVAILABILITY",
    "CANCELLED",
    "FAILURE",
    "SUCCESS",
    "Availability",
    "Expression",
    "ExpressionError",
    "Reference",
    "Risk",
    "Scope",
    "Status",
    "Template",
    "condition_warning",
    "evaluate",
    "evaluate_condition",
    "injection_risks",
    "misuses",
    "parse",
    "parse_condition",
    "parse_template",
    "references",
    "render",
    "render_value",
    "unparse",
]
