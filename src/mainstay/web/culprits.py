"""What is said of branches that went red: each break with the commit that did it."""

from collections.abc import Sequence
from dataclasses import dataclass

from mainstay.model.breakage import Break
from mainstay.model.repository import Commit
from mainstay.store import breaks, repositories
from mainstay.store.database import Tx

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Told:
    """A break, and the culprit's commit once it is known."""

    found: Break
    commit: Commit | None


def of_branch(tx: Tx, repository_id: int, ref: str | None) -> list[Told]:
    """What is broken on a branch now."""
    return [] if ref is None else _told(tx, repository_id, breaks.open_of(tx, repository_id, ref))


def of_build(tx: Tx, repository_id: int, ref: str, commit: str, build_id: int) -> list[Told]:
    """What a build's page says."""
    return _told(tx, repository_id, breaks.of_build(tx, repository_id, ref, commit, build_id))


def of_test(tx: Tx, repository_id: int, name: str) -> list[Told]:
    """What is broken now and shown by this test."""
    found = [each for each in breaks.open_of(tx, repository_id) if name in each.tests]
    return _told(tx, repository_id, found)


def _told(tx: Tx, repository_id: int, found: Sequence[Break]) -> list[Told]:
    chosen = found[:SHOWN]
    known = repositories.known_commits(tx, repository_id, [each.culprit for each in chosen if each.culprit])
    return [Told(each, known.get(each.culprit or "")) for each in chosen]
