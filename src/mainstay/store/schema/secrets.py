"""What jobs are given beside their source: secrets and variables by the place where they are set, and environments."""

from sqlalchemy import Column, Index, LargeBinary, String, Table, Text

from mainstay.store.schema.base import metadata, owned_by
from mainstay.store.types import Id, Moment

# `place`: `all`, `repository ID` or `repository ID environment NAME` (in small letters). `sealed` opens only for its
# place and name.
secrets = Table(
    "secrets",
    metadata,
    Column("place", String(300), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("repository_id", Id, owned_by("repositories")),
    Column("environment", String(255)),
    Column("sealed", LargeBinary, nullable=False),
    Column("updated_by", Text, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("used_at", Moment),
    Index(None, "repository_id"),
)

# The same for values that are no secrets.
variables = Table(
    "variables",
    metadata,
    Column("place", String(300), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("repository_id", Id, owned_by("repositories")),
    Column("environment", String(255)),
    Column("value", Text, nullable=False),
    Column("updated_by", Text, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Index(None, "repository_id"),
)

# Which jobs were started for an environment, by its name as the workflow gave it.
environment_jobs = Table(
    "environment_jobs",
    metadata,
    Column("job_id", Id, owned_by("jobs"), primary_key=True),
    Column("repository_id", Id, owned_by("repositories"), nullable=False),
    Column("environment", String(255), nullable=False),
    Index(None, "repository_id", "environment", "job_id"),
)

# The secret that signs a repository's incoming webhooks, sealed.
webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("repository_id", Id, owned_by("repositories"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("made_at", Moment, nullable=False),
)
