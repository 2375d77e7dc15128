"""Secrets and variables: values that jobs are given, and the places at which they are set. The nearest place wins."""

import re
from dataclasses import dataclass
from datetime import datetime

from mainstay.model.errors import BadInput

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
MAX_ENVIRONMENT = 255
MAX_VALUE_BYTES = 64 * 1024
"""Of one secret or variable, as UTF-8."""
TOKEN = "GITHUB_TOKEN"  # noqa: S105 - a name
"""The name by which a job is given its own token; nobody can set it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is set: for all repositories, for one, or for the jobs of one that name an environment."""

    repository_id: int | None = None
    environment: str | None = None

    def __post_init__(self) -> None:
        if self.environment is not None and self.repository_id is None:
            raise ValueError("an environment belongs to a repository")

    @property
    def key(self) -> str:
        """The place in one word, the same however the environment's name is spelled; values are sealed to it."""
        if self.repository_id is None:
            return "all"
        here = f"repository {self.repository_id}"
        return here if self.environment is None else f"{here} environment {self.environment.casefold()}"

    @property
    def rank(self) -> int:
        """Nearer places have higher ranks."""
        return 0 if self.repository_id is None else 1 if self.environment is None else 2


@dataclass(frozen=True, slots=True)
class Secret:
    """What is shown of a secret. Its value is never shown again."""

    name: str
    place: Place
    updated_by: str
    updated_at: datetime
    used_at: datetime | None = None
    """When it was last given to a job, within a minute; None: never yet."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A value that everybody may see who may see the settings."""

    name: str
    place: Place
    value: str
    updated_by: str
    updated_at: datetime


def checked_name(name: str, what: str) -> str:
    """The name as it is kept: in capitals, because names are compared without regard to case. Raises BadInput.

    `what`: `secret` or `variable`.
    """
    if not NAME.fullmatch(name):
        raise BadInput(
            f"{name[:80]!r} is no name for a {what}: letters, digits and '_', at most 255, not beginning with a digit"
        )
    if name.upper().startswith("GITHUB_"):
        raise BadInput(f"{name[:80]!r} is no name for a {what}: names that begin with GITHUB_ are kept for the server")
    return name.upper()


def checked_environment(name: str | None) -> str | None:
    """The name of an environment. Raises BadInput."""
    if name is None:
        return None
    if not name.strip() or len(name) > MAX_ENVIRONMENT or not name.isprintable():
        raise BadInput(
            f"{name[:80]!r} is no name for an environment: 1 to {MAX_ENVIRONMENT} characters that can be printed"
        )
    return name.strip()


def checked_value(value: str, what: str) -> str:
    """A value that can reach a job. Raises BadInput; the message holds nothing of the value."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise BadInput(f"the value of a {what} must be text; encode other bytes, with base64 say") from None
    if size > MAX_VALUE_BYTES:
        raise BadInput(f"the value has {size:,} bytes; a {what} has at most {MAX_VALUE_BYTES:,}")
    if "\0" in value:
        raise BadInput(f"the value of a {what} cannot hold a NUL byte; encode it, with base64 say")
    return value
