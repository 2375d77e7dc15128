"""Reading `jobs`: what each asks for, and that their needs make a graph without circles."""

from collections.abc import Iterable
from collections.abc import Mapping as Named
from dataclasses import dataclass, field, replace

from mainstay.model.plan import Concurrency, Limits, Matrix, PlannedJob, Retry, Step
from mainstay.workflow.containers import read_container, read_services
from mainstay.workflow.matrix import read_matrix
from mainstay.workflow.problems import suggestion
from mainstay.workflow.reading import Reading, kind
from mainstay.workflow.sizes import size_bytes
from mainstay.workflow.steps import NAME, in_background, own_repository, read_shell, read_steps
from mainstay.workflow.yaml import Mapping, Node, Scalar, as_json

JOB = "jobs.<job_id>"
COMMON = ("name", "needs", "if", "permissions", "concurrency", "strategy")
KEYS = (*COMMON, "runs-on", "environment", "outputs", "env", "defaults", "steps", "timeout-minutes",
        "continue-on-error", "container", "services", "snapshot", "cancel-timeout-minutes")  # fmt: skip
OUR_KEYS = ("run", "reports", "retry", "priority", "limits")
CALL_KEYS = (*COMMON, "uses", "with", "secrets")
PERMISSIONS = (
    "actions", "artifact-metadata", "attestations", "checks", "contents", "copilot-requests", "deployments",
    "discussions", "id-token", "issues", "models", "packages", "pages", "pull-requests", "repository-projects",
    "security-events", "statuses", "vulnerability-alerts",
)  # fmt: skip
ENDS = ("lost", "broken")
"""After which a job may be tried again by itself; a failed test is never one of them."""


@dataclass(frozen=True, slots=True)
class CallingJob:
    """A job with `uses`: it runs another workflow file."""

    key: str
    uses: str
    name: str | None = None
    needs: tuple[str, ...] = ()
    condition: str | None = None
    matrix: Matrix | None = None
    inputs: Named[str, Scalar] = field(default_factory=dict)
    """As written, with their places: their types are known only when the called file is read."""
    secrets: dict[str, str] | None = field(default_factory=dict)
    """None: `inherit`."""
    concurrency: Concurrency | None = None
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Defaults:
    """`defaults.run` of a workflow or job."""

    shell: str | None = None
    working_directory: str | None = None


def read_jobs(
    reading: Reading, node: Node, env: dict[str, str], defaults: Defaults, permissions: dict[str, str]
) -> tuple[PlannedJob | CallingJob, ...]:
    """All jobs in the order of the file; the workflow's `env`, defaults and permissions are merged in."""
    found: list[PlannedJob | CallingJob] = []
    places: dict[str, Mapping] = {}
    for key, value in reading.entries(node, '"jobs"'):
        if not NAME.match(key.text):
            message = f'the job key "{key.text[:50]}" must be letters, digits, _ and -, with no digit or - first'
            reading.problems.error(key, message)
        if not isinstance(value, Mapping):
            reading.problems.error(value, f'the job "{key.text}" must be a mapping, not {kind(value)}')
            continue
        job = (
            _calling(reading, key.text, value)
            if "uses" in value.entries
            else _job(reading, key, value, env, defaults, permissions)
        )
        found.append(job)
        places[key.text] = value
    if not found and not reading.problems.failed:
        reading.problems.error(node, '"jobs" is empty: a workflow needs at least one job')
    _check_graph(reading, found, places)
    return tuple(found)


