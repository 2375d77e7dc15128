"""`mainstay run`: workflows on the folder as it is, with the runner's own parts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Ran

Run = Callable[..., Ran]
pytestmark = pytest.mark.system

WORKFLOW = """\
on: push
jobs:
  one:
    runs-on: ubuntu-latest
    outputs: {v: "${{ steps.a.outputs.v }}"}
    steps:
      - id: a
        run: echo "v=$(cat value)" >> "$GITHUB_OUTPUT"
  two:
    needs: one
    runs-on: ubuntu-latest
    strategy: {matrix: {x: [1, 2]}}
    steps:
      - run: printf 'got %s %s' "${{ needs.one.outputs.v }}" "${{ matrix.x }}"
      - run: test "${{ needs.one.outputs.v }}" = 42
  away:
    runs-on: windows-latest
    steps: [{run: echo never}]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".github" / "workflows").mkdir(parents=True)
    (folder / ".github" / "workflows" / "ci.yml").write_text(WORKFLOW)
    (folder / "value").write_text("42\n")
    return folder


def committed(folder: Path) -> None:
    person = ("-c", "user.name=A", "-c", "user.email=a@b")
    for words in (("init", "--quiet"), ("add", "."), (*person, "commit", "--quiet", "-m", "x")):
        subprocess.run(["git", "-C", folder, *words], check=True)


def test_jobs_run_with_their_needs_outputs_and_matrix(mainstay: Run, project: Path) -> None:
    ran = mainstay("run", str(project), "--executor", "process", "--json")
    result = ran.json["items"][0]
    assert [(job["name"], job["state"]) for job in result["jobs"]] == [
        ("one", "passed"),
        ("two (1)", "passed"),
        ("two (2)", "passed"),
        ("away", "neutral"),
    ]
    assert ran.code == 0
    assert "got 42 2\n" in ran.err


def test_uncommitted_changes_are_tested_and_nothing_is_written_into_the_folder(mainstay: Run, project: Path) -> None:
    committed(project)
    (project / "value").write_text("43\n")
    before = sorted(path.relative_to(project) for path in project.rglob("*"))
    ran = mainstay("run", str(project), "--executor", "process", "--job", "two", "--parallel", "1")
    assert ran.code == 1
    assert "(with uncommitted changes)" in ran.out
    assert "✗ failed  two (1)" in ran.out
    assert "away" not in ran.out
    assert sorted(path.relative_to(project) for path in project.rglob("*")) == before


def test_a_shallow_clone_is_run_with_the_history_that_it_has(mainstay: Run, project: Path, tmp_path: Path) -> None:
    script = "git log --format=%s && git describe --always"
    text = f"on: push\njobs:\n  a:\n    runs-on: linux\n    steps:\n      - run: {script}\n"
    (project / ".github" / "workflows" / "ci.yml").write_text(text)
    committed(project)
    (project / "value").write_text("43\n")
    subprocess.run(
        ["git", "-C", project, "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qam", "y"], check=True
    )
    subprocess.run(["git", "clone", "-q", "--depth", "1", project.as_uri(), tmp_path / "clone"], check=True)
    ran = mainstay("run", str(tmp_path / "clone"), "--executor", "process")
    assert ran.code == 0, ran.out
    assert "\ny\n" in ran.out
    assert "\nx\n" not in ran.out


def test_a_dry_run_does_not_call_a_job_skipped_that_may_run(mainstay: Run, tmp_path: Path) -> None:
    (tmp_path / ".mainstay").mkdir()
    (tmp_path / ".mainstay" / "ci.yml").write_text(
        "on: push\njobs:\n"
        "  look: {runs-on: linux, outputs: {changed: '${{ steps.a.outputs.a }}'}, run: echo}\n"
        "  open: {needs: look, if: needs.look.outputs.changed == 'true', runs-on: linux, run: echo}\n"
        "  shut: {needs: look, if: needs.look.result == 'failure', runs-on: linux, run: echo}\n"
    )
    items = mainstay("run", str(tmp_path), "--dry-run", "--json").json["items"]
    told = {job["key"]: job["later"] or job["legs"][0]["skipped"] for job in items[0]["jobs"]}
    assert told["open"] == "whether it runs is known when look has ended"
    assert told["shut"].startswith("its condition is false")


