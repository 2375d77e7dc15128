"""Who may do what, and who did what."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text, UniqueConstraint, text

from mainstay.store.schema.base import metadata, owned_by
from mainstay.store.types import Id, JsonText, Moment

# Who may do what: only the hash of a token is kept. Sessions of browsers and sign-in links are tokens too. `person_id`
# empty: it belongs to the server. `repositories`: ids, the only ones it opens; empty for all. `parent_id`: the token
# that a session was opened with, which ends when that one does.
tokens = Table(
    "tokens",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("name", String(100), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("used_at", Moment),
    Column("revoked_at", Moment),
    Column("person_id", Id),
    Column("scope", String(10), nullable=False, server_default="admin"),
    Column("repositories", JsonText),
    Column("address", String(100)),
    Column("agent", String(200)),
    Column("parent_id", Id),
    Index(None, "person_id", "id"),
)

# Who can sign in. Removed ones stay for the audit trail; their name is freed. `subject` is the identity provider's
# name for the person, `role` and `group_role` hold in all repositories (given by hand, by the provider's groups).
people = Table(
    "people",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("full_name", String(200), nullable=False, server_default=""),
    Column("email", String(320)),
    Column("role", String(20)),
    Column("group_role", String(20)),
    Column("password", String(200)),
    Column("issuer", String(500)),
    Column("subject", String(255)),
    Column("created_at", Moment, nullable=False),
    Column("seen_at", Moment),
    Column("removed_at", Moment),
    Column("told_as_author", Boolean, nullable=False, server_default=text("true")),
    UniqueConstraint("issuer", "subject"),
)

# Roles in one repository. `origin`: `hand`, or `groups` for those that an identity provider's groups give.
memberships = Table(
    "memberships",
    metadata,
    Column("person_id", Id, owned_by("people"), primary_key=True),
    Column("repository_id", Id, owned_by("repositories"), primary_key=True),
    Column("origin", String(10), primary_key=True),
    Column("role", String(20), nullable=False),
    Index(None, "repository_id"),
)

# Who did what, when, from where. Written in the transaction that did it; never changed.
audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("action", String(60), nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    Column("repository_id", Id),
    Column("person_id", Id),
    Column("actor", Text, nullable=False),
    Column("token", Text),
    Column("address", String(100)),
    Index(None, "repository_id", "id"),
    Index(None, "person_id", "id"),
    Index(None, "action", "id"),
)

# Failed sign-ins, by what they have in common (an address, a name): how many, and until when the next one waits.
throttles = Table(
    "throttles",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", Moment, nullable=False),
)
