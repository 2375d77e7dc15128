"""Steps, as GitHub's documentation says they behave; run by a whole runner against a fake server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.model.plan import Limits, Step
from mainstay.wire.runner import Finish
from tests.runner.bench import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One runner for all tests of this file that need nothing special of it."""
    bench = Bench(tmp_path_factory.mktemp("steps"))
    with bench.runner():
        yield bench


def states(finish: Finish) -> list[str]:
    return [step.state.value for step in finish.steps]


def test_a_job_passes_when_all_its_steps_pass(bench: Bench) -> None:
    finish, record = bench.run("echo one", "echo two")
    assert (finish.state, finish.exit_code, states(finish)) == ("passed", 0, ["passed", "passed"])
    assert bytes(record.log) == b"one\ntwo\n"
    assert finish.commit == bench.git("rev-parse", "HEAD")
    assert [step.log_offset for step in finish.steps] == [0, 4]
    assert finish.steps[0].name == "Run echo one"


def test_a_failed_step_fails_the_job_and_skips_the_rest(bench: Bench) -> None:
    finish, record = bench.run("echo one; exit 3", "echo two", Step(run="echo three", condition="always()"))
    assert (finish.state, finish.exit_code) == ("failed", 3)
    assert states(finish) == ["failed", "skipped", "passed"]
    assert bytes(record.log) == b"one\nthree\n"


def test_conditions_see_what_happened_before(bench: Bench) -> None:
    finish, record = bench.run(
        Step(id="a", run="echo x=41 >> $GITHUB_OUTPUT; exit 1", continue_on_error="true"),
        Step(run="echo outcome ${{ steps.a.outcome }}, conclusion ${{ steps.a.conclusion }}, ${{ steps.a.outputs.x }}"),
        Step(run="echo no", condition="failure()"),
        Step(run="echo yes", condition="steps.a.outputs.x == '41' && success()"),
    )
    assert finish.state == "passed"
    assert states(finish) == ["allowed", "passed", "skipped", "passed"]
    assert bytes(record.log) == b"outcome failure, conclusion success, 41\nyes\n"


def test_environment_comes_from_job_step_and_files_in_that_order(bench: Bench) -> None:
    finish, record = bench.run(
        Step(run="echo A=file >> $GITHUB_ENV; echo B=file >> $GITHUB_ENV; echo $A $B $C"),
        Step(run="echo $A $B $C ${{ env.A }}", env={"B": "step"}),
        Step(run="echo $A $B $C"),
        plan={"env": {"A": "job", "B": "job", "C": "${{ github.event_name }}"}},
    )
    assert finish.state == "passed"
    assert bytes(record.log) == b"job job push\nfile step push file\nfile file push\n"


def test_a_mapping_that_an_expression_gives_is_the_environment(bench: Bench) -> None:
    finish, record = bench.run(
        Step(run="echo $A $B $C", env={"*": "${{ matrix.env }}"}),
        Step(run="x", env={"*": "${{ github.sha }}"}),
        plan={"env": {"A": "job", "*": '${{ fromJSON(\'{"B": 2, "C": true}\') }}'}},
        matrix={"env": {"A": "leg"}},
    )
    assert states(finish) == ["passed", "failed"]
    assert bytes(record.log) == b"leg 2 true\n"
    assert "must give a mapping of names to values" in (finish.steps[1].reason or "")


def test_steps_that_belong_together_do_not_hear_of_each_others_end(bench: Bench) -> None:
    finish, record = bench.run(
        Step(run="echo one; exit 1", together=0),
        Step(run="echo two", together=0),
        Step(run="echo three", condition="failure()", together=0),
        Step(run="echo four"),
        Step(run="echo five", condition="failure()", together=4),
    )
    assert (finish.state, states(finish)) == ("failed", ["failed", "passed", "skipped", "skipped", "passed"])
    assert bytes(record.log) == b"one\ntwo\nfive\n"


def test_a_step_cannot_change_what_github_sets(bench: Bench) -> None:
    _, record = bench.run(
        Step(run="echo GITHUB_SHA=evil >> $GITHUB_ENV || true"),
        Step(run="echo $GITHUB_SHA", env={"GITHUB_SHA": "evil"}),
    )
    assert bytes(record.log).decode().strip() == bench.git("rev-parse", "HEAD")