def test_a_leg_of_a_call_is_chosen_by_the_callers_matrix(mainstay: Run, tmp_path: Path) -> None:
    (tmp_path / ".mainstay").mkdir()
    (tmp_path / ".mainstay" / "called.yml").write_text(
        "on: {workflow_call: {inputs: {python: {type: string}}}}\njobs: {run: {runs-on: linux, run: echo}}\n"
    )
    (tmp_path / ".mainstay" / "ci.yml").write_text(
        "on: push\njobs:\n"
        "  test: {strategy: {matrix: {python: ['3.12', '3.13']}}, uses: ./.mainstay/called.yml,"
        " with: {python: '${{ matrix.python }}'}}\n"
        "  other: {runs-on: linux, run: echo}\n"
    )
    words = ("run", str(tmp_path), "--workflow", "ci.yml", "--dry-run")
    ran = mainstay(*words, "--json", "--matrix", "python=3.13")
    assert [job["key"] for job in ran.json["items"][0]["jobs"]] == ["test (3.13) / run", "other"]
    named = mainstay(*words, "--json", "--job", "test")
    assert [job["key"] for job in named.json["items"][0]["jobs"]] == ["test (3.12) / run", "test (3.13) / run"]
    assert "python is one of 3.12, 3.13" in mainstay(*words, "--matrix", "python=3.9").err
    assert "no leg of 'test' has python=3.9" in mainstay(*words, "--job", "test", "--matrix", "python=3.9").err


def test_a_leg_is_chosen_by_a_part_of_a_listed_value(mainstay: Run, tmp_path: Path) -> None:
    (tmp_path / ".mainstay").mkdir()
    (tmp_path / ".mainstay" / "ci.yml").write_text(
        "on: push\njobs:\n"
        "  a: {strategy: {matrix: {python: [['3.12', '312'], ['3.13', '313']]}}, runs-on: linux, run: echo}\n"
    )
    for written in ("3.13", '["3.13", "313"]'):
        ran = mainstay("run", str(tmp_path), "--dry-run", "--json", "--matrix", f"python={written}")
        assert [leg["matrix"] for leg in ran.json["items"][0]["jobs"][0]["legs"]] == [{"python": ["3.13", "313"]}]
    refused = mainstay("run", str(tmp_path), "--dry-run", "--matrix", "python=3.9")
    assert 'python is one of ["3.12", "312"], ["3.13", "313"]' in refused.err


