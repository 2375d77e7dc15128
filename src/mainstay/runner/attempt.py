"""One attempt on this runner: the job, its journal and its delivery, from the assignment to the stored end."""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from mainstay.model.states import AttemptState
from mainstay.runner import contexts
from mainstay.runner.actions.call import ActionFailed
from mainstay.runner.deliver import Delivery
from mainstay.runner.job import Ending, Job
from mainstay.runner.journal import Journal, Journals
from mainstay.runner.machine import Machine
from mainstay.runner.output import Output
from mainstay.runner.results import Gathered, gather, silent
from mainstay.runner.shelf import Shelf
from mainstay.wire.runner import Artifact, Assignment, Finish, Progress

log = logging.getLogger(__name__)


class Attempt:
    """An attempt while it runs and until it is delivered."""

    def __init__(
        self,
        assignment: Assignment,
        journals: Journals,
        machine: Machine,
        log_limit_bytes: int,
        deliver: Callable[[Journal, Callable[[], int]], Delivery],
        shelf: Callable[[Journal], Shelf],
    ) -> None:
        """Opens its journal. `deliver` and `shelf` make its delivery and its shelf. Raises OSError: a full disk."""
        self.assignment = assignment
        masks = contexts.masks(assignment)
        self.journal = journals.open(assignment, masks)
        self._machine = machine
        inside = machine.engines.container_of(assignment.plan) is not None
        pipe = machine.pipes / str(assignment.attempt) if inside else None
        self._output = Output(
            machine.capture, machine.threads, self.journal.log, log_limit_bytes, masks, self._grew, pipe
        )
        self.delivery = deliver(self.journal, lambda: self._output.ready_bytes)
        self.job = Job(assignment, machine, self._output, self._tell, self._keep, shelf(self.journal))
        self.over = asyncio.Event()
        """Set when the job has ended and its end is written down."""

    async def run(self) -> None:
        """Run the job and write down how it ended. Never raises: our own mistakes end it as broken."""
        try:
            ending = await self.job.run()
            finish = self._finish(ending, await self._gathered())
        except Exception as error:
            log.exception("attempt %d: the runner made a mistake", self.assignment.attempt)
            reason = f"the runner made a mistake: {type(error).__name__}: {error}"
            finish = self._finish(Ending(AttemptState.BROKEN, reason, started_at=self.job.started_at), Gathered())
        await self._machine.threads.run(self.journal.end, finish)
        self.over.set()
        self.delivery.grew()
        log.info("attempt %d ended: %s (%s)", self.assignment.attempt, finish.state, finish.reason or "no remark")

    async def _gathered(self) -> Gathered:
        """What its tests reported."""
        if not self.job.reported and silent(self.job.tests):
            return Gathered()
        return await self._machine.threads.run(
            gather, self.job.tests, self.journal.tests, self._output.reading.masked, self.job.reported
        )

    def _finish(self, ending: Ending, tests: Gathered) -> Finish:
        return Finish(
            state=ending.state.value,
            started_at=ending.started_at,
            finished_at=datetime.now(UTC),
            log_bytes=self._output.ready_bytes,
            exit_code=ending.exit_code,
            reason=ending.reason,
            commit=ending.commit,
            steps=ending.steps,
            outputs=ending.outputs or {},
            annotations=ending.annotations,
            summary=ending.summary,
            tests=tests.counts,
            tests_complete=tests.complete,
            log_notice=self._output.notice,
        )

    def _grew(self) -> None:
        self.delivery.grew()

    def _tell(self, job: Job) -> None:
        self.delivery.tell(Progress(0, tuple(job.steps), job.commit, job.started_at))

    async def _keep(
        self, name: str, zip_file: Callable[[Path], None], retention_days: int | None, kind: str = "artifact"
    ) -> None:
        """`actions.call.Keep`: the bundle is made in the journal, so it outlives the job's folders."""
        if self._output.reading.holds_secret(name):
            raise ActionFailed(
                "the artifact's name holds a secret, and names are shown to everybody; name it otherwise"
            )
        path = self.journal.keep_artifact(name)
        size, digest = await self._machine.threads.run(_make, zip_file, path)
        artifact = Artifact(name, size, digest, kind=kind, retention_days=retention_days)
        self.delivery.add_artifact(self.journal.kept_artifact(artifact, path))


def _make(zip_file: Callable[[Path], None], path: Path) -> tuple[int, str]:
    """Write the bundle; its size and digest."""
    zip_file(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return path.stat().st_size, f"sha256:{digest}"
