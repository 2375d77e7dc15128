"""What the names in `runs-on` mean to our runners. The table below is the one place to change it.

A runner offers labels of its own (`linux`, `x64`, whatever its owner gave it). Names that GitHub gives to its own
machines are turned into those; any other name stands for itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table: the first whose pattern fits the name (in lower case) counts."""

    pattern: str
    labels: tuple[str, ...]
    """What a runner must offer in its place; empty: any runner will do."""
    elsewhere: str | None = None
    """Set for machines of another kind: why the job is neutral while no runner offers the labels."""


NO_WINDOWS = "it wants Windows, and no such runner is here"
NO_MACOS = "it wants macOS, and no such runner is here"
NO_GPU = "it wants a machine with a GPU, and no such runner is here"

TABLE: tuple[Rule, ...] = (
    Rule("ubuntu-*-arm*", ("linux", "arm64")),
    Rule("ubuntu-*-gpu*", ("linux", "gpu"), NO_GPU),
    Rule("ubuntu-*", ("linux",)),
    Rule("ubuntu", ("linux",)),
    Rule("linux", ("linux",)),
    Rule("self-hosted", ()),
    Rule("x86_64", ("x64",)),
    Rule("amd64", ("x64",)),
    Rule("aarch64", ("arm64",)),
    Rule("windows-*", ("windows",), NO_WINDOWS),
    Rule("windows", ("windows",), NO_WINDOWS),
    Rule("macos-*", ("macos",), NO_MACOS),
    Rule("macos", ("macos",), NO_MACOS),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a job asks of a runner."""

    labels: tuple[str, ...]
    """A runner must offer them all; sorted. Empty: any runner will do."""
    elsewhere: str | None = None
    """Not None: without a runner that offers them the job is neutral, for this reason; else it waits."""


def wanted(names: Iterable[str], table: Sequence[Rule] = TABLE) -> Wanted:
    """The labels for the names of one `runs-on`."""
    labels: set[str] = set()
    elsewhere = None
    for name in names:
        lowered = name.strip().lower()
        rule = next((rule for rule in table if fnmatchcase(lowered, rule.pattern)), Rule(lowered, (lowered,)))
        labels.update(rule.labels)
        elsewhere = elsewhere or rule.elsewhere
    return Wanted(tuple(sorted(labels)), elsewhere)
