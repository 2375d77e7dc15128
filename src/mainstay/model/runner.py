"""A runner as the server knows it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Runner:
    """A process that takes jobs; it calls the server, never the other way round."""

    id: int
    name: str
    labels: tuple[str, ...]
    capacity: int
    executor: str
    version: str
    system: str
    """What it runs on, in words; empty where it did not say."""
    first_seen_at: datetime
    last_contact_at: datetime
    running: int = 0
    """How many attempts it holds now."""
    draining: bool = False
    """It was asked to take no new work."""
    online: bool = False
    """Whether it was heard of within the lease time, and did not say that it ends."""
    left_at: datetime | None = None
    """When it said so."""
