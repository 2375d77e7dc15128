"""Anything may be killed at any instant: every commit still gets its one right verdict, and nothing is left over."""

import os
from pathlib import Path

import pytest

from tests import postgres
from tests.system.chaos import Chaos
from tests.system.stand import Project, Stand

pytestmark = [pytest.mark.system, pytest.mark.slow]

SECONDS = float(os.environ.get("MAINSTAY_FAULT_SECONDS", "25"))
SEED = int(os.environ.get("MAINSTAY_FAULT_SEED", "20261120"))


def _run(chaos: Chaos) -> None:
    try:
        chaos.begin(runners=2)
        chaos.go(SECONDS)
        print(chaos.judge())
    finally:
        chaos.end()


def test_no_fault_changes_a_verdict_on_the_embedded_database(tmp_path: Path) -> None:
    """One server on SQLite, two runners."""
    _run(Chaos([Stand(tmp_path)], Project(tmp_path / "repositories"), SEED, tmp_path))


@pytest.mark.postgres
def test_no_fault_changes_a_verdict_with_two_servers_on_postgresql(
    tmp_path: Path, postgres_cluster: postgres.Cluster, postgres_template: str
) -> None:
    """Two servers on one PostgreSQL, a runner at each."""
    with postgres_cluster.database(postgres_template) as url:
        blobs = ("--blobs", str(tmp_path / "blobs"))
        stands = [Stand(tmp_path / name, *blobs, database=url) for name in ("a", "b")]
        _run(Chaos(stands, Project(tmp_path / "repositories"), SEED + 1, tmp_path))
