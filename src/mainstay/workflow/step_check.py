"""What is known of one step before anything has run: whether its action is replaced, whether it is reached at all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from mainstay.model.plan import Json, Step
from mainstay.workflow.actions import advice, replacement
from mainstay.workflow.composite import FILES, read_action
from mainstay.workflow.expressions import ExpressionError, Scope, evaluate_condition, parse_condition, references
from mainstay.workflow.files import Files

MAX_ACTION_LEVELS = 10
"""Local actions that use local actions."""
KNOWN_BEFORE = frozenset({"matrix", "runner"})
"""Contexts whose values are known before anything runs, as far as conditions of steps care."""
RUNNER: Mapping[str, Json] = {"os": "Linux", "environment": "self-hosted", "debug": ""}
AFTER_FAILURE = frozenset({"failure", "cancelled"})
NAMED = 4
"""So many jobs of a matrix are named."""


class Verdict(StrEnum):
    """What becomes of a job or step here, from good to bad."""

    RUNS = "runs"
    REPLACED = "runs with replacement"
    DOES_NOT_RUN = "does not run"


ORDER = tuple(Verdict)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth knowing of a job."""

    verdict: Verdict
    message: str
    path: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Leg:
    """One job of a matrix that runs here."""

    name: str
    matrix: Mapping[str, Json] | None
    """None: not known before something has run."""


def step_findings(
    step: Step, path: str, files: Files, legs: Sequence[Leg], inside: tuple[str, ...] = ()
) -> Iterator[Finding]:
    """What is worth knowing of a step of these jobs. `inside`: folders of the local actions around it."""
    uses = step.uses
    if uses is None or "${{" in uses:
        return
    chosen = reached(step.condition, legs)
    if chosen == []:
        return
    known = replacement(uses)
    if uses.startswith("./"):
        yield from _local(uses, step.line, path, files, legs if chosen is None else chosen, inside)
    elif known is not None:
        yield Finding(Verdict.REPLACED, f"{uses}: {known.by}", path, step.line)
    else:
        if uses.startswith("docker://"):
            what = "container actions are not run; write it as a run step, or give the job this container"
        else:
            what = f"this action is not run here; {advice(uses)}"
        yield _not_run(step, f"{uses[:100]}: {what}", path, legs, chosen)


def _not_run(step: Step, message: str, path: str, legs: Sequence[Leg], chosen: list[Leg] | None) -> Finding:
    """An action that does not run ends its job, unless the step is not reached or may fail."""
    if step.continue_on_error == "true":
        words = f"{message} (the step fails, which the workflow allows)"
        return Finding(Verdict.RUNS, words, path, step.line)
    if chosen is None:
        words = f"{message} (the job fails where its condition holds: {(step.condition or '')[:100]})"
        return Finding(Verdict.RUNS, words, path, step.line)
    where = ""
    if len(chosen) < len(legs):
        names = ", ".join(leg.name for leg in chosen)
        where = f" (in {names if len(chosen) <= NAMED else f'{len(chosen)} of {len(legs)} jobs'})"
    return Finding(Verdict.DOES_NOT_RUN, message + where, path, step.line)


def reached(condition: str | None, legs: Sequence[Leg]) -> list[Leg] | None:
    """The jobs of a matrix in which a step's condition holds as long as all goes well; None: that is not known yet."""
    if condition is None:
        return list(legs)
    try:
        used = references(parse_condition(condition))
        contexts = {each.path[0].lower() for each in used if each.kind == "context"}
        functions = {each.path[0].lower() for each in used if each.kind == "function"}
        if functions & AFTER_FAILURE or "hashfiles" in functions or not contexts <= KNOWN_BEFORE:
            return None
        if "matrix" in contexts and any(leg.matrix is None for leg in legs):
            return None
        return [
            leg for leg in legs if evaluate_condition(condition, Scope({"matrix": leg.matrix or {}, "runner": RUNNER}))
        ]
    except ExpressionError:
        return None


def _local(
    uses: str, line: int | None, path: str, files: Files, legs: Sequence[Leg], inside: tuple[str, ...]
) -> Iterator[Finding]:
    """A local action: composite ones run, with all that they use."""
    folder = str(PurePosixPath(uses))
    if folder in inside or len(inside) >= MAX_ACTION_LEVELS:
        yield Finding(Verdict.DOES_NOT_RUN, f"{uses}: local actions use each other in a circle", path, line)
        return
    for name in FILES:
        place = name if folder == "." else f"{folder}/{name}"
        data = files.read(place)
        if data is None:
            continue
        action = read_action(place, data)
        for problem in action.problems:
            if problem.severity == "error":
                yield Finding(Verdict.DOES_NOT_RUN, f"{uses}: {problem.message}", place, problem.line)
        for step in action.steps:
            yield from step_findings(step, place, files, legs, (*inside, folder))
        return
    yield Finding(Verdict.DOES_NOT_RUN, f"{uses}: there is no {folder}/action.yml in the repository", path, line)
