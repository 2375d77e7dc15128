"""What the names in `runs-on` mean to our runners: a table of rules. `TABLE` counts where nobody set another one.

A runner offers labels of its own (`linux`, `x64`, whatever its owner gave it). Names that GitHub gives to its own
machines are turned into those; any other name stands for itself.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mainstay.model.errors import BadInput

MAX_RULES = 200
MAX_LABELS = 16
"""Of one rule."""
MAX_REASON = 200
PATTERN = re.compile(r"[^\s,\[\]\x00-\x1f\x7f]{1,100}")
LABEL = re.compile(r"[a-z0-9][a-z0-9._:+-]{0,62}")
"""What a runner may offer (`engine.enrol`), in lower case as every name is compared."""


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


def checked(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """A table that somebody wrote, in lower case. Raises BadInput for what can mean nothing."""
    table = tuple(_checked(rule) for rule in rules)
    if len(table) > MAX_RULES:
        raise BadInput(f"the table of labels has {len(table)} rules; at most {MAX_RULES} are kept")
    seen: set[str] = set()
    for rule in table:
        if rule.pattern in seen:
            raise BadInput(f"{rule.pattern!r} stands twice in the table of labels; only the first would ever count")
        seen.add(rule.pattern)
    return table


def _checked(rule: Rule) -> Rule:
    pattern = rule.pattern.strip().lower()
    if not PATTERN.fullmatch(pattern):
        raise BadInput(
            f"{rule.pattern[:120]!r} is no pattern of a name in runs-on: 1 to 100 signs without spaces, commas and "
            "brackets; * stands for any signs, ? for one"
        )
    labels = tuple(dict.fromkeys(label.strip().lower() for label in rule.labels))
    bad = next((label for label in labels if not LABEL.fullmatch(label)), None)
    if bad is not None:
        raise BadInput(f"{bad[:80]!r} is no label of a runner: letters, digits and . _ : + -, at most 63")
    if len(labels) > MAX_LABELS:
        raise BadInput(f"{pattern} has {len(labels)} labels; at most {MAX_LABELS} are kept")
    reason = rule.elsewhere.strip() if rule.elsewhere is not None else None
    if reason is not None and (not reason.isprintable() or not 1 <= len(reason) <= MAX_REASON):
        raise BadInput(f"why jobs of {pattern} are neutral is said in one line of 1 to {MAX_REASON} signs")
    if reason is not None and not labels:
        raise BadInput(f"jobs of {pattern} cannot be neutral for want of a runner: the rule asks for no label")
    return Rule(pattern, labels, reason)
