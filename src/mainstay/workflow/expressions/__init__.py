"""GitHub Actions' expression language: text -> frozen tree -> value. Pure; every limit is stated in `limits`.

    scope = Scope({"github": {...}, "matrix": {...}}, status=SUCCESS)
    evaluate(parse("github.ref == 'refs/heads/main'"), scope)      # -> True
    render(parse_template("py-${{ matrix.python }}"), scope)       # -> "py-3.12"
    render_value(parse_template("${{ fromJSON('[1]') }}"), scope)  # -> [1]
    evaluate_condition("failure() && matrix.os != 'x'", scope)     # the key `if`, with its implicit success()

Every mistake is an `ExpressionError` with `offset`, `line`, `column` within the text that was parsed, and a caret `excerpt`.
`parse`, `parse_template` and `parse_condition` keep their last few thousand results, so parsing a text again costs nothing.
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
)
from mainstay.workflow.expressions.references import Reference, Risk, injection_risks, references
from mainstay.workflow.expressions.syntax import Expression, ExpressionError, parse, parse_condition, unparse
from mainstay.workflow.expressions.templates import Template, parse_template, render, render_value

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