def test_nothing_of_the_runners_own_environment_leaks_in(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.runner(env={"SECRET_OF_THE_MACHINE": "x", "PYTHONSTARTUP": "y", "LC_TIME": "C"}):
        _, record = bench.run("env")
    text = record.log.decode()
    assert "SECRET_OF_THE_MACHINE" not in text
    assert "PYTHONSTARTUP" not in text
    assert "a-runner-token" not in text
    assert "LC_TIME=C" in text
    for expected in ("CI=true", "MAINSTAY=true", "GITHUB_ACTIONS=true", "GITHUB_REPOSITORY=demo", "RUNNER_OS=Linux"):
        assert f"{expected}\n" in text


def test_paths_that_steps_add_go_in_front(bench: Bench) -> None:
    _, record = bench.run(
        "mkdir bin; printf '#!/bin/sh\\necho mine\\n' > bin/thing; chmod +x bin/thing; echo $PWD/bin >> $GITHUB_PATH",
        "thing",
    )
    assert bytes(record.log) == b"mine\n"


@pytest.mark.parametrize(
    ("shell", "script", "expected"),
    [
        (None, "echo $-; false | true; echo on", b"ehB\non\n"),
        ("bash", "echo $-; false | true; echo on", b"ehB\n"),
        ("sh", "case $- in *e*) echo strict;; esac", b"strict\n"),
        ("python", "import sys\nprint(sys.version_info[0] >= 3)", b"True\n"),
        ("perl {0}", 'print "perl\\n";', b"perl\n"),
    ],
)
def test_shells_get_githubs_flags(bench: Bench, shell: str | None, script: str, expected: bytes) -> None:
    _, record = bench.run(Step(run=script, shell=shell))
    assert bytes(record.log) == expected


def test_an_unknown_shell_is_refused_in_words(bench: Bench) -> None:
    finish, record = bench.run(Step(run="x", shell="fish"))
    assert finish.state == "failed"
    assert "the shell 'fish' is not known" in (finish.reason or "")
    assert b"the shell 'fish' is not known" in record.log


def test_the_working_directory_is_relative_to_the_work_tree(bench: Bench) -> None:
    finish, record = bench.run(
        "mkdir sub",
        Step(run="basename $PWD", working_directory="${{ 'sub' }}"),
        Step(run="x", working_directory="none"),
    )
    assert bytes(record.log).startswith(b"sub\n")
    assert finish.steps[2].reason == "the working directory none does not exist"


def test_a_step_is_stopped_at_its_time_limit(bench: Bench) -> None:
    finish, _ = bench.run(Step(run="sleep 60", timeout_s="0.3"), "echo no")
    assert finish.state == "failed"
    assert states(finish) == ["timed_out", "skipped"]
    assert finish.steps[0].reason == "over its time limit of 0.3 s"


def test_the_job_is_stopped_at_its_time_limit_and_always_steps_still_run(bench: Bench) -> None:
    finish, record = bench.run(
        "sleep 60", Step(run="echo after ${{ job.status }}", condition="always()"), time_limit_s=0.4
    )
    assert finish.state == "timed_out"
    assert states(finish) == ["cancelled", "passed"]
    assert bytes(record.log) == b"after cancelled\n"


def test_a_cancelled_job_gets_sigterm_and_runs_what_runs_always(bench: Bench) -> None:
    attempt, record = bench.give(
        Step(run="trap 'echo told; exit 5' TERM; echo ready; for i in $(seq 600); do sleep 0.05; done"),
        Step(run="echo no"),
        Step(run="echo yes", condition="cancelled()"),
    )
    bench.server.wait(lambda: b"ready" in record.log)
    bench.server.cancel(attempt, "somebody said so")
    finish = bench.server.ended(attempt)
    assert (finish.state, finish.reason) == ("cancelled", "somebody said so")
    assert states(finish) == ["cancelled", "skipped", "passed"]
    assert bytes(record.log).endswith(b"told\nyes\n")


def test_outputs_of_the_job_are_evaluated_at_its_end_and_secrets_stay(bench: Bench) -> None:
    finish, _ = bench.run(
        Step(id="a", run="echo v=1 >> $GITHUB_OUTPUT; echo s=very-secret-value >> $GITHUB_OUTPUT"),
        plan={"outputs": {"v": "${{ steps.a.outputs.v }}", "s": "${{ steps.a.outputs.s }}"}},
        masks=("very-secret-value",),
    )
    assert finish.outputs == {"v": "1"}
    assert any("may hold a secret" in each.message for each in finish.annotations)


def test_annotations_and_summaries_are_data(bench: Bench) -> None:
    finish, record = bench.run(
        "echo '::error file=a.py,line=3::wrong'; echo '  ::warning title=T::hm'; echo text ::notice::no",
        "echo '# Hello' >> $GITHUB_STEP_SUMMARY; echo '::set-output name=x::1'",
    )
    found = [(each.level, each.message, each.path, each.line) for each in finish.annotations[:2]]
    assert found == [("error", "wrong", "a.py", 3), ("warning", "hm", None, None)]
    assert finish.summary is not None
    assert finish.summary.strip() == "# Hello"
    assert b"::error file=a.py" in record.log


def test_a_broken_environment_file_fails_the_step(bench: Bench) -> None:
    finish, _ = bench.run("echo no-equals-sign >> $GITHUB_OUTPUT")
    assert finish.state == "failed"
    assert "GITHUB_OUTPUT" in (finish.reason or "")


def test_files_that_the_job_replaced_by_links_are_not_followed(bench: Bench) -> None:
    finish, _ = bench.run(
        "rm $GITHUB_STEP_SUMMARY; ln -s /etc/passwd $GITHUB_STEP_SUMMARY; rm $GITHUB_ENV; mkfifo $GITHUB_ENV"
    )
    assert finish.state == "failed"
    assert finish.summary is None


def test_a_bad_expression_fails_its_step_in_words(bench: Bench) -> None:
    finish, _ = bench.run(Step(run="echo ${{ nothing.here }}"), Step(run="x", condition="fromJSON('{') && true"))
    assert finish.state == "failed"
    assert "nothing" in (finish.steps[0].reason or "")


def test_what_a_job_leaves_running_is_ended_and_said(bench: Bench) -> None:
    finish, record = bench.run("setsid sleep 300 >/dev/null 2>&1 & echo $!")
    assert finish.state == "passed"
    assert not Path(f"/proc/{int(record.log)}").exists()
    assert [each.message for each in finish.annotations] == ["1 process that the job had left running were ended"]


def test_hash_files_is_githubs_digest(bench: Bench) -> None:
    import hashlib

    _, record = bench.run(Step(run="echo ${{ hashFiles('READ*') }} ${{ hashFiles('none*') }}."))
    inner = hashlib.sha256(b"hello\n").digest()
    assert record.log.decode() == f"{hashlib.sha256(inner).hexdigest()} .\n"


def test_a_job_without_steps_passes(bench: Bench) -> None:
    finish, record = bench.run(plan={"steps": (), "limits": Limits(processes=100)})
    assert (finish.state, record.requests["finish"]) == ("passed", 1)


def test_a_trivial_job_costs_one_request(bench: Bench) -> None:
    _, record = bench.run("true")
    del record.requests["progress"]  # there is one when the machine is so busy that the job takes long
    assert record.requests == {"finish": 1}


def test_an_unknown_action_says_what_to_write_instead(bench: Bench) -> None:
    finish, record = bench.run(Step(uses="some/action@v1"))
    assert finish.state == "failed"
    assert b"the action some/action@v1 does not run here" in record.log
    assert b"run step" in record.log


def test_checkout_finds_the_commit_already_there(bench: Bench) -> None:
    finish, _ = bench.run(
        Step(uses="actions/checkout@v4", id="c"),
        Step(run='test "${{ steps.c.outputs.commit }}" = "$GITHUB_SHA"; test -f README'),
        Step(uses="actions/checkout@v4", inputs={"path": "other"}),
        Step(run="test -f other/README; git -C other status --porcelain"),
    )
    assert finish.state == "passed", finish


def test_checkout_of_another_repository_is_refused(bench: Bench) -> None:
    finish, _ = bench.run(Step(uses="actions/checkout@v4", inputs={"repository": "other/thing"}))
    assert "only the job's own repository (demo)" in (finish.reason or "")


def test_artifacts_are_delivered_as_zip(bench: Bench) -> None:
    import io
    import zipfile

    finish, record = bench.run(
        "mkdir -p dist/a; echo one > dist/a/one.txt; echo two > dist/two.txt; ln -s /etc/passwd dist/link",
        Step(uses="actions/upload-artifact@v4", inputs={"name": "built", "path": "dist/**"}),
    )
    assert finish.state == "passed", finish
    with zipfile.ZipFile(io.BytesIO(record.artifacts["built"])) as bundle:
        assert sorted(bundle.namelist()) == ["a/one.txt", "two.txt"]
        assert bundle.read("two.txt") == b"two\n"


def test_tests_of_pytest_and_unittest_are_reported_without_the_project_doing_anything(bench: Bench) -> None:
    bench.commit(
        {
            "test_one.py": "import unittest\nclass T(unittest.TestCase):\n"
            "    def test_ok(self): pass\n    def test_bad(self): self.fail('x')\n"
        }
    )
    finish, record = bench.run("python3 -m unittest -q test_one || true")
    assert finish.tests == {"passed": 1, "failed": 1, "error": 0, "skipped": 0}
    assert {(each.id, each.outcome) for each in record.tests} == {
        ("test_one.T.test_ok", "passed"),
        ("test_one.T.test_bad", "failed"),
    }
