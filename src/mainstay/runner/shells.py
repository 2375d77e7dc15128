"""Which program runs a `run` script, and with which flags: exactly GitHub's."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mainstay.model.errors import BadInput

KNOWN: dict[str, tuple[str, str]] = {
    "bash": ("bash --noprofile --norc -eo pipefail {0}", ".sh"),
    "sh": ("sh -e {0}", ".sh"),
    "python": ("python {0}", ".py"),
    "pwsh": ("pwsh -command \". '{0}'\"", ".ps1"),
}
UNSPECIFIED = ("bash -e {0}", ".sh")
"""What GitHub takes when no shell is named, which is not the same as `bash`."""
WITHOUT_BASH = ("sh -e {0}", ".sh")
INSTEAD = {"python": "python3", "python3": "python"}


@dataclass(frozen=True, slots=True)
class Script:
    """A script as it lies on disk, and how it is started."""

    path: Path
    argv: tuple[str, ...]


Find = Callable[[str], str | None]
"""Where a program is, for the step; None: nowhere."""


def write(script: str, shell: str | None, folder: Path, label: str, find: Find) -> Script:
    """Write the script down. `find` tells which programs there are. Raises BadInput, OSError."""
    template, ending = _template(shell, find)
    file = folder / f"step-{label}{ending}"
    text = script.replace("\r\n", "\n")
    file.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8", errors="surrogateescape")
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise BadInput(f"the shell {template!r} cannot be read: {error}") from None
    return Script(file, tuple(_program([word.replace("{0}", str(file)) for word in words], find)))


def _template(shell: str | None, find: Find) -> tuple[str, str]:
    if not shell or not shell.strip():
        return UNSPECIFIED if find("bash") else WITHOUT_BASH
    if shell.strip() in KNOWN:
        return KNOWN[shell.strip()]
    if "{0}" not in shell:
        known = ", ".join(KNOWN)
        raise BadInput(f"the shell {shell!r} is not known: use {known}, or a command with {{0}} where the script goes")
    return shell, ".py" if Path(shlex.split(shell)[0]).name.startswith("python") else ""


def _program(words: list[str], find: Find) -> list[str]:
    """Machines with python3 and no python are common; a script for one runs with the other."""
    other = INSTEAD.get(words[0])
    if other and not find(words[0]) and find(other):
        return [other, *words[1:]]
    return words
