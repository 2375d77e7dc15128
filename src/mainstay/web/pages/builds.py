"""One build: what failed on top, then its jobs on a time axis with their attempts and steps, then everything else."""

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from mainstay.flow import build as build_flow
from mainstay.flow import reproduce
from mainstay.flow.quarantine import entry_for
from mainstay.model.errors import NotFound
from mainstay.model.events import Event
from mainstay.model.job import Attempt, Job
from mainstay.model.person import Role
from mainstay.model.repository import Commit, branch_of
from mainstay.model.states import ENDED_JOB, BuildState, JobState
from mainstay.store import artifacts, events, jobs, plans, repositories
from mainstay.store.database import Tx
from mainstay.store.views import builds as views
from mainstay.store.views import tests as test_views
from mainstay.store.views.asked import Asked, asked
from mainstay.store.views.builds import AttemptNotes, BuildHead
from mainstay.store.views.tests import Outcome
from mainstay.web import culprits, listing
from mainstay.web.access import reader
from mainstay.web.culprits import Told
from mainstay.web.listing import Line
from mainstay.web.options import site_of
from mainstay.web.pages import excerpts, graph, markdown, marks
from mainstay.web.pages import jobs as jobs_shown
from mainstay.web.pages.acting import back_to, form_of
from mainstay.web.pages.forms import Forms, branch
from mainstay.web.pages.home import branch_lines
from mainstay.web.pages.marks import path_of
from mainstay.web.pages.rendering import Crumb, render, speak
from mainstay.web.pages.words import Words
from mainstay.web.paths import number

FAILED_TESTS = 50
BAD = (JobState.FAILED, JobState.ALLOWED)
ANNOTATIONS = 50
SUMMARIES_LENGTH = 96 << 10
"""Characters of all jobs' summaries that one page shows."""
RECENT = 30
"""Commits of the strip, and how far the last green one is looked for."""
NEWER = 6
"""Of them, how many may be newer than the build."""


@dataclass(frozen=True, slots=True)
class View:
    """What the page of a build shows."""

    line: Line
    jobs: tuple[Job, ...]
    commit: Commit | None
    failures: tuple[tuple[str, Outcome], ...]
    more_failures: bool
    notes: dict[int, AttemptNotes]
    artifacts: tuple[Any, ...]
    problems: tuple[dict[str, Any], ...]
    story: tuple[Event, ...]
    recent: tuple[listing.CommitLine, ...]
    """Commits of the branch around this one, newest first."""
    before: BuildHead | None
    after: BuildHead | None
    asked: dict[int, Asked]
    origins: dict[int, BuildHead]
    """The builds of the jobs whose verdicts were taken over."""
    culprits: tuple[Told, ...] = ()
    held: frozenset[str] = frozenset()
    """Those of the failed tests that are in quarantine."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the steps of a job wrote for people."""

    job: Job
    html: Markup
    cut: int | None
    """How many characters are shown, when it has more."""


def _view(tx: Tx, build_id: int) -> View:
    head = views.head(tx, build_id)
    if head is None:
        raise NotFound(f"there is no build with the id {build_id}")
    line = listing.lines(tx, [head])[0]
    found = jobs.of_build(tx, build_id)
    last = [job.attempts[-1].id for job in found if job.attempts]
    failed = [job.attempts[-1].id for job in found if job.attempts and job.state in BAD]
    failures = test_views.failures(tx, failed, FAILED_TESTS + 1) if failed else []
    known = repositories.known_commits(tx, head.repository_id, [head.commit])
    return View(
        line,
        tuple(found),
        known.get(head.commit),
        tuple(failures[:FAILED_TESTS]),
        len(failures) > FAILED_TESTS,
        views.notes(tx, last),
        tuple(artifacts.of_build(tx, build_id)),
        tuple(views.plan_problems(tx, build_id)),
        tuple(events.of_build(tx, build_id, 200)),
        tuple(_around(tx, head)),
        *views.beside(tx, head),
        asked(tx, build_id),
        views.of_jobs(tx, [job.reused_from for job in found if job.reused_from is not None]),
        culprits=tuple(culprits.of_build(tx, head.repository_id, head.ref, head.commit, build_id)),
        held=frozenset(name for name, _ in failures if entry_for(plans.of_build(tx, build_id).quarantine, name)),
    )


def _around(tx: Tx, head: BuildHead) -> list[listing.CommitLine]:
    """The last commits of the build's branch; of an old build, those around it."""
    lines = branch_lines(tx, head.repository_id, head.ref, RECENT)
    at = next((index for index, line in enumerate(lines) if line.sha == head.commit), None)
    if at is not None and at <= NEWER:
        return lines
    return branch_lines(tx, head.repository_id, head.ref, RECENT, head.id + NEWER)


