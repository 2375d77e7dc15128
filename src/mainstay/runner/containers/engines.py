"""The container engine of one runner: looked for once, when it is first asked for, beside everything else."""

import asyncio
from dataclasses import dataclass, field

from mainstay.model.plan import PlannedJob, Service
from mainstay.runner.containers import detect
from mainstay.runner.containers.detect import Found
from mainstay.runner.threads import Threads


@dataclass(slots=True)
class Engines:
    """What the runner offers to jobs that want containers."""

    threads: Threads
    wanted: str | None = None
    """`podman`, `docker`, `none`, or None: the first that works."""
    image: str | None = None
    """Every job runs in a container, one without its own in this one; None: only those that ask for one do."""
    everything: bool = False
    """Jobs may open the machine: privileged containers, any folder."""
    _looking: "asyncio.Task[Found] | None" = field(default=None, repr=False)

    async def get(self) -> Found:
        """The engine that works here, or why none does. Raises BadInput for an unknown name."""
        if self._looking is None:
            self._looking = asyncio.ensure_future(self.threads.run(detect.find, self.wanted))
        return await asyncio.shield(self._looking)

    def container_of(self, plan: PlannedJob) -> Service | None:
        """The container that a job's steps are to run in; None: none."""
        if plan.container is None and self.image is not None:
            return Service(self.image)
        return plan.container

    def concerns(self, plan: PlannedJob) -> bool:
        """Whether a job has anything to do with containers."""
        return self.image is not None or plan.container is not None or bool(plan.services)
