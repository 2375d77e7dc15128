"""People, their roles, and who it is that gives a command."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

from mainstay.model.errors import BadInput


class Role(IntEnum):
    """What somebody may do in a repository, or in all; each may do what those before it may."""

    READER = 1
    """See it: builds, logs, artifacts, tests, source."""
    DEVELOPER = 2
    """Run again, cancel, start by hand, look at the remote now, push to it where it lives here."""
    MAINTAINER = 3
    """Settings, deploy key, secrets, variables, webhooks."""
    ADMIN = 4
    """Roles in it, removing it; in all repositories also: people, runners, tokens of others, the server."""

    @property
    def word(self) -> str:
        """As it is written: in commands, settings, the API and the database."""
        return self.name.lower()


def role_named(word: str) -> Role:
    """The role that a word names. Raises BadInput."""
    found = next((role for role in Role if role.word == word), None)
    if found is None:
        raise BadInput(f"a role is one of {', '.join(role.word for role in Role)}, not {word[:40]!r}")
    return found


class Scope(StrEnum):
    """How much of its person's rights a token carries."""

    READ = "read"
    """See; nothing is changed with it."""
    WRITE = "write"
    """What readers, developers and maintainers of a repository may."""
    ADMIN = "admin"
    """All that its person may."""


@dataclass(frozen=True, slots=True)
class Grants:
    """The roles that somebody has."""

    everywhere: Role | None = None
    """In all repositories and for the server."""
    of: Mapping[int, Role] = field(default_factory=dict)
    """Repository id to the role there."""
    public: frozenset[int] = frozenset()
    """Repositories that everybody may read."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who gives a command, from where: what the story and the audit trail tell of it."""

    name: str
    person_id: int | None = None
    """None: Mainstay itself, or a token that belongs to the server and not to a person."""
    token: str | None = None
    """The name of the token it came with; None: a browser's session."""
    address: str | None = None
    """The network address it came from, as far as the server saw it."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can sign in."""

    id: int
    name: str
    """What they sign in with: 1 to 64 letters, digits, `.`, `_`, `-`, `@`, `+`."""
    full_name: str
    email: str | None
    role: Role | None
    """In all repositories, as somebody has given it."""
    group_role: Role | None
    """The same, as the groups of the identity provider gave it."""
    issuer: str | None
    """The identity provider that knows this person; None: only a password does."""
    has_password: bool
    created_at: datetime
    seen_at: datetime | None
    told_as_author: bool = True
    """Whether mail tells them that commits of theirs broke a branch, without their having asked for it."""

    @property
    def everywhere(self) -> Role | None:
        """The role in all repositories, wherever it comes from."""
        return max((role for role in (self.role, self.group_role) if role is not None), default=None)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as lists show it; its text is kept nowhere."""

    id: int
    kind: str
    """`api`, `session`, `signin`, `device` or `runner`."""
    name: str
    person_id: int | None
    scope: Scope
    repositories: tuple[int, ...] | None
    """The only ones that it opens; None: all that its person may see."""
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    """When it was last used, to within some minutes."""
    address: str | None
    """Where a session was opened from."""
    agent: str | None
    """What a session's browser called itself."""
