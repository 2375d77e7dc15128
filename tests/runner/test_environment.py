"""What of a machine's environment reaches its jobs."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from mainstay.engine.fleet import OWN_VARIABLES
from mainstay.runner import environment
from mainstay.runner.executors import JobPlace
from mainstay.wire.variables import passed
from tests.runner.bench import Bench

MACHINE = {
    "PATH": "/usr/bin",
    "HOME": "/home/ada",
    "PIP_INDEX_URL": "https://ada:secret@pypi.example.org/simple",
    "UV_DEFAULT_INDEX": "https://pypi.example.org/simple",
    "LC_TIME": "C",
    "MAINSTAY_RUNNER_PASS": "LICENCE",
    "LICENCE": "x",
    "AWS_SECRET_ACCESS_KEY": "no",
}


def of_job(tmp_path: Path, *, trusted: bool) -> Mapping[str, str]:
    assignment = Bench(tmp_path).assignment("true", trusted=trusted)
    place = JobPlace(tmp_path, tmp_path, tmp_path)
    machine = environment.of_machine(MACHINE)
    return environment.of_job(machine, assignment, place, tmp_path, tmp_path, tmp_path)


def test_local_runners_are_given_all_that_jobs_get() -> None:
    kept = passed(MACHINE, OWN_VARIABLES)
    assert set(kept) == set(MACHINE) - {"AWS_SECRET_ACCESS_KEY"}
    assert environment.of_machine(kept) == environment.of_machine(MACHINE)


@pytest.mark.parametrize("trusted", [True, False])
def test_credentials_reach_trusted_jobs_only(tmp_path: Path, trusted: bool) -> None:
    env = of_job(tmp_path, trusted=trusted)
    assert ("PIP_INDEX_URL" in env) == trusted
    assert env["UV_DEFAULT_INDEX"] == MACHINE["UV_DEFAULT_INDEX"]
    assert (env["LICENCE"], env["LC_TIME"]) == ("x", "C")
    assert "AWS_SECRET_ACCESS_KEY" not in env
