"""Every end reaches the server, in order and once, whatever happens to the connection, the server or the runner."""

import json
import signal
import time
from pathlib import Path

import pytest

from mainstay.model.plan import Step
from tests.runner.bench import Bench, until


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def gate(bench: Bench) -> str:
    """What a script says to go on only after `open_gate`."""
    return f"while [ ! -e {bench.folder}/go ]; do sleep 0.02; done"


def open_gate(bench: Bench) -> None:
    (bench.folder / "go").touch()


def test_a_job_that_ended_while_the_server_was_away_is_delivered_when_it_is_back(bench: Bench) -> None:
    with bench.runner() as runner:
        attempt, record = bench.give(f"echo before; {gate(bench)}; echo after")
        bench.server.wait(lambda: b"before" in record.log)
        bench.server.away()
        open_gate(bench)
        until((runner.data / "journal" / str(attempt) / "finish.json").exists)
        bench.server.back()
        finish = bench.server.ended(attempt)
        assert (finish.state, bytes(record.log), record.finishes) == ("passed", b"before\nafter\n", 1)
        until(lambda: runner.journals() == [])


@pytest.mark.parametrize("fault", ["half", "cut", "lost", "503", "500", "429"])
def test_a_broken_upload_is_repeated_until_it_is_whole(bench: Bench, fault: str) -> None:
    bench.server.fail("log", fault, fault)
    bench.server.fail("finish", fault, fault)
    with bench.runner():
        finish, record = bench.run("for i in 1 2 3; do echo line $i; sleep 0.15; done")
    assert bytes(record.log) == b"line 1\nline 2\nline 3\n"
    assert finish.state == "passed"


def test_a_large_upload_that_breaks_goes_on_where_the_server_stands(bench: Bench) -> None:
    bench.server.fail("log", "lost", "half", "cut")
    with bench.runner():
        finish, record = bench.run("for i in $(seq 300000); do echo line $i; done")
    expected = "".join(f"line {number}\n" for number in range(1, 300_001)).encode()
    assert bytes(record.log) == expected
    assert finish.log_bytes == len(expected)


def test_a_server_that_lost_the_end_of_a_log_gets_it_again(bench: Bench) -> None:
    with bench.runner():
        attempt, record = bench.give(f"echo one; {gate(bench)}; echo two")
        bench.server.wait(lambda: b"one" in record.log)
        with bench.server.changed:
            record.log.clear()
        open_gate(bench)
        bench.server.ended(attempt)
    assert bytes(record.log) == b"one\ntwo\n"


def test_a_killed_runner_that_is_started_again_reports_what_it_was_running_as_lost(bench: Bench) -> None:
    with bench.runner() as runner:
        attempt, record = bench.give("echo started; sleep 300 & echo $!; wait")
        bench.server.wait(lambda: record.log.count(b"\n") == 2)
        child = int(record.log.split()[1])
        bench.server.away()
        runner.kill_hard()
        bench.server.back()
    with bench.runner() as runner:
        finish = bench.server.ended(attempt)
        assert (finish.state, finish.reason) == ("lost", "the runner was killed while it ran")
        assert record.log.startswith(b"started\n")
        assert not Path(f"/proc/{child}").exists()
        assert bench.run("echo fine")[0].state == "passed"
        until(lambda: runner.journals() == [])
    assert bench.server.hellos[-1].holding == (attempt,)


def test_a_runner_killed_between_end_and_delivery_delivers_at_its_next_start(bench: Bench) -> None:
    bench.server.fail("finish", *["503"] * 1000)
    with bench.runner() as runner:
        attempt, record = bench.give("echo ::add-mask::hidden-thing; echo hidden-thing; exit 4")
        until((runner.data / "journal" / str(attempt) / "finish.json").exists)
        runner.kill_hard()
    bench.server.faults.clear()
    with bench.runner():
        finish = bench.server.ended(attempt)
    assert (finish.state, finish.exit_code) == ("failed", 4)
    assert bytes(record.log) == b"::add-mask::***\n***\n"


def test_a_killed_runner_hides_secrets_of_what_it_had_not_looked_at(bench: Bench) -> None:
    bench.server.fail("log", *["503"] * 1000)
    with bench.runner() as runner:
        attempt, record = bench.give("echo ::add-mask::hidden-thing; echo hidden-thing; sleep 300")
        raw = runner.data / "journal" / str(attempt) / "log"
        until(lambda: raw.exists() and raw.read_bytes().count(b"hidden-thing\n") == 2)
        runner.kill_hard()
    bench.server.faults.clear()
    with bench.runner():
        assert bench.server.ended(attempt).state == "lost"
    assert bytes(record.log) == b"::add-mask::***\n***\n"