def _calling(reading: Reading, key: str, node: Mapping) -> CallingJob:
    reading.mapping(node, f'the job "{key}", which calls a workflow', CALL_KEYS)
    entries = node.entries
    uses = own_repository(reading.text(entries["uses"], '"uses"') or "")
    inputs = {}
    given = entries.get("with")
    for name, value in reading.entries(given, '"with"') if given is not None else ():
        if reading.template(value, f"{JOB}.with.<with_id>", f'"{name.text}"') is not None and isinstance(value, Scalar):
            inputs[name.text] = value
    secrets: dict[str, str] | None
    wanted = entries.get("secrets")
    if isinstance(wanted, Scalar) and wanted.text == "inherit":
        secrets = None
    else:
        secrets = reading.templates(wanted, f"{JOB}.secrets.<secrets_id>", '"secrets"')
    return CallingJob(
        key=key,
        uses=uses,
        name=reading.template(entries.get("name"), f"{JOB}.name", '"name"'),
        needs=reading.texts(entries.get("needs"), '"needs"'),
        condition=reading.condition(entries.get("if"), f"{JOB}.if", '"if"'),
        matrix=_strategy(reading, entries.get("strategy"), key)[0],
        inputs=inputs,
        secrets=secrets,
        concurrency=read_concurrency(reading, entries.get("concurrency"), f"{JOB}.concurrency"),
        line=entries["uses"].line,
        column=entries["uses"].column,
    )


def _job(
    reading: Reading, place: Scalar, node: Mapping, env: dict[str, str], defaults: Defaults, permissions: dict[str, str]
) -> PlannedJob:
    key = place.text
    known = (*KEYS, *OUR_KEYS) if reading.ours else (*KEYS, "uses")
    reading.mapping(node, f'the job "{key}"', known)
    entries = node.entries
    matrix, fail_fast, max_parallel = _strategy(reading, entries.get("strategy"), key)
    own = read_defaults(reading, entries.get("defaults"))
    job = PlannedJob(
        key=key,
        name=reading.template(entries.get("name"), f"{JOB}.name", '"name"'),
        needs=tuple(dict.fromkeys(reading.texts(entries.get("needs"), '"needs"'))),
        condition=reading.condition(entries.get("if"), f"{JOB}.if", '"if"'),
        labels=_labels(reading, key, node),
        matrix=matrix,
        fail_fast=fail_fast,
        max_parallel=max_parallel,
        steps=_steps(reading, key, node),
        env={**env, **reading.environment(entries.get("env"), f"{JOB}.env", '"env"')},
        shell=own.shell or defaults.shell,
        working_directory=own.working_directory or defaults.working_directory,
        outputs=reading.templates(entries.get("outputs"), f"{JOB}.outputs.<output_id>", '"outputs"'),
        limits=_limits(reading, node),
        continue_on_error=reading.flag(
            entries.get("continue-on-error"), f"{JOB}.continue-on-error", '"continue-on-error"'
        ),
        container=read_container(reading, entries.get("container")),
        services=read_services(reading, entries.get("services")),
        concurrency=read_concurrency(reading, entries.get("concurrency"), f"{JOB}.concurrency"),
        permissions=read_permissions(reading, entries["permissions"]) if "permissions" in entries else permissions,
        environment=_environment(reading, entries.get("environment")),
        line=place.line,
    )
    beside = in_background(entries.get("steps"))
    if beside is not None:
        message = f'steps beside others ("{beside.text}") are not run here: start the program with & in one script'
        reading.problems.warning(beside, message)
        job = replace(job, steps=(), unsupported=f"a step of it runs beside others ({beside.text})")
    for name in ("snapshot", "cancel-timeout-minutes"):
        if name in entries:
            reading.problems.warning(node.keys[name], f'"{name}" has no meaning here and is left out')
    return _with_our_keys(reading, job, entries) if reading.ours else job


def _steps(reading: Reading, key: str, node: Mapping) -> tuple[Step, ...]:
    run, steps = node.entries.get("run"), node.entries.get("steps")
    if run is not None and reading.ours:
        if steps is not None:
            reading.problems.error(node.keys["run"], 'a job has either "run" or "steps", not both')
        script = reading.template(run, f"{JOB}.steps.run", '"run"')
        if script is not None and not script.strip():
            reading.problems.error(run, '"run" is empty')
        return (Step(run=script, line=run.line),) if script else ()
    if steps is None:
        reading.problems.error(node, f'the job "{key}" has no "steps" (nor "uses", to call a workflow)')
        return ()
    return read_steps(reading, steps) if in_background(steps) is None else ()


