"""What `mainstay run --dry-run` says: jobs in the order they would run, legs, steps, what is replaced."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mainstay.cli.choosing import Chosen
from mainstay.cli.terminal import Terminal
from mainstay.model.errors import BadInput
from mainstay.model.plan import Json, PlannedJob, Step
from mainstay.model.states import JobState
from mainstay.workflow.actions import advice, replacement
from mainstay.workflow.contexts import job_contexts
from mainstay.workflow.instances import JobInstance, instances
from mainstay.workflow.mentions import asks_for_outputs

LEGS_SHOWN = 30
LONGEST_LINE = 200


@dataclass(frozen=True, slots=True)
class _Assumed:
    """A job that is taken to have passed, so that what comes after it can be told."""

    key: str
    state: JobState = JobState.PASSED
    outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outlook:
    """One job as far as it is known before anything has run."""

    job: PlannedJob
    legs: tuple[JobInstance, ...] = ()
    later: str | None = None
    """Why its legs are not known yet."""

    @property
    def skipped(self) -> str | None:
        return self.legs[0].skipped if self.legs else None

    def document(self) -> dict[str, Json]:
        """For `--json`."""
        legs = [
            {"name": leg.name, "matrix": leg.matrix, "labels": list(leg.labels), "skipped": leg.skipped}
            for leg in self.legs
        ]
        steps = [
            {"number": number, "name": title(step), "uses": step.uses, "run": step.run, "instead": instead(step)}
            for number, step in enumerate(self.job.steps, 1)
        ]
        return {
            "key": self.job.key,
            "needs": list(self.job.needs),
            "condition": self.job.condition,
            "legs": legs,
            "later": self.later,
            "steps": steps,
        }


def outlooks(chosen: Chosen, base: dict[str, Any]) -> list[Outlook]:
    """Every job, those that are needed first. What is needed is taken to pass."""
    left, ordered = list(chosen.jobs), list[PlannedJob]()
    while left:
        job = next(each for each in left if not any(other.key in each.needs for other in left))
        left.remove(job)
        ordered.append(job)
    assumed = [_Assumed(job.key) for job in chosen.plan.jobs]
    return [_outlook(chosen, job, base, assumed) for job in ordered]


def _outlook(chosen: Chosen, job: PlannedJob, base: dict[str, Any], assumed: Sequence[_Assumed]) -> Outlook:
    waits = f"known when {', '.join(job.needs)} {'has' if len(job.needs) == 1 else 'have'} ended"
    try:
        found = instances(job, job_contexts(chosen.plan, job, base, assumed))
    except BadInput as error:
        if "needs." in f"{job.matrix}{job.labels}{job.condition}":
            return Outlook(job, later=waits)
        return Outlook(job, later=error.message)
    if found[0].skipped is not None and job.needs and asks_for_outputs(chosen.plan, job):
        return Outlook(job, later=f"whether it runs is {waits}")
    return Outlook(job, tuple(leg for leg in found if chosen.keeps(leg.matrix)))


def title(step: Step) -> str:
    """What the step is called."""
    if step.name:
        return step.name
    if step.uses:
        return step.uses
    return next((line for line in (step.run or "").strip().splitlines()), "")[:LONGEST_LINE]


def instead(step: Step) -> str | None:
    """What is done in place of an action, or why it is not run; None: it is no action of others."""
    uses = step.uses
    if uses is None or uses.startswith("./") or "${{" in uses:
        return None
    known = replacement(uses)
    return known.by if known is not None else f"does not run here: {advice(uses)}"


def lines(chosen: Chosen, jobs: Sequence[Outlook], out: Terminal) -> Iterator[str]:
    """For people."""
    yield f"{out.paint(chosen.plan.workflow, bold=True)}  {chosen.plan.source}, on {chosen.event}"
    for each in jobs:
        yield from _job_lines(each, out)


def _job_lines(each: Outlook, out: Terminal) -> Iterator[str]:
    job = each.job
    state = "skipped" if each.skipped else "neutral" if job.unsupported else "waiting"
    after = f"  after {', '.join(job.needs)}" if job.needs else ""
    yield f"  {out.glyph(state)} {out.paint(job.key, bold=True)}{out.faint(after)}"
    if each.later or each.skipped:
        yield f"      {each.later or each.skipped}"
    if job.condition and not each.skipped:
        yield f"      if {job.condition.strip()}"
    if each.skipped:
        return
    if job.matrix is not None:
        for leg in each.legs[:LEGS_SHOWN]:
            why = f"  {leg.neutral or leg.elsewhere}" if leg.neutral or leg.elsewhere else ""
            yield f"      {leg.name}  {out.faint(', '.join(leg.labels))}{why}"
        if len(each.legs) > LEGS_SHOWN:
            yield f"      and {len(each.legs) - LEGS_SHOWN} more"
    for number, step in enumerate(job.steps, 1):
        uses = f"  {step.uses}" if step.uses and step.name else ""
        by = instead(step)
        yield f"      {number}. {title(step)}{uses}" + (out.faint(f"  ({by})") if by else "")
