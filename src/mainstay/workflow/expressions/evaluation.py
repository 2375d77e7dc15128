"""Tree and scope -> value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mainstay.model.plan import Json
from mainstay.workflow.expressions.syntax import Expression


@dataclass(frozen=True, slots=True)
class Status:
    """What the status functions answer. For a job: what became of its needs; for a step: of the job so far."""

    success: bool = True
    failure: bool = False
    cancelled: bool = False


SUCCESS = Status()
FAILURE = Status(success=False, failure=True)
CANCELLED = Status(success=False, cancelled=True)


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression can see. A context that is not in `contexts` is an error to name, not null."""

    contexts: Mapping[str, Json] = field(default_factory=dict)
    """`github`, `env`, `matrix` ... to their values. Names in lower case. Keys are looked up without regard to case, but for `env`."""
    status: Status | None = SUCCESS
    """None: status functions are an error here."""
    hash_files: Callable[[tuple[str, ...]], str] | None = None
    """Given the patterns, the hex digest; None: `hashFiles` is an error here. What it raises passes through."""


def evaluate(expression: Expression, scope: Scope) -> Json:
    """The value: None, bool, int, float, str, list or dict. Whole numbers come as int. Raises ExpressionError."""
    raise NotImplementedError


def evaluate_condition(text: str | None, scope: Scope) -> bool:
    """Whether an `if` key says yes. See `parse_condition`."""
    raise NotImplementedError