def _labels(reading: Reading, key: str, node: Mapping) -> tuple[str, ...]:
    """`runs-on` as a text, a list, or a group with labels."""
    value = node.entries.get("runs-on")
    if value is None:
        if not reading.ours:
            reading.problems.error(node, f'the job "{key}" has no "runs-on": write runs-on: ubuntu-latest')
        return ("linux",)
    if isinstance(value, Mapping):
        reading.mapping(value, '"runs-on"', ("group", "labels"))
        if "group" in value.entries:
            reading.problems.warning(value.keys["group"], "there are no groups of runners here: only the labels count")
        value = value.entries.get("labels", value)
        if isinstance(value, Mapping):
            return ("linux",)
    items = reading.items(value, '"runs-on"', one=True)
    labels = [reading.template(item, f"{JOB}.runs-on", '"runs-on"') for item in items]
    if not labels:
        reading.problems.error(value, '"runs-on" names no runner: write runs-on: ubuntu-latest')
    return tuple(label for label in labels if label)


def _strategy(reading: Reading, node: Node | None, key: str) -> tuple[Matrix | None, str, int | None]:
    found = reading.mapping(node, '"strategy"', ("matrix", "fail-fast", "max-parallel")) if node is not None else None
    if found is None:
        return None, "true", None
    entries = found.entries
    matrix = read_matrix(reading, entries["matrix"], f'the matrix of "{key}"') if "matrix" in entries else None
    limit = entries.get("max-parallel")
    if isinstance(limit, Scalar) and "${{" in limit.text:
        reading.problems.warning(
            limit, '"max-parallel" takes no expression here: as many run at once as there are runners'
        )
        limit = None
    return (
        matrix,
        reading.flag(entries.get("fail-fast"), f"{JOB}.strategy", '"fail-fast"', "true"),
        reading.whole(limit, '"max-parallel"', 1, 256),
    )


def read_defaults(reading: Reading, node: Node | None) -> Defaults:
    """`defaults`, of a workflow or a job."""
    found = reading.mapping(node, '"defaults"', ("run",)) if node is not None else None
    run = found.entries.get("run") if found is not None else None
    inner = reading.mapping(run, '"defaults.run"', ("shell", "working-directory")) if run is not None else None
    if inner is None:
        return Defaults()
    return Defaults(
        read_shell(reading, inner.entries.get("shell")),
        reading.template(inner.entries.get("working-directory"), f"{JOB}.defaults.run", '"working-directory"'),
    )


def read_concurrency(reading: Reading, node: Node | None, key: str) -> Concurrency | None:
    """`concurrency`: a group's name, or a mapping; `in-order` is ours."""
    if node is None:
        return None
    if isinstance(node, Scalar):
        group = reading.template(node, key, '"concurrency"')
        return Concurrency(group) if group else None
    known = ("group", "cancel-in-progress", "queue", *(("in-order",) if reading.ours else ()))
    found = reading.mapping(node, '"concurrency"', known)
    group = reading.template(found.entries.get("group"), key, '"group"') if found is not None else None
    if found is None or not group:
        reading.problems.error(node, '"concurrency" needs a "group"')
        return None
    queue = reading.text(found.entries.get("queue"), '"queue"') or "single"
    if queue not in ("single", "max"):
        reading.problems.error(
            found.entries["queue"], '"queue" must be single (the newest waits) or max (all wait, in order)'
        )
    return Concurrency(
        group,
        reading.flag(found.entries.get("cancel-in-progress"), key, '"cancel-in-progress"'),
        queue == "max" or reading.flag(found.entries.get("in-order"), None, '"in-order"') == "true",
    )


def read_permissions(reading: Reading, node: Node) -> dict[str, str]:
    """`permissions`: accepted and shown; they rule nothing here."""
    if isinstance(node, Scalar):
        if node.text in ("read-all", "write-all"):
            return {"all": node.text.removesuffix("-all")}
        if node.value is not None:
            reading.problems.error(node, '"permissions" must be read-all, write-all or a mapping')
        return {}
    found = {}
    for key, value in reading.entries(node, '"permissions"'):
        level = reading.text(value, f'"{key.text}"')
        if key.text not in PERMISSIONS:
            reading.problems.warning(key, f'unknown permission "{key.text}"' + suggestion(key.text, PERMISSIONS))
        elif level not in ("read", "write", "none"):
            reading.problems.error(value, f'"{key.text}" must be read, write or none')
        if level is not None:
            found[key.text] = level
    return found


