"""The tables, one comment each. What can be derived is not stored: states of builds and commits are folded from jobs.

A file per subject. Changing a table means a new file in `store/migrations/`.
"""

from mainstay.store.schema.base import metadata
from mainstay.store.schema.builds import artifacts, attempts, builds, caches, jobs, log_pieces, plans
from mainstay.store.schema.people import tokens
from mainstay.store.schema.repositories import commits, pushes, refs, repositories, schedules
from mainstay.store.schema.runners import runners
from mainstay.store.schema.server import events, settings
from mainstay.store.schema.tests import test_results, tests

__all__ = [
    "artifacts",
    "attempts",
    "builds",
    "caches",
    "commits",
    "events",
    "jobs",
    "log_pieces",
    "metadata",
    "plans",
    "pushes",
    "refs",
    "repositories",
    "runners",
    "schedules",
    "settings",
    "test_results",
    "tests",
    "tokens",
]
