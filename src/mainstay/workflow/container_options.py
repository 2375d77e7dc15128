"""The key `options` of a container: split as a shell would, and sorted into what is passed on and what is refused.

The list is one of what is allowed, so that an option which a new version of podman or docker brings, and which may
open the machine, is refused until somebody has looked at it.
"""

import re
import shlex
from dataclasses import dataclass, field
from typing import Final

from mainstay.model.errors import BadInput

VALUED: Final = frozenset(
    re.findall(
        r"\S+",
        """
        add-host blkio-weight cpu-period cpu-quota cpu-shares cpus cpuset-cpus cpuset-mems dns dns-option
        dns-search domainname env expose gpus health-cmd health-interval health-retries health-start-interval
        health-start-period health-timeout hostname kernel-memory label log-opt mac-address memory memory-reservation
        memory-swap memory-swappiness oom-score-adj pids-limit platform shm-size stop-signal stop-timeout sysctl
        tmpfs ulimit user workdir
        """,
    )
)
"""Options with a value that a job may give: they concern the container and nothing beside it."""
FLAGS: Final = frozenset({"init", "no-healthcheck", "read-only", "oom-kill-disable"})
OURS: Final = {
    "network": "every job has a network of its own",
    "net": "every job has a network of its own",
    "publish": "write it under ports",
    "volume": "write it under volumes",
    "mount": "write it under volumes",
    "entrypoint": "a service has a key entrypoint; a job's container does nothing by itself",
    "env-file": "write it under env",
}
"""What has another place, and which."""
DROPPED: Final = frozenset({"rm", "detach", "interactive", "tty"})
"""What makes no difference here."""
SHORT: Final = {
    "e": "env",
    "h": "hostname",
    "l": "label",
    "m": "memory",
    "u": "user",
    "w": "workdir",
    "c": "cpu-shares",
    "p": "publish",
    "v": "volume",
    "d": "detach",
    "i": "interactive",
    "t": "tty",
}
NAMES: Final = frozenset({"name", "network-alias"})
"""What a container is called: names in the job's own network, nowhere else."""
LOG_OPTIONS: Final = frozenset({"labels", "max-buffer-size", "max-file", "max-size", "mode", "tag"})
"""What may be set of logs. Not `path`: podman writes there whatever the container prints, as the runner's user."""
CAPABILITIES: Final = frozenset({"SYS_PTRACE", "SYS_NICE", "IPC_LOCK", "NET_RAW", "NET_BIND_SERVICE"})
"""Those that a debugger or a database asks for; they reach nothing outside the container."""
OPEN_FLAGS: Final = frozenset({"privileged", "publish-all"})
"""Flags that are refused, named so that the word behind one is not taken for its value where they are allowed."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was made of the key."""

    words: tuple[str, ...] = ()
    """To be given to podman or docker."""
    names: tuple[str, ...] = ()
    """What else the container is to be called in the job's network."""
    refused: tuple[str, ...] = ()
    """What may not be, each with its reason."""


@dataclass(slots=True)
class _Sorting:
    everything: bool
    words: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def take(self, name: str, value: str | None) -> None:
        """One option."""
        shown = f"--{name}"
        if name in DROPPED:
            return
        if name in OURS:
            self.refused.append(f"{shown}: {OURS[name]}")
        elif name in NAMES and value:
            self.names.append(value)
        elif name in FLAGS and value in (None, "true", "false"):
            self.words.append(shown if value is None else f"{shown}={value}")
        elif name in VALUED and value is None:
            self.refused.append(f"{shown} needs a value")
        elif name == "log-opt" and value and value.partition("=")[0] not in LOG_OPTIONS and not self.everything:
            self.refused.append(f"{shown} {value[:100]} could write to the machine; its runner does not allow it")
        elif name == "env" and value and ("=" not in value or value.startswith("=")) and not self.everything:
            self.refused.append(
                f"{shown} {value[:100]} would take the value from the runner's machine: write NAME=VALUE"
            )
        elif name in VALUED or (name == "cap-add" and _harmless(value)) or name == "cap-drop" or self.everything:
            self.words.append(shown if value is None else f"{shown}={value}")
        else:
            self.refused.append(f"{shown} could open the machine to the job; its runner does not allow it")


def read_options(text: str, *, everything: bool = False) -> Options:
    """Sort them. `everything`: the runner's owner lets jobs open the machine. Raises BadInput: an open quote."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadInput(f"the options {text[:200]!r} cannot be read: {error}") from None
    sorting = _Sorting(everything)
    while words:
        word = words.pop(0)
        if word.startswith("--") and len(word) > 2:
            name, mark, value = word[2:].partition("=")
            sorting.take(name, value if mark else _next(name, words))
        elif word.startswith("-") and len(word) > 1 and word[1] in SHORT:
            name, rest = SHORT[word[1]], word[2:]
            sorting.take(name, rest.removeprefix("=") if rest else _next(name, words))
        else:
            sorting.refused.append(f"{word[:100]!r} is no option that is known here")
    return Options(tuple(sorting.words), tuple(sorting.names), tuple(sorting.refused))


def _next(name: str, words: list[str]) -> str | None:
    """The word behind an option, when it belongs to it."""
    if name in FLAGS or name in DROPPED or name in OPEN_FLAGS or not words:
        return None
    known = name in VALUED or name in NAMES or name in OURS
    return words.pop(0) if known or not words[0].startswith("-") else None


def _harmless(value: str | None) -> bool:
    return value is not None and value.upper().removeprefix("CAP_") in CAPABILITIES