def _environment(reading: Reading, node: Node | None) -> str | None:
    if node is None or isinstance(node, Scalar):
        return reading.template(node, f"{JOB}.environment", '"environment"')
    found = reading.mapping(node, '"environment"', ("name", "url", "deployment"))
    if found is None:
        return None
    reading.template(found.entries.get("url"), f"{JOB}.environment.url", '"url"')
    return reading.template(found.entries.get("name"), f"{JOB}.environment", '"name" of "environment"')


def _limits(reading: Reading, node: Mapping) -> Limits:
    time_s = reading.minutes(node.entries.get("timeout-minutes"), f"{JOB}.timeout-minutes", '"timeout-minutes"')
    given = node.entries.get("limits") if reading.ours else None
    found = reading.mapping(given, '"limits"', ("memory", "processes", "network")) if given is not None else None
    if found is None:
        return Limits(time_s=time_s)
    memory = found.entries.get("memory")
    size = size_bytes(as_json(memory)) if memory is not None else None
    if memory is not None and size is None:
        reading.problems.error(memory, '"memory" must be a size like 512 MB or 2 GB')
    return Limits(
        time_s=time_s,
        memory_bytes=size,
        processes=reading.whole(found.entries.get("processes"), '"processes"', 1, 1_000_000),
        network=reading.flag(found.entries.get("network"), None, '"network"', "true") == "true",
    )


def _with_our_keys(reading: Reading, job: PlannedJob, entries: Named[str, Node]) -> PlannedJob:
    reports: dict[str, tuple[str, ...]] = {}
    given = entries.get("reports")
    found = reading.mapping(given, '"reports"', ("junit", "coverage")) if given is not None else None
    for name, value in found.entries.items() if found is not None else ():
        reports[name] = reading.texts(value, f'"{name}" of "reports"')
    return replace(
        job,
        reports=reports,
        retry=_retry(reading, entries.get("retry")),
        priority=reading.whole(entries.get("priority"), '"priority"', -100, 100) or 0,
    )


def _retry(reading: Reading, node: Node | None) -> Retry:
    found = reading.mapping(node, '"retry"', ("max", "on")) if node is not None else None
    if found is None:
        return Retry()
    most = reading.whole(found.entries.get("max"), '"max" of "retry"', 0, 10)
    on = reading.texts(found.entries.get("on"), '"on" of "retry"') if "on" in found.entries else ENDS
    for each in on:
        if each not in ENDS:
            message = (
                f'"on" of "retry" takes {" and ".join(ENDS)}, not "{each[:50]}": a failed test is never tried again'
            )
            reading.problems.error(found.entries["on"], message)
    return Retry(Retry().max if most is None else most, on)


def _check_graph(reading: Reading, jobs: Iterable[PlannedJob | CallingJob], places: Named[str, Mapping]) -> None:
    """Every need must name another job, and no job may need itself in the end."""
    needs = {job.key: job.needs for job in jobs}
    for key, wanted in needs.items():
        for each in wanted:
            if each not in needs:
                message = f'the job "{key}" needs "{each[:50]}", which is not a job of this file'
                reading.problems.error(places[key].entries["needs"], message + suggestion(each, needs))
    circle = find_circle(needs)
    if circle:
        reading.problems.error(
            places[circle[0]].entries["needs"], f"jobs need each other in a circle: {' -> '.join(circle)}"
        )


def find_circle(needs: Named[str, Iterable[str]]) -> tuple[str, ...]:
    """The keys along a circle, the first one again at the end; empty when there is none."""
    done: set[str] = set()
    for start in needs:
        path: list[str] = []
        stack = [(start, iter(needs[start]))] if start not in done else []
        while stack:
            key, rest = stack[-1]
            if not path or path[-1] != key:
                path.append(key)
            following = next(rest, None)
            if following is None:
                done.add(key)
                stack.pop()
                path.pop()
            elif following in path:
                return (*path[path.index(following) :], following)
            elif following in needs and following not in done:
                stack.append((following, iter(needs[following])))
    return ()
