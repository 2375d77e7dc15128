"""The tables, one comment each. What can be derived is not stored: states of builds and commits are folded from jobs.

A file per subject. Changing a table means a new file in `store/migrations/`.
"""

from mainstay.store.schema.base import metadata
from mainstay.store.schema.breaks import break_looks, breaks, probes
from mainstay.store.schema.builds import artifacts, attempts, builds, caches, jobs, log_pieces, plans
from mainstay.store.schema.people import audit, memberships, people, throttles, tokens
from mainstay.store.schema.reports import (
    channels,
    deliveries,
    flaky_told,
    refusals,
    reports,
    standings,
    subscriptions,
    to_judge,
)
from mainstay.store.schema.repositories import begun_moves, commits, pushes, refs, repositories, schedules
from mainstay.store.schema.runners import runners
from mainstay.store.schema.secrets import environment_jobs, secrets, variables, webhook_secrets
from mainstay.store.schema.server import events, settings
from mainstay.store.schema.tests import split_pins, test_counting, test_days, test_figures, test_results, tests

__all__ = [
    "artifacts",
    "attempts",
    "audit",
    "begun_moves",
    "break_looks",
    "breaks",
    "builds",
    "caches",
    "channels",
    "commits",
    "deliveries",
    "environment_jobs",
    "events",
    "flaky_told",
    "jobs",
    "log_pieces",
    "memberships",
    "metadata",
    "people",
    "plans",
    "probes",
    "pushes",
    "refs",
    "refusals",
    "reports",
    "repositories",
    "runners",
    "schedules",
    "secrets",
    "settings",
    "split_pins",
    "standings",
    "subscriptions",
    "test_counting",
    "test_days",
    "test_figures",
    "test_results",
    "tests",
    "throttles",
    "to_judge",
    "tokens",
    "variables",
    "webhook_secrets",
]