@pytest.mark.parametrize("damage", ["assignment", "finish", "stranger", "file"])
def test_a_torn_journal_never_stops_the_runner(bench: Bench, damage: str) -> None:
    journal = bench.folder / "runner" / "journal"
    folder = journal / "77"
    folder.mkdir(parents=True)
    (folder / "log").write_bytes(b"a secret maybe\n")
    if damage == "assignment":
        (folder / "assignment.json").write_bytes(b'{"attempt": 7')
    elif damage == "finish":
        (folder / "finish.json").write_bytes(b"")
    elif damage == "stranger":
        folder.rename(journal / "not-a-number")
    else:
        (journal / "78").write_bytes(b"x")
    with bench.runner() as runner:
        assert bench.run("echo fine")[0].state == "passed"
        if damage in ("assignment", "file"):
            finish = bench.server.wait(lambda: bench.server.records.get(77) and bench.server.records[77].finish)
            assert (finish.state, finish.log_bytes) == ("lost", 0)
        until(lambda: runner.journals() == [])


def test_an_attempt_that_the_server_drops_is_stopped_and_forgotten(bench: Bench) -> None:
    with bench.runner() as runner:
        attempt, record = bench.give("echo here; sleep 300")
        bench.server.wait(lambda: b"here" in record.log)
        with bench.server.changed:
            bench.server.drops.append(attempt)
            bench.server.changed.notify_all()
        until(lambda: runner.journals() == [])
        assert record.finish is None
        assert bench.run("echo fine")[0].state == "passed"


def test_an_attempt_that_is_not_accepted_any_more_is_stopped(bench: Bench) -> None:
    with bench.runner() as runner:
        attempt, record = bench.give(f"echo here; {gate(bench)}; echo again; sleep 300")
        bench.server.wait(lambda: b"here" in record.log)
        record.wanted = False
        open_gate(bench)
        until(lambda: runner.journals() == [])
        assert str(attempt) in runner.words


def test_a_repeated_assignment_is_run_once(bench: Bench) -> None:
    with bench.runner("--capacity", "2"):
        assignment = bench.assignment(f"echo x >> {bench.folder}/count")
        bench.server.give(assignment)
        with bench.server.changed:
            bench.server.waiting.append(assignment)
        bench.server.ended(assignment.attempt)
        bench.run("true")
    assert (bench.folder / "count").read_text() == "x\n"


def test_after_a_410_the_runner_says_hello_again_and_goes_on(bench: Bench) -> None:
    with bench.runner():
        attempt, record = bench.give(f"echo here; {gate(bench)}; echo there")
        bench.server.wait(lambda: b"here" in record.log)
        bench.server.must_greet = True
        bench.server.wait(lambda: len(bench.server.hellos) == 2)
        open_gate(bench)
        assert bench.server.ended(attempt).state == "passed"
        assert len(bench.server.hellos) == 2
        assert bench.server.hellos[1].holding == (attempt,)
        assert bench.server.hellos[0].boot == bench.server.hellos[1].boot


def test_a_restarted_server_sees_its_runners_again(bench: Bench) -> None:
    with bench.runner():
        bench.server.wait(lambda: bench.server.polls)
        bench.server.away()
        before = len(bench.server.polls)
        bench.server.back()
        bench.server.wait(lambda: len(bench.server.polls) > before)


def test_leases_are_renewed_while_a_silent_job_runs(bench: Bench) -> None:
    with bench.runner():
        attempt, _ = bench.give("sleep 300")
        bench.server.wait(lambda: sum(attempt in poll.running for poll in bench.server.polls) >= 3)
        bench.server.cancel(attempt, "enough")
        bench.server.ended(attempt)


def test_results_that_the_server_refuses_do_not_hold_up_the_end(bench: Bench) -> None:
    bench.server.fail("artifacts", "413")
    with bench.runner():
        finish, _ = bench.run("echo x > x", Step(uses="actions/upload-artifact@v4", inputs={"path": "x"}))
    assert finish.state == "passed"
    assert any("was not stored" in each.message for each in finish.annotations)


def test_an_end_that_the_server_refuses_is_told_bare(bench: Bench) -> None:
    bench.server.fail("finish", "422")
    with bench.runner():
        finish, _ = bench.run("echo '::error::x'; exit 2")
    assert (finish.state, finish.exit_code, finish.steps) == ("failed", 2, ())
    assert "refused by the server" in (finish.reason or "")


def test_the_source_is_fetched_from_the_server_with_the_attempts_token(bench: Bench) -> None:
    bench.git("update-server-info")
    git = bench.work / ".git"
    for path in git.rglob("*"):
        if path.is_file():
            bench.server.files[f"/git/demo.git/{path.relative_to(git)}"] = path.read_bytes()
    with bench.runner(mirrors=False):
        finish, record = bench.run("cat README")
    assert (finish.state, bytes(record.log)) == ("passed", b"hello\n")
    assert bench.server.authorized[0].startswith("Basic ")


