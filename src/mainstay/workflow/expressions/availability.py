"""Which contexts and functions GitHub documents for which workflow key."""

from dataclasses import dataclass

from mainstay.workflow.expressions.syntax import Expression, ExpressionError
from mainstay.workflow.expressions.templates import Template


@dataclass(frozen=True, slots=True)
class Availability:
    """What may be used in a key."""

    contexts: frozenset[str]
    functions: frozenset[str] = frozenset()
    """Special functions (`hashFiles`, `success` ...), beyond those that can be used everywhere."""


AVAILABILITY: dict[str, Availability] = {}
"""By key as in GitHub's table: `run-name`, `jobs.<job_id>.if`, `jobs.<job_id>.steps.run` ..."""


def misuses(expression: Expression | Template, key: str) -> tuple[ExpressionError, ...]:
    """Each context or function that `key` (one of AVAILABILITY) does not offer. Empty: all is well."""
    raise NotImplementedError
