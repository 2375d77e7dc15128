"""The command with which a person runs here what a build ran: shown on its page and told in reports. Pure."""

import shlex
from collections.abc import Iterable

from mainstay.model.job import Job


def command(commit: str, source: str, job: Job | None) -> str:
    """A line for a shell that runs one job of a commit, or with None its whole workflow.

    `source`: the workflow's file, or what says that the workflow was detected. All words come from outside: quoted.
    """
    workflow = () if source.startswith("detected") else ("--workflow", source)
    only = () if job is None else ("--job", job.key, *_leg(job))
    return f"git checkout {commit[:12]} && {shlex.join(['mainstay', 'run', *workflow, *only])}"


def within(limit: int, commit: str, source: str, job: Job) -> str | None:
    """The command of at most that many printable characters: of the job, else of its whole workflow.

    None where neither fits: a part of a command is another command.
    """
    lines = (command(commit, source, wanted) for wanted in (job, None))
    return next((line for line in lines if len(line) <= limit and line.isprintable()), None)


def _leg(job: Job) -> Iterable[str]:
    """What picks the job among those of its matrix; values that are lists or mappings pick none."""
    for key, value in job.matrix.items():
        if isinstance(value, str | int):
            yield from ("--matrix", f"{key}={value}")
