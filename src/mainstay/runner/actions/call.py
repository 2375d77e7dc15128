"""What a built-in replacement of an action is given, and how it fails."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from mainstay.model.errors import MainstayError
from mainstay.model.job import Annotation
from mainstay.runner.executors import JobPlace
from mainstay.runner.machine import Machine
from mainstay.runner.shelf import Shelf
from mainstay.runner.situation import Situation
from mainstay.wire.runner import Assignment

T = TypeVar("T")


class ActionFailed(MainstayError):
    """The action could not do what it was asked for: the step fails with this message."""

    code = "action-failed"


class NotHere(ActionFailed):
    """The machine does not have what the action is to set up. That says nothing about the code: the job is neutral."""

    code = "not-here"


class Programs(Protocol):
    """How an action runs programs: as processes of its job, with all that holds for those."""

    async def run(self, argv: Sequence[str], env: Mapping[str, str] = {}, cwd: Path | None = None) -> int:
        """The exit code; what the program prints goes into the log."""

    async def read(self, argv: Sequence[str], env: Mapping[str, str] = {}, cwd: Path | None = None) -> tuple[int, str]:
        """The exit code and what the program printed, 1 MiB at most; nothing goes into the log."""

    def find(self, name: str) -> str | None:
        """Where the next step would find a program; None: nowhere."""

    async def pythons(self) -> list[str]:
        """Programs that look like interpreters of Python, wherever the job can reach them."""


class Keep(Protocol):
    """How an action keeps a bundle of files as an artifact of its attempt."""

    async def __call__(
        self, name: str, zip_file: Callable[[Path], None], retention_days: int | None, kind: str = "artifact"
    ) -> None:
        """`zip_file` writes the bundle to the path it is given (in a thread). Raises OSError."""


@dataclass(slots=True)
class Call:
    """One use of an action by a step."""

    name: str
    """As written: `actions/checkout@v4`."""
    inputs: Mapping[str, str]
    """The key `with`, evaluated; names in lower case."""
    env: Mapping[str, str]
    """The step's own `env`, evaluated."""
    assignment: Assignment
    machine: Machine
    place: JobPlace
    situation: Situation
    temp: Path
    """RUNNER_TEMP."""
    scratch: Path
    """A folder of the job that its steps cannot write to where they run in a sandbox."""
    programs: Programs
    say: Callable[[str], Awaitable[None]]
    """Puts a line into the log."""
    hide: Callable[[str], str | None]
    """Masks a value from here on; returns why not, if so."""
    keep: Keep
    shelf: Shelf
    stopping: asyncio.Event
    """Set once the job is to end early."""
    after: Callable[["Afterwards"], None]
    """Has something done when all steps of the job have run, the last one first."""
    outputs: dict[str, str] = field(default_factory=dict)
    untold: list[str] = field(default_factory=list)
    """Warnings that are not in the log yet."""
    late: bool = field(init=False)
    """Whether the step runs although the job is to stop (`if: always()`): then only its time is limited."""

    def __post_init__(self) -> None:
        self.late = self.situation.stop is not None

    def input(self, name: str, default: str = "") -> str:
        """An input's value; empty ones count as left out."""
        return self.inputs.get(name, "").strip() or default

    def flag(self, name: str, *, default: bool) -> bool:
        """An input that is true or false. Raises ActionFailed for anything else, as GitHub's toolkit does."""
        value = self.input(name)
        if not value:
            return default
        if value in ("true", "True", "TRUE"):
            return True
        if value in ("false", "False", "FALSE"):
            return False
        raise ActionFailed(f"the input {name} must be true or false, not {value!r}")

    async def reach(self, work: Awaitable[T]) -> T:
        """What may take long without any process of the job; called off when the job is to stop meanwhile.

        Raises ActionFailed then, and what `work` raises.
        """
        task = asyncio.ensure_future(work)
        if self.late:
            return await task
        stopped = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise ActionFailed("it was called off, because the job is to stop")
        finally:
            stopped.cancel()
            task.cancel()

    def go_on(self) -> None:
        """For work in threads, now and then. Raises ActionFailed when the job is to stop."""
        if self.situation.stop is not None and not self.late:
            raise ActionFailed("it was called off, because the job is to stop")

    def warn(self, message: str) -> None:
        """A warning on the build's page, and in the log once `tell` is awaited."""
        self.situation.remark(Annotation("warning", message, title=self.name))
        self.untold.append(message)

    async def tell(self) -> None:
        """Put warnings into the log: that is all one sees of them with `mainstay run`, and in the terminal."""
        while self.untold:
            await self.say(f"Warning: {self.untold.pop(0)}")


Afterwards = Callable[[bool], Awaitable[None]]
"""What an action does at the end of its job; it is told whether all has gone well so far. Must not raise."""
Action = Callable[[Call], Awaitable[None]]
"""A replacement: does what the action would, sets `call.outputs`; raises ActionFailed."""
