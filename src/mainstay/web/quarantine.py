"""The tests in quarantine, as the newest build of the default branch has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from mainstay.engine.starts import default_ref
from mainstay.flow.quarantine import fits
from mainstay.model.plan import Quarantined
from mainstay.model.repository import Repository
from mainstay.store import plans, repositories
from mainstay.store.database import Tx
from mainstay.store.views import builds as build_views
from mainstay.store.views import tests as views
from mainstay.store.views.tests import Asked, TestLine

SHOWN = 50
"""Tests of one entry that are shown."""
SCANNED = 2000
"""Names that are looked at for a pattern."""


@dataclass(frozen=True, slots=True)
class Held:
    """An entry with the tests that it holds."""

    entry: Quarantined
    tests: tuple[TestLine, ...]

    def expired(self, today: date) -> bool:
        """Whether its last day is over."""
        return date.fromisoformat(self.entry.expires) < today

    @property
    def state(self) -> str | None:
        """`failed` while any of its tests fails; None: no such test was seen."""
        states = {test.state for test in self.tests}
        return next((word for word in ("failed", "error", "passed", "skipped") if word in states), None)


def entries_of(tx: Tx, repository: Repository) -> tuple[Quarantined, ...]:
    """The entries of the newest build of the default branch."""
    ref = default_ref(repository, repositories.reached(tx, repository.id))
    digest = None if ref is None else build_views.newest_plan(tx, repository.id, ref)
    return () if digest is None else plans.get(tx, digest).quarantine


def held(tx: Tx, repository: Repository) -> list[Held]:
    """The entries with the tests that they hold."""
    return [Held(entry, tuple(_tests(tx, repository.id, entry.test))) for entry in entries_of(tx, repository)]


def _tests(tx: Tx, repository_id: int, pattern: str) -> Sequence[TestLine]:
    if "*" not in pattern:
        found = views.by_name(tx, repository_id, pattern)
        return () if found is None else (found,)
    longest = max(pattern.split("*"), key=len)
    near, _ = views.page(tx, repository_id, Asked(search=longest), SCANNED)
    return [line for line in near if fits(pattern, line.name)][:SHOWN]
