"""The JSON of people, tokens and the audit trail."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from mainstay.web.api.shapes import Time


class RoleShape(Struct, frozen=True):
    """A role in one repository."""

    repository: str
    role: str
    """`reader`, `developer`, `maintainer` or `admin`."""
    origin: str
    """`hand`, or `groups` of the identity provider."""


class MemberShape(Struct, frozen=True):
    """Somebody's role in the repository that was asked for."""

    person: str
    role: str
    origin: str


class PersonShape(Struct, frozen=True):
    """Somebody who can sign in."""

    name: str
    full_name: str
    email: str | None
    role: str | None
    """In all repositories; null: none."""
    group_role: str | None
    """The same, by the groups of the identity provider."""
    roles: list[RoleShape]
    signs_in_with: str
    """`openid`, `password`, or `nothing` before a password is set."""
    created_at: Time
    seen_at: Time | None


class NewPerson(Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody to be let in."""

    name: str
    full_name: str = ""
    email: str | None = None
    role: str | None = None


class InvitedPerson(PersonShape, frozen=True):
    """Somebody who was let in, and the link with which they set their password."""

    link: str
    """Good once and for 7 days; shown this once."""


class PersonChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be different; what is left out stays."""

    full_name: str | msgspec.UnsetType = msgspec.UNSET
    email: str | msgspec.UnsetType | None = msgspec.UNSET
    role: str | msgspec.UnsetType | None = msgspec.UNSET


class Link(Struct, frozen=True):
    """A link that signs somebody in once. It is shown this once."""

    link: str


class RoleAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """The role to be given."""

    role: str


class TokenShape(Struct, frozen=True):
    """A token without its text."""

    id: int
    name: str
    person: str | None
    """Whose it is; null: the server's own."""
    scope: str
    """`read`, `write` or `admin`."""
    repositories: list[str] | None
    """The only ones that it opens; null: all that its person may see."""
    created_at: Time
    expires_at: Time | None
    used_at: Time | None


class FreshToken(TokenShape, frozen=True):
    """A new token."""

    token: str
    """Its text. It is shown this once and cannot be shown again."""


class PersonalTokenAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """A token to be made."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    scope: str = "read"
    repositories: tuple[str, ...] | None = None
    days: int | None = 90
    """null: it does not end by itself."""


class AuditShape(Struct, frozen=True):
    """A command that changed something."""

    id: int
    at: Time
    actor: str
    action: str
    """`THING.VERB`."""
    subject: str
    detail: str
    token: str | None
    """The token it came with; null: a browser, or the server itself."""
    address: str | None
