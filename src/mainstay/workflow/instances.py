"""From a planned job to the jobs of a build, once its needs have ended: condition, matrix, name, labels, limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mainstay.model.errors import BadInput
from mainstay.model.plan import Concurrency, Json, Plan, PlannedJob
from mainstay.workflow import labels
from mainstay.workflow.contexts import SEPARATOR, JobContexts, reason_to_skip, strategy
from mainstay.workflow.durations import seconds
from mainstay.workflow.expressions import (
    ExpressionError,
    Scope,
    evaluate_condition,
    parse_template,
    render,
    render_value,
)
from mainstay.workflow.matrix import Combination, combinations, job_name

DEFAULT_TIME_LIMIT_S = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Group:
    """A concurrency group, evaluated."""

    name: str
    cancel_in_progress: bool = False
    in_order: bool = False


@dataclass(frozen=True, slots=True)
class JobInstance:
    """One job of a build."""

    key: str
    name: str
    matrix: dict[str, Json] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    """A runner must offer them all."""
    elsewhere: str | None = None
    """Not None: while no runner offers the labels, the job is neutral for this reason; else it waits."""
    strategy: dict[str, Json] = field(default_factory=dict)
    allowed_to_fail: bool = False
    time_limit_s: float = DEFAULT_TIME_LIMIT_S
    concurrency: Group | None = None
    environment: str | None = None
    skipped: str | None = None
    """Why it is skipped; None: it is to run."""
    neutral: str | None = None
    """Why it cannot be run here whatever runners there are."""


def instances(job: PlannedJob, contexts: JobContexts, table: Sequence[labels.Rule] = labels.TABLE) -> list[JobInstance]:
    """The jobs that a planned job becomes; at least one, which may be skipped or neutral.

    `table`: what `runs-on` means.

    Raises BadInput (ExpressionError, BadMatrix) when a key cannot be evaluated: then the job has failed with that text.
    """
    refused = contexts.refused
    if refused is None and not evaluate_condition(job.condition, contexts.scope()):
        refused = reason_to_skip(job.condition, contexts)
    if refused is not None:
        return [JobInstance(job.key, _plain_name(job, contexts), skipped=refused)]
    if job.unsupported is not None:
        return [JobInstance(job.key, _plain_name(job, contexts), neutral=job.unsupported)]
    if job.matrix is None:
        return [_instance(job, contexts, Combination({}, ()), (0, 1), contexts.scope(matrix={}), table)]
    expanded = combinations(job.matrix, contexts.scope())
    if not expanded:
        return [JobInstance(job.key, _plain_name(job, contexts), skipped="its matrix excludes every combination")]
    total = len(expanded)
    return [
        _instance(job, contexts, each, (index, total), contexts.scope(matrix=each.values), table)
        for index, each in enumerate(expanded)
    ]


def _instance(
    job: PlannedJob,
    contexts: JobContexts,
    each: Combination,
    position: tuple[int, int],
    scope: Scope,
    table: Sequence[labels.Rule],
) -> JobInstance:
    place = strategy(*position, fail_fast=_flag(job.fail_fast, scope), max_parallel=job.max_parallel)
    scope = Scope({**scope.contexts, "strategy": place}, status=scope.status)
    wanted = labels.wanted(_names(job.labels, scope), table)
    base = _rendered(job.name, scope) or own_key(job)
    return JobInstance(
        key=job.key,
        # A name without expressions would be the same for every job of the matrix.
        name=contexts.prefix + (base if job.name and "${{" in job.name else job_name(base, each.shown)),
        matrix=each.values,
        labels=wanted.labels,
        elsewhere=wanted.elsewhere,
        strategy=place,
        allowed_to_fail=_flag(job.continue_on_error, scope),
        time_limit_s=seconds(_rendered(job.limits.time_s, scope)) if job.limits.time_s else DEFAULT_TIME_LIMIT_S,
        concurrency=group(job.concurrency, scope),
        environment=_rendered(job.environment, scope) or None,
    )


def environment_of(job: PlannedJob, values: Mapping[str, Json]) -> str:
    """The environment that a job names, evaluated with its contexts; empty: none. Raises ExpressionError."""
    return _rendered(job.environment, Scope(values))


def own_key(job: PlannedJob) -> str:
    """The job's key as its own file writes it."""
    return job.key.removeprefix(job.call + SEPARATOR) if job.call else job.key


def _plain_name(job: PlannedJob, contexts: JobContexts) -> str:
    """A name for a job whose matrix is not expanded."""
    try:
        return contexts.prefix + (_rendered(job.name, contexts.scope()) or own_key(job))
    except ExpressionError:
        return contexts.prefix + own_key(job)


def _rendered(text: str | None, scope: Scope) -> str:
    if text is None or "${{" not in text:
        return text or ""
    return render(parse_template(text), scope)


def _flag(text: str, scope: Scope) -> bool:
    rendered = _rendered(text, scope)
    if rendered.lower() not in ("true", "false", ""):
        raise BadInput(f'"{text}" must give true or false; it gives "{rendered[:50]}"')
    return rendered.lower() == "true"


def _names(templates: tuple[str, ...], scope: Scope) -> list[str]:
    """The names of `runs-on`; one template may give a list, or a mapping with `labels`."""
    found: list[str] = []
    for template in templates:
        value = render_value(parse_template(template), scope) if "${{" in template else template
        if isinstance(value, dict):
            value = value.get("labels")
        names = value if isinstance(value, list) else [value]
        texts = [name for name in names if isinstance(name, str) and name]
        if not texts or len(texts) < len(names):
            raise BadInput(f'"runs-on" must name a runner; {template} gives none')
        found += texts
    return found


def group(concurrency: Concurrency | None, scope: Scope) -> Group | None:
    """A concurrency group with its expressions evaluated; None where there is none or its name is empty."""
    if concurrency is None:
        return None
    name = _rendered(concurrency.group, scope)
    return Group(name, _flag(concurrency.cancel_in_progress, scope), concurrency.in_order) if name else None


def build_group(plan: Plan, contexts: JobContexts) -> Group | None:
    """The concurrency group of a whole build. `contexts` needs `github`, `inputs` and `vars` only."""
    return group(plan.concurrency, contexts.scope())


def build_name(plan: Plan, contexts: JobContexts) -> str | None:
    """The key `run-name`, evaluated; None where there is none."""
    return _rendered(plan.run_name, contexts.scope()) or None
