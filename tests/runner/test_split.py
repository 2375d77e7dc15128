"""Suites are divided by time: every test in one shard, near an even share, whatever is known."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.cli.split import _program
from mainstay.runner.folders import COLLECT

split = _program()
MEASURED = Path(__file__).with_name("measured_durations.txt")
"""Seconds of each test of a real run of this project's own suite."""


@pytest.mark.parametrize(("shards", "without"), [(2, 0), (3, 0), (5, 1), (8, 2)])
def test_measured_durations_are_spread_within_a_tenth_of_even(shards: int, without: int) -> None:
    """No division helps against a test that takes longer than an even share: of 5 and 8 shards the longest are out."""
    lines = sorted(MEASURED.read_text().split(), key=float, reverse=True)[without:]
    durations = {f"t{number}": float(line) for number, line in enumerate(lines)}
    assert len(durations) > 1000
    found = split.divided(durations, shards, durations)
    loads = [sum(durations[name] for name, shard in found.items() if shard == part) for part in range(1, shards + 1)]
    even = sum(durations.values()) / shards
    assert all(abs(load - even) <= 0.1 * even for load in loads), [round(load / even, 3) for load in loads]


@given(
    st.lists(st.text(min_size=1), max_size=50),
    st.integers(1, 7),
    st.dictionaries(st.text(min_size=1), st.floats(0, 1e6), max_size=30),
)
def test_every_test_is_in_one_shard_and_the_order_of_names_is_nothing(
    names: list[str], shards: int, durations: dict[str, float]
) -> None:
    found = split.divided(names, shards, durations)
    assert set(found) == set(names)
    assert set(found.values()) <= set(range(1, shards + 1))
    assert split.divided(reversed(names), shards, durations) == found


def test_where_nothing_is_known_names_are_spread_evenly_in_number() -> None:
    found = split.divided([f"tests/t.py::test_{number}" for number in range(4000)], 4, {})
    assert all(900 < list(found.values()).count(part) < 1100 for part in range(1, 5))


@pytest.mark.parametrize("text", ["", "0/3", "4/3", "1", "a/b", "1/2/3", "-1/3", "1/9999999"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(split.BadShard, match="1 <= I <= N"):
        split.parse(text)


def environment(folder: Path, **more: str) -> dict[str, str]:
    quick = "-p no:schemathesis -p no:hypothesispytest -p no:cacheprovider"
    known = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTEST_ADDOPTS": quick, "PYTHONPATH": str(COLLECT)}
    return {**known, "MAINSTAY_TESTS_DIR": str(folder / "reports"), **more}


def run(folder: Path, *command: str, given: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=environment(folder, **more), input=given, capture_output=True, text=True, timeout=90
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    lines = ["import pytest", "@pytest.mark.parametrize('n', range(6))", "def test_it(n): pass"]
    (tmp_path / "test_p.py").write_text("\n".join(lines))
    (tmp_path / "reports").mkdir()
    durations = {f"test_p.py::test_it[{number}]": 8.0 if number == 0 else 1.0 for number in range(6)}
    (tmp_path / "reports" / "durations.json").write_text(json.dumps(durations))
    return tmp_path


def ran(folder: Path) -> list[str]:
    lines = [line for path in (folder / "reports").glob("*.jsonl") for line in path.read_text().splitlines()]
    return sorted(found["id"] for line in lines if "id" in (found := json.loads(line)))


@pytest.mark.parametrize("how", [("-n", "2"), ()])
def test_pytest_runs_one_shard(project: Path, how: tuple[str, ...]) -> None:
    done = run(project, sys.executable, "-m", "pytest", "-q", *how, MAINSTAY_SHARD="1/2")
    assert done.returncode == 0, done.stdout
    assert ran(project) == ["test_p.py::test_it[0]"]
    run(project, sys.executable, "-m", "pytest", "-q", *how, "--mainstay-shard", "2/2")
    assert ran(project) == [f"test_p.py::test_it[{number}]" for number in range(6)]


def test_a_shard_that_is_none_is_a_usage_error(project: Path) -> None:
    done = run(project, sys.executable, "-m", "pytest", "-q", MAINSTAY_SHARD="3/2")
    assert done.returncode == 4
    assert "1 <= I <= N" in done.stderr + done.stdout


def test_the_program_divides_files_and_collections(project: Path) -> None:
    program = (sys.executable, "-m", "_mainstay_split")
    durations = {"tests/a.py::x": 5, "tests/b.py::y": 3, "tests/b.py::z": 3, "tests/c.py::w": 1}
    (project / "reports" / "durations.json").write_text(json.dumps(durations))
    files = ("tests/a.py", "tests/b.py", "tests/c.py")
    done = run(project, *program, "--shards", "2", "--index", "1", *files)
    assert done.stdout.split() == ["tests/b.py"]
    listed = "tests/a.py::x\ntests/c.py::w\n\n2 tests collected in 0.01s\n"
    done = run(project, *program, "--from-pytest-collection", given=listed, MAINSTAY_SHARD="2/2")
    assert done.stdout == "tests/c.py::w\n"
    assert run(project, *program, "tests/a.py").returncode == 2