def test_a_dry_run_says_what_would_run_and_runs_nothing(mainstay: Run, project: Path, tmp_path: Path) -> None:
    ran = mainstay("run", str(project), "--dry-run", "--json")
    found = ran.json["items"][0]
    assert (found["workflow"], found["event"]) == ("ci", "push")
    assert [job["key"] for job in found["jobs"]] == ["one", "two", "away"]
    assert [leg["name"] for leg in found["jobs"][1]["legs"]] == ["two (1)", "two (2)"]
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--job", "nope"), 5, "there are one, two, away"),
        (("--workflow", "nope"), 5, ".github/workflows/ci.yml"),
        (("--event", "pull_request"), 5, "nothing is started by pull_request"),
        (("--event", "nope"), 2, "nope"),
        (("--matrix", "x=3"), 5, "x is one of 1, 2"),
        (("--matrix", "y=3"), 5, "there are x"),
        (("--matrix", "x"), 2, "KEY=VALUE"),
        (("--input", "a=b"), 5, "no workflow_dispatch"),
        (("--event-file", "nowhere.json"), 2, "nowhere.json cannot be read"),
        (("--secret", "NOT_THERE_AT_ALL"), 2, "the environment has no NOT_THERE_AT_ALL"),
    ],
)
def test_what_is_not_there_is_named(
    mainstay: Run, project: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    ran = mainstay("run", str(project), *arguments)
    assert ran.code == code
    assert words in ran.err


def test_a_broken_workflow_is_bad_input_with_its_place(mainstay: Run, project: Path) -> None:
    (project / ".github" / "workflows" / "ci.yml").write_text("on: push\njobs:\n  a:\n    steps: 5\n")
    ran = mainstay("run", str(project))
    assert ran.code == 2
    assert ".github/workflows/ci.yml:4" in ran.err


def test_ctrl_c_ends_the_running_job_with_all_its_processes(project: Path, tmp_path: Path) -> None:
    marker = f"61.{os.getpid()}"
    text = f"on: push\njobs:\n  a:\n    runs-on: linux\n    steps: [{{run: echo begun; sleep {marker}}}]\n"
    (project / ".github" / "workflows" / "ci.yml").write_text(text)
    command = [sys.executable, "-m", "mainstay.cli.main", "run", str(project), "--executor", "process"]
    env = {**os.environ, "MAINSTAY_DATA": str(tmp_path / "data")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, start_new_session=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line == "begun\n":
            break
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "■ cancelled  a  stopped by Ctrl-C" in rest
    deadline = time.monotonic() + 60
    while sleepers(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sleepers(marker) == []


def sleepers(marker: str) -> list[str]:
    """Processes that sleep for as long as only ours do."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:1] == [b"sleep"] and marker.encode() in words:
            found.append(file.parent.name)
    return found


ARTIFACTS = """\
on: push
jobs:
  make:
    runs-on: ubuntu-latest
    steps:
      - run: echo built > it
      - uses: actions/upload-artifact@v4
        with: {name: dist, path: it}
  take:
    needs: make
    runs-on: ubuntu-latest
    steps:
      - uses: actions/cache@v4
        with: {path: out, key: k}
      - uses: actions/download-artifact@v4
        with: {name: dist, path: out}
      - run: test "$(cat out/it)" = built
  contained:
    runs-on: ubuntu-latest
    container: python:3
    steps: [{run: echo never}]
"""


MEASURED = """\
on: push
jobs:
  measure:
    runs-on: ubuntu-latest
    steps:
      - shell: python
        run: |
          import sqlite3
          db = sqlite3.connect(".coverage.one")
          db.execute("create table file (id integer primary key, path text unique)")
          tree = "/data/trees/5/9/work"  # of a job that ran before
          db.execute("insert into file values (1, ? || '/src/a.py'), (2, '/usr/lib/b.py')", [tree])
          db.commit()
      - uses: actions/upload-artifact@v4
        with: {name: measured, path: .coverage.*, include-hidden-files: true}
  combine:
    needs: measure
    runs-on: ubuntu-latest
    steps:
      - uses: actions/download-artifact@v4
        with: {pattern: measured*, merge-multiple: true}
      - shell: python
        run: |
          import os, sqlite3
          paths = [path for path, in sqlite3.connect(".coverage.one").execute("select path from file order by id")]
          assert paths == [os.environ["GITHUB_WORKSPACE"] + "/src/a.py", "/usr/lib/b.py"], paths
"""


def test_coverage_that_another_job_measured_is_of_the_files_here(mainstay: Run, project: Path) -> None:
    (project / ".github" / "workflows" / "ci.yml").write_text(MEASURED)
    ran = mainstay("run", str(project), "--executor", "process")
    assert ran.code == 0, ran.out


def test_artifacts_are_passed_from_job_to_job_without_a_server(mainstay: Run, project: Path) -> None:
    (project / ".github" / "workflows" / "ci.yml").write_text(ARTIFACTS)
    jobs = mainstay("run", str(project), "--executor", "process", "--engine", "none", "--json").json["items"][0]["jobs"]
    assert {job["name"]: job["state"] for job in jobs} == {"make": "passed", "take": "passed", "contained": "neutral"}


def test_the_command_of_a_builds_page_runs_that_leg_with_what_it_needs(mainstay: Run, project: Path) -> None:
    words = ("--workflow", ".github/workflows/ci.yml", "--job", "two", "--matrix", "x=2")
    ran = mainstay("run", str(project), *words, "--executor", "process", "--json")
    assert [job["name"] for job in ran.json["items"][0]["jobs"]] == ["one", "two (2)"]
    alone = mainstay("run", str(project), *words, "--no-needs", "--executor", "process", "--json")
    jobs = alone.json["items"][0]["jobs"]
    assert [(job["name"], job["state"], job["matrix"]) for job in jobs] == [("two (2)", "failed", {"x": 2})]


TOGETHER = """\
on: push
jobs:
  each:
    runs-on: ubuntu-latest
    strategy: {fail-fast: false, matrix: {n: [1, 2, 3]}}
    steps:
      - run: |
          touch "$FOLDER/${{ matrix.n }}"
          for i in $(seq 600); do [ -e "$FOLDER/1" ] && [ -e "$FOLDER/2" ] && break; sleep 0.05; done
          for i in 1 2 3; do echo "${{ matrix.n }}: line $i"; sleep 0.01; done
  quick:
    needs: each
    runs-on: ubuntu-latest
    strategy: {max-parallel: 1, matrix: {n: [a, b]}}
    steps:
      - run: echo "quick ${{ matrix.n }}"; exit 1
  last:
    needs: quick
    if: failure()
    runs-on: ubuntu-latest
    steps: [{run: echo last}]
"""


def test_jobs_run_beside_each_other_and_what_they_print_stays_apart(
    mainstay: Run, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    text = TOGETHER.replace("$FOLDER", str(tmp_path / "there"))
    (project / ".github" / "workflows" / "ci.yml").write_text(text)
    ran = mainstay("run", str(project), "--executor", "process", "--parallel", "2")
    assert ran.code == 1
    for n in (1, 2, 3):
        assert f"{n}: line 1\n{n}: line 2\n{n}: line 3\n" in ran.out
    # One at a time, and the failure of the first calls the second off.
    assert "quick a\n" in ran.out
    assert "quick b\n" not in ran.out
    assert "■ cancelled  quick (b)  quick (a) failed (fail-fast)" in ran.out
    assert "✓ passed  last" in ran.out
    logs = sorted(path.name for path in (tmp_path / "data" / "run" / "repositories").glob("*/logs/*"))
    assert [name[4:] for name in logs] == ["each-1.log", "each-2.log", "each-3.log", "quick-a.log", "last.log"]


ASKING = """\
on:
  workflow_dispatch:
    inputs:
      level: {type: choice, options: [low, high], default: low}
      loud: {type: boolean, default: false}
  pull_request:
jobs:
  tell:
    runs-on: ubuntu-latest
    steps:
      - run: echo "${{ github.event_name }} ${{ inputs.level }} ${{ inputs.loud == true }} ${{ vars.COLOUR }}"
      - run: echo "base ${{ github.base_ref }} label ${{ github.event.label.name }} ${{ github.event.number }}"
      - run: test "$TOKEN" = hush-hush && echo "token $TOKEN"
        env: {TOKEN: "${{ secrets.TOKEN }}"}
      - uses: actions/cache@v4
        id: cache
        with: {path: kept, key: k-1}
      - run: echo "hit ${{ steps.cache.outputs.cache-hit }}"; mkdir -p kept; date > kept/it
"""


def test_inputs_variables_secrets_payload_and_caches(mainstay: Run, project: Path, tmp_path: Path) -> None:
    (project / ".github" / "workflows" / "ci.yml").write_text(ASKING)
    (tmp_path / "event.json").write_text('{"label": {"name": "ready"}, "number": 7}')
    said = ("--secret", "TOKEN=hush-hush", "--var", "COLOUR=teal", "--executor", "process")
    by_hand = mainstay("run", str(project), "--input", "level=high", "--input", "loud=true", *said)
    assert by_hand.code == 0, by_hand.out
    assert "workflow_dispatch high true teal\n" in by_hand.out
    assert "token ***\n" in by_hand.out
    assert "hit \n" in by_hand.out or "hit false\n" in by_hand.out
    changed = mainstay("run", str(project), "--event-file", str(tmp_path / "event.json"), *said)
    assert "pull_request  false teal\n" in changed.out
    assert "base main label ready 7\n" in changed.out
    assert "hit true\n" in changed.out
    wrong = mainstay("run", str(project), "--input", "level=middle", "--input", "lout=true")
    assert wrong.code == 2
    assert 'one of low, high, not "middle"' in wrong.err
    assert "lout" in wrong.err