async def build(request: Request) -> Response:
    """One build."""
    viewer = await reader(request)
    words, forms = speak(request)
    site = site_of(request)
    build_id = number(request, "build")
    view = await site.engine.db.read(_view, build_id)
    head = view.line.head
    bad = [job for job in view.jobs if job.state in BAD and job.attempts]
    return render(
        request,
        "build.html",
        viewer,
        title=f"{head.repository}#{head.number} {words.plain(view.line.state.value)}",
        live=(f"build:{build_id}",),
        icon=view.line.state.value,
        crumbs=(
            Crumb(head.repository, path_of(head.repository)),
            Crumb(branch(head.ref), f"{path_of(head.repository)}?branch={quote(branch(head.ref), safe='')}"),
            Crumb(f"#{head.number}", f"/builds/{build_id}"),
        ),
        view=view,
        head=head,
        state=view.line.state.value,
        heading=_heading(view.line, words, forms),
        excerpts=await excerpts.excerpts(site, bad),
        bad=len(bad),
        message=excerpts.message,
        groups=jobs_shown.groups(view.jobs, forms.now),
        graph=graph.graph(view.jobs),
        marks=marks.of_commits(view.recent, head.repository, forms),
        since=_since_green(view),
        cause=view.story[0].cause if view.story else None,
        path=path_of(head.repository),
        branch_name=branch_of(head.ref),
        annotations=_annotations(view),
        shown_annotations=ANNOTATIONS,
        summaries=await _summaries(view),
        reproduce=_reproduce(view),
        open=not view.line.ended,
        failed=any(job.state in (*BAD, JobState.CANCELLED) for job in view.jobs),
        round=_latest_round(view),
        run_again=build_flow.RUN_AGAIN,
        rerunnable={job.id for job in view.jobs if job.state in ENDED_JOB and job.attempts},
        cancellable={job.id for job in view.jobs if job.state not in ENDED_JOB} if len(view.jobs) > 1 else (),
    )


def _heading(line: Line, words: Words, forms: Forms) -> Markup:
    name = f"{line.head.repository}#{line.head.number}"
    state = line.state.value
    if not line.ended:
        if line.started_at is not None:
            return words("{name} has been running for {span}", name=name, span=forms.between(line.started_at, None))
        return words("{name} is {state}", name=name, state=words(state))
    text = {
        "passed": "{name} passed in {span}",
        "failed": "{name} failed after {span}",
        "cancelled": "{name} was cancelled after {span}",
        "allowed": "{name} passed with allowed failures in {span}",
        "skipped": "{name} was skipped",
        "neutral": "{name} was not decided",
    }[state]
    if line.seconds is None and "{span}" in text:
        text = "{name}: {state}"
    return words(text, name=name, state=words(state), span=forms.span(line.seconds))


def _latest_round(view: View) -> Attempt | None:
    """One of the attempts with which the build was run again; None when it was not."""
    tries = [each for job in view.jobs for each in job.attempts]
    began = build_flow.latest_round(tries)
    return next((each for each in tries if each.queued_at == began and each.number > 1), None)


def _annotations(view: View) -> list[tuple[Job, dict[str, Any]]]:
    """What jobs remarked about places in the source, errors first."""
    found = [
        (job, remark)
        for job in view.jobs
        if job.attempts and job.attempts[-1].id in view.notes
        for remark in view.notes[job.attempts[-1].id].annotations
    ]
    order = {"error": 0, "warning": 1}
    found.sort(key=lambda each: order.get(str(each[1].get("level")), 2))
    return found


async def _summaries(view: View) -> list[Summary]:
    """What the steps of the jobs wrote as summaries, as far as one page holds them."""
    lasts = [(job, view.notes.get(job.attempts[-1].id)) for job in view.jobs if job.attempts]
    texts = [(job, notes.summary) for job, notes in lasts if notes is not None and notes.summary]
    found, room = [], SUMMARIES_LENGTH
    for job, text in texts:
        if room <= 0:
            break
        length = min(len(text), markdown.LONGEST, room)
        html = await asyncio.to_thread(markdown.rendered, text[:length])
        found.append(Summary(job, html, length if length < len(text) else None))
        room -= length
    return found


def _since_green(view: View) -> tuple[tuple[listing.CommitLine, ...], listing.CommitLine | None]:
    """The commits from this one down to the last that passed before it, without that, and that one."""
    at = next((index for index, line in enumerate(view.recent) if line.sha == view.line.head.commit), None)
    if at is None or view.line.state not in (BuildState.FAILED, BuildState.ALLOWED):
        return (), None
    green = next((n for n in range(at + 1, len(view.recent)) if view.recent[n].state is BuildState.PASSED), None)
    return (view.recent[at:green], view.recent[green]) if green is not None else ((), None)


def _reproduce(view: View) -> str | None:
    """The command that runs the first failed job here, or the whole workflow."""
    head = view.line.head
    if not any(job.attempts for job in view.jobs):
        return None
    bad = next((job for job in view.jobs if job.state in BAD and job.attempts), None)
    return reproduce.command(head.commit, head.source, bad)


async def cancel(request: Request) -> Response:
    """Cancel a build, or one job of it."""
    person, fields = await form_of(request, Role.DEVELOPER)
    build_id = number(request, "build")
    await site_of(request).engine.cancel_build(person.actor, build_id, None, fields.get("job"))
    return back_to(fields, f"/builds/{build_id}")


async def rerun(request: Request) -> Response:
    """Run all, the failed, or one job of a build again."""
    person, fields = await form_of(request, Role.DEVELOPER)
    build_id = number(request, "build")
    await site_of(request).engine.rerun_build(person.actor, build_id, fields.get("failed") == "1", fields.get("job"))
    return back_to(fields, f"/builds/{build_id}")
