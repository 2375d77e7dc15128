"""Which contexts and functions can be used in which workflow key.

The keys are written as in GitHub's table "Context availability" (Contexts reference), from which this one is taken. The
last entries, of `action.yml`, are from GitHub's schema of action files. A key that is missing here takes no contexts.
"""

from dataclasses import dataclass

from mainstay.workflow.expressions.names import FUNCTIONS, STATUS_FUNCTIONS
from mainstay.workflow.expressions.references import Reference, references
from mainstay.workflow.expressions.syntax import Expression, ExpressionError
from mainstay.workflow.expressions.templates import Template


@dataclass(frozen=True, slots=True)
class Availability:
    """What may be used in a key."""

    contexts: frozenset[str]
    functions: frozenset[str] = frozenset()
    """Special functions (`hashFiles`, `success` ...), beyond those that can be used everywhere."""


SPECIAL_FUNCTIONS = STATUS_FUNCTIONS | {"hashFiles"}


def _offer(contexts: str, *functions: str) -> Availability:
    return Availability(frozenset(contexts.split()), frozenset(functions))


_RUN = "github inputs vars"
_JOB_IF = "github needs vars inputs"
_JOB = "github needs strategy matrix vars inputs"
_CREDENTIALS = f"{_JOB} env secrets"
_ON_RUNNER = f"{_JOB} job runner env"
_CONTAINER_ENV = f"{_ON_RUNNER} secrets"
_STEP = f"{_ON_RUNNER} secrets steps"
_ACTION = "github strategy matrix steps inputs job runner env"

AVAILABILITY: dict[str, Availability] = {
    "run-name": _offer(_RUN),
    "concurrency": _offer(_RUN),
    "env": _offer(f"{_RUN} secrets"),
    "jobs.<job_id>.concurrency": _offer(_JOB),
    "jobs.<job_id>.container": _offer(_JOB),
    "jobs.<job_id>.container.credentials": _offer(_CREDENTIALS),
    "jobs.<job_id>.container.env.<env_id>": _offer(_CONTAINER_ENV),
    "jobs.<job_id>.container.image": _offer(_JOB),
    "jobs.<job_id>.continue-on-error": _offer(_JOB),
    "jobs.<job_id>.defaults.run": _offer(f"{_JOB} env"),
    "jobs.<job_id>.env": _offer(f"{_JOB} secrets"),
    "jobs.<job_id>.environment": _offer(_JOB),
    "jobs.<job_id>.environment.url": _offer(f"{_ON_RUNNER} steps"),
    "jobs.<job_id>.if": _offer(_JOB_IF, *STATUS_FUNCTIONS),
    "jobs.<job_id>.name": _offer(_JOB),
    "jobs.<job_id>.outputs.<output_id>": _offer(_STEP),
    "jobs.<job_id>.runs-on": _offer(_JOB),
    "jobs.<job_id>.secrets.<secrets_id>": _offer(f"{_JOB} secrets"),
    "jobs.<job_id>.services": _offer(_JOB),
    "jobs.<job_id>.services.<service_id>.credentials": _offer(_CREDENTIALS),
    "jobs.<job_id>.services.<service_id>.env.<env_id>": _offer(_CONTAINER_ENV),
    "jobs.<job_id>.steps.continue-on-error": _offer(_STEP, "hashFiles"),
    "jobs.<job_id>.steps.env": _offer(_STEP, "hashFiles"),
    "jobs.<job_id>.steps.if": _offer(f"{_ON_RUNNER} steps", "hashFiles", *STATUS_FUNCTIONS),
    "jobs.<job_id>.steps.name": _offer(_STEP, "hashFiles"),
    "jobs.<job_id>.steps.run": _offer(_STEP, "hashFiles"),
    "jobs.<job_id>.steps.timeout-minutes": _offer(_STEP, "hashFiles"),
    "jobs.<job_id>.steps.with": _offer(_STEP, "hashFiles"),
    "jobs.<job_id>.steps.working-directory": _offer(_STEP, "hashFiles"),
    "jobs.<job_id>.strategy": _offer(_JOB_IF),
    "jobs.<job_id>.timeout-minutes": _offer(_JOB),
    "jobs.<job_id>.with.<with_id>": _offer(_JOB),
    "on.workflow_call.inputs.<inputs_id>.default": _offer(_RUN),
    "on.workflow_call.outputs.<output_id>.value": _offer(f"{_RUN} jobs"),
    "outputs.<output_id>.value": _offer(_ACTION),
    "runs.steps": _offer(_ACTION, "hashFiles"),
    "runs.steps.if": _offer(_ACTION, "hashFiles", *STATUS_FUNCTIONS),
}
"""By key. `runs.steps` stands for every key of a composite action's step but `if`."""

NOWHERE = Availability(frozenset())


def misuses(expression: Expression | Template, key: str, text: str = "") -> tuple[ExpressionError, ...]:
    """Each context or function that `key` does not offer. `text` is what an expression was parsed from, for the places;
    a template knows its own."""
    offered = AVAILABILITY.get(key, NOWHERE)
    if isinstance(expression, Template):
        text = expression.text
    found = [(_misuse(reference, offered, key), reference.offset) for reference in references(expression)]
    return tuple(ExpressionError(message, text, offset) for message, offset in found if message)


def _misuse(reference: Reference, offered: Availability, key: str) -> str | None:
    name = reference.path[0]
    if reference.kind == "context" and name not in offered.contexts:
        known = ", ".join(sorted(offered.contexts)) or "none"
        return f'the context "{name}" cannot be used in {key}; available there: {known}'
    if name in SPECIAL_FUNCTIONS and reference.kind == "function" and name not in offered.functions:
        known = ", ".join(each for each in FUNCTIONS if each in offered.functions or each not in SPECIAL_FUNCTIONS)
        return f"the function {name} cannot be used in {key}; available there: {known}"
    return None