def test_a_source_that_cannot_be_fetched_breaks_the_attempt_in_words(bench: Bench) -> None:
    with bench.runner(mirrors=False):
        finish, _ = bench.run("cat README")
    assert finish.state == "broken"
    assert "demo" in (finish.reason or "")
    assert "source-token" not in json.dumps(finish.reason)


def test_a_wrong_token_ends_the_runner_in_words(bench: Bench) -> None:
    with bench.runner(env={"MAINSTAY_RUNNER_TOKEN": "wrong"}) as runner:
        assert runner.wait() == 4
        assert "a bad token" in runner.words


def test_two_runners_do_not_share_a_folder(bench: Bench) -> None:
    with bench.runner():
        bench.server.wait(lambda: bench.server.hellos)
        with bench.runner() as second:
            assert second.wait() == 1
            assert "another runner is using" in second.words


def test_a_token_in_the_environment_is_shown_to_nobody(bench: Bench) -> None:
    with bench.runner() as runner:
        bench.server.wait(lambda: bench.server.hellos)
        assert b"a-runner-token" not in Path(f"/proc/{runner.process.pid}/cmdline").read_bytes()


def test_sigterm_lets_the_running_job_end_and_takes_no_other(bench: Bench) -> None:
    with bench.runner() as runner:
        attempt, record = bench.give(f"echo here; {gate(bench)}; echo done")
        bench.server.wait(lambda: b"here" in record.log)
        runner.signal(signal.SIGTERM)
        bench.server.wait(lambda: bench.server.polls[-1].draining)
        other, _ = bench.give("echo no")
        open_gate(bench)
        assert runner.wait() == 0
        assert bench.server.ended(attempt).state == "passed"
        assert bench.server.records[other].finish is None
        assert bytes(record.log) == b"here\ndone\n"
        assert [poll.leaving for poll in bench.server.polls[-2:]] == [False, True]


def test_a_second_sigterm_hands_the_job_back(bench: Bench) -> None:
    with bench.runner() as runner:
        attempt, record = bench.give("trap '' TERM; echo $$; sleep 300")
        bench.server.wait(lambda: record.log.endswith(b"\n"))
        runner.signal(signal.SIGTERM)
        bench.server.wait(lambda: bench.server.polls[-1].draining)
        runner.signal(signal.SIGTERM)
        assert runner.wait() == 0
        finish = bench.server.ended(attempt)
        assert (finish.state, finish.reason) == ("lost", "handed back by the runner")
        assert not Path(f"/proc/{int(record.log)}").exists()


def test_an_idle_runner_ends_at_once_even_when_the_server_is_away(bench: Bench) -> None:
    with bench.runner() as runner:
        bench.server.wait(lambda: bench.server.polls)
        bench.server.away()
        runner.signal(signal.SIGTERM)
        assert runner.wait() == 0
    bench.server.back()


def test_with_once_a_runner_takes_one_job_and_ends(bench: Bench) -> None:
    first, _ = bench.give("echo one")
    second, _ = bench.give("echo two")
    with bench.runner("--once", "--capacity", "4") as runner:
        assert runner.wait() == 0
    assert bench.server.records[first].finish is not None
    assert bench.server.records[second].finish is None


def test_the_server_can_ask_a_runner_to_end(bench: Bench) -> None:
    with bench.runner() as runner:
        bench.server.wait(lambda: bench.server.polls)
        with bench.server.changed:
            bench.server.drain = True
            bench.server.changed.notify_all()
        assert runner.wait() == 0


def test_jobs_run_beside_each_other_up_to_the_capacity(bench: Bench) -> None:
    with bench.runner("--capacity", "3"):
        folder = bench.folder
        together = f"touch {folder}/here-{{0}}; while [ $(ls {folder}/here-* | wc -l) -lt 3 ]; do sleep 0.02; done"
        attempts = [bench.give(together.replace("{0}", str(number)))[0] for number in range(3)]
        assert [bench.server.ended(attempt).state for attempt in attempts] == ["passed"] * 3


def test_an_idle_runner_is_small_and_quiet(bench: Bench) -> None:
    with bench.runner() as runner:
        bench.server.wait(lambda: bench.server.polls)
        fields = Path(f"/proc/{runner.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        before = int(fields[11]) + int(fields[12])
        time.sleep(2.0)
        fields = Path(f"/proc/{runner.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        assert int(fields[11]) + int(fields[12]) - before <= 2  # ticks of 10 ms
        status = Path(f"/proc/{runner.process.pid}/status").read_text()
        assert int(status.split("VmRSS:")[1].split()[0]) < 60_000
