"""What a step says to the runner: workflow commands in its output, and the environment files it wrote."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mainstay.model.errors import BadInput
from mainstay.model.job import Annotation


@dataclass(frozen=True, slots=True)
class Annotate:
    """`::error ...::`, `::warning`, `::notice`."""

    annotation: Annotation


@dataclass(frozen=True, slots=True)
class Debug:
    message: str


@dataclass(frozen=True, slots=True)
class Group:
    title: str


@dataclass(frozen=True, slots=True)
class EndGroup:
    pass


@dataclass(frozen=True, slots=True)
class AddMask:
    value: str


@dataclass(frozen=True, slots=True)
class SetOutput:
    """`::set-output name=N::V`: deprecated, still obeyed; tell the user once with `DEPRECATED[...]`."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class SaveState:
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Echo:
    on: bool


@dataclass(frozen=True, slots=True)
class StopCommands:
    """Until `::TOKEN::`, lines are only text."""

    token: str


@dataclass(frozen=True, slots=True)
class ResumeCommands:
    pass


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that is known and not obeyed (`set-env`, `add-path`, a bad `stop-commands`), or one with bad properties."""

    name: str
    message: str


Command = (
    Annotate | Debug | Group | EndGroup | AddMask | SetOutput | SaveState | Echo | StopCommands | ResumeCommands | Refused
)


class CommandReader:
    """Reads the lines of one step's output; knows whether commands are stopped."""

    def read(self, line: bytes) -> Command | None:
        """The command in one line (with or without its line end), or None: only text."""
        raise NotImplementedError


class CommandFileError(BadInput):
    """An environment file that cannot be read; GitHub fails the step. The message names the file and line."""

    code = "bad-command-file"


@dataclass(frozen=True, slots=True)
class EnvironmentFile:
    values: Mapping[str, str] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    """One sentence for each name that may not be set; shown as errors of the step, the others hold."""


def read_pairs(content: bytes, file: str) -> dict[str, str]:
    """GITHUB_OUTPUT and GITHUB_STATE: `name=value` and `name<<DELIMITER` forms. `file` is for the error: "GITHUB_OUTPUT"."""
    raise NotImplementedError


def read_environment(content: bytes) -> EnvironmentFile:
    """GITHUB_ENV: pairs, without the names that may not be set."""
    raise NotImplementedError


def read_paths(content: bytes) -> tuple[str, ...]:
    """GITHUB_PATH: one folder a line, in the order written; each later one goes further in front of PATH."""
    raise NotImplementedError


def read_summary(content: bytes) -> str:
    """GITHUB_STEP_SUMMARY: the Markdown, invalid bytes replaced. Over 1 MiB: CommandFileError, nothing of it is kept, as on GitHub."""
    raise NotImplementedError
