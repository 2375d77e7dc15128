"""The client commands against a stub of the server: what they ask, what they print where, how they end."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from tests.cli.conftest import Asked, Ran, Stub, build, job

from mainstay.cli.main import COMMANDS, mainstay

Run = Callable[..., Ran]


def every_command() -> list[tuple[str, ...]]:
    context = click.Context(mainstay)
    found: list[tuple[str, ...]] = []
    for name in COMMANDS:
        command = mainstay.get_command(context, name)
        if isinstance(command, click.Group):
            found += [(name, child) for child in command.commands]
        found.append((name,))
    return found


@pytest.mark.parametrize("name", every_command(), ids=" ".join)
def test_every_command_has_a_help_with_an_example(name: tuple[str, ...], mainstay: Run) -> None:
    ran = mainstay(*name, "--help")
    assert ran.code == 0
    assert "Example" in ran.out
    assert ran.out.count("mainstay ") >= 2


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_says_what_the_command_says_itself(name: str) -> None:
    command = mainstay.get_command(click.Context(mainstay), name)
    assert command is not None
    assert (command.help or "").partition("\n\n")[0].replace("\n", " ") == COMMANDS[name].summary


def test_builds_are_listed_newest_first_with_state_and_words(client: Run, stub: Stub) -> None:
    stub.on("GET", "/builds", {"items": [build(8, "running"), build(7, "failed")], "next": None})
    ran = client("builds")
    lines = ran.out.splitlines()
    assert ran.code == 0
    assert lines[0].split() == ["STATE", "BUILD", "BRANCH", "COMMIT", "WORKFLOW", "TOOK", "WHEN"]
    assert lines[1].startswith("◐ running  demo#8  main    00000000")
    assert lines[2].startswith("✗ failed   demo#7")
    assert "1 min 12 s" in lines[2]


def test_builds_pass_their_filters_and_the_token_on(client: Run, stub: Stub) -> None:
    stub.on("GET", "/builds", {"items": [], "next": None})
    ran = client("builds", "--repo", "demo", "--branch", "main", "--commit", "abc1234", "--state", "failed")
    asked = stub.asked[0]
    assert asked.query == {"repo": "demo", "branch": "main", "commit": "abc1234", "state": "failed", "limit": "20"}
    assert asked.headers["authorization"] == "Bearer mst_test"
    assert ran.out == ""
    assert "No build is like that" in ran.err


def test_builds_go_on_to_the_next_page_until_the_limit(client: Run, stub: Stub) -> None:
    def page(asked: Asked) -> tuple[int, Any]:
        start = int(asked.query.get("cursor", 300))
        count = min(int(asked.query["limit"]), 120)
        return 200, {"items": [build(start - i) for i in range(count)], "next": str(start - count)}

    stub.on("GET", "/builds", page)
    ran = client("builds", "--limit", "250", "--json")
    assert [item["number"] for item in ran.json["items"]] == list(range(300, 50, -1))
    assert ran.json["next"] == "50"


def test_show_tells_the_build_its_jobs_tries_and_steps(client: Run, stub: Stub) -> None:
    jobs = [
        job("test (3.12)"),
        job("test (3.13)", "failed", ("lost", "failed"), tests={"passed": 118, "failed": 2, "error": 0, "skipped": 3}),
    ]
    stub.on("GET", "/builds/demo%237", {**build(7, "failed"), "jobs": jobs})
    ran = client("show", "demo#7")
    assert ran.code == 0
    assert ran.out.startswith("✗ failed  demo#7  main at 00000000, workflow tests, push\n")
    assert "120 passed, 3 skipped" in ran.out
    assert "118 passed, 2 failed, 3 skipped" in ran.out
    assert "attempt 1: ! lost" in ran.out
    assert "✗ Run pytest  exit code 1  12 s" in ran.out


def test_show_names_the_failed_tests_with_what_they_say(client: Run, stub: Stub) -> None:
    failed = [
        {"test": "t.py::test_a", "outcome": "failed", "job": "test", "message": "AssertionError: 7 != 3\n\nb\nc\nd"}
    ]
    stub.on("GET", "/builds/7", {**build(7, "failed"), "jobs": [job("test", "failed")], "failed_tests": failed * 25})
    ran = client("show", "7")
    assert (
        "\n  failed tests\n  ✗ t.py::test_a  test\n      AssertionError: 7 != 3\n      b\n      c\n      …\n" in ran.out
    )
    assert ran.out.count("t.py::test_a") == 20
    assert "and more: the build's page has them all" in ran.out


def test_a_command_that_is_not_there_is_answered_with_the_one_that_was_meant(mainstay: Run) -> None:
    ran = mainstay("sevrer")
    assert ran.code == 2
    assert "No such command 'sevrer'. Did you mean 'server'?" in ran.err
    assert "Did you mean" not in mainstay("zzzzzz").err


def test_json_is_the_servers_document_and_nothing_else_is_on_standard_output(client: Run, stub: Stub) -> None:
    document = {**build(), "jobs": [job()]}
    stub.on("GET", "/builds/37", document)
    ran = client("show", "37", "--json")
    assert ran.json == document
    assert ran.err == ""


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (401, "not-signed-in", 4),
        (403, "not-allowed", 4),
        (404, "not-found", 5),
        (422, "bad-input", 2),
        (409, "conflict", 1),
        (503, "unavailable", 3),
    ],
)
def test_a_refusal_is_told_in_the_servers_words_and_by_the_exit_code(
    client: Run, stub: Stub, status: int, code: str, exit_code: int
) -> None:
    stub.refuse("GET", "/builds/37", status, code, "the reason in words")
    ran = client("show", "37", "--json")
    assert ran.code == exit_code
    assert ran.out == ""
    assert "the reason in words" in ran.err


def test_a_server_that_is_not_there_is_exit_code_3(mainstay: Run) -> None:
    ran = mainstay("builds", "--server", "http://127.0.0.1:9")
    assert ran.code == 3
    assert "http://127.0.0.1:9 (from --server) cannot be reached" in ran.err


def test_no_known_server_is_exit_code_3(mainstay: Run) -> None:
    assert mainstay("builds").code == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("show",),
        ("show", "demo#x"),
        ("show", "../builds"),
        ("wait", "demo@12"),
        ("wait", "demo@../../x"),
        ("builds", "--limit", "0"),
        ("rerun", "7", "--failed", "--job", "test"),
        ("up", "--runners", "8:1"),
        ("repo", "set", "demo"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2_and_asks_nothing(client: Run, stub: Stub, arguments: tuple[str, ...]) -> None:
    ran = client(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err
    assert stub.asked == []


def test_cancel_and_rerun_send_what_was_asked(client: Run, stub: Stub) -> None:
    stub.on("POST", "/builds/demo%237/cancel", {**build(7, "running"), "jobs": []})
    stub.on("POST", "/builds/demo%237/rerun", {"jobs": ["test"]})
    assert client("cancel", "demo#7", "--reason", "wrong branch").code == 0
    assert client("rerun", "demo#7", "--failed").code == 0
    assert client("rerun", "demo#7", "--job", "test").out.startswith("Running again: test.")
    assert client("rerun", "demo#7").code == 0
    assert stub.bodies("POST", "/builds/demo%237/cancel") == [{"reason": "wrong branch"}]
    assert stub.bodies("POST", "/builds/demo%237/rerun") == [{"failed": True}, {"job": "test"}, {}]


def test_start_sends_workflow_ref_and_inputs(client: Run, stub: Stub) -> None:
    stub.on("POST", "/repositories/demo/starts", {"builds": [41]})
    ran = client("start", "demo", "night.yml", "--ref", "v1", "--input", "level=high", "--input", "note=a=b")
    assert ran.out == "Started build 41. The verdict: mainstay wait 41\n"
    assert stub.bodies("POST", "/repositories/demo/starts") == [
        {"workflow": "night.yml", "ref": "v1", "inputs": {"level": "high", "note": "a=b"}}
    ]
    assert client("start", "demo", "night.yml", "--input", "level").code == 2


def test_why_tells_each_state_with_its_cause(client: Run, stub: Stub) -> None:
    event = {
        "id": 5,
        "at": "2026-11-20T12:00:00Z",
        "kind": "job.queued",
        "cause": "its needs passed",
        "actor": None,
        "job": 90,
    }
    stub.on("GET", "/builds/37", {**build(state="queued"), "jobs": [job(state="queued", attempts=("queued",))]})
    stub.on("GET", "/builds/37/why", {"items": [event], "next": None})
    stub.on("GET", "/jobs/90/why", {"items": [event], "next": None})
    assert "job queued  test  its needs passed" in client("why", "37").out
    assert client("why", "37", "--job", "test", "--json").json["items"] == [event]
    assert client("why", "37", "--job", "tset").code == 5


def test_a_repository_by_path_is_named_absolutely(client: Run, stub: Stub, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    stub.on("POST", "/repositories", {"name": "demo"}, 201)
    assert client("repo", "add", "demo", ".", "--branch", "main", "--branch", "release/*", "--poll", "30").code == 0
    assert client("repo", "add", "demo", "git@example.org:demo.git", "--commits", "latest", "--since", "abc").code == 0
    assert "git push" in client("repo", "add", "mine").out
    missing = client("repo", "add", "demo", "not/there")
    assert missing.code == 0  # the server may stand elsewhere
    assert "not/there on this machine. How the server's look at it went: mainstay repo show demo" in missing.err
    assert stub.bodies("POST", "/repositories") == [
        {"name": "demo", "url": str(tmp_path), "branches": ["main", "release/*"], "poll_s": 30.0},
        {"name": "demo", "url": "git@example.org:demo.git", "commits": "latest", "since": "abc"},
        {"name": "mine"},
        {"name": "demo", "url": str(tmp_path / "not/there")},
    ]


def test_a_repository_is_changed_only_where_it_was_asked(client: Run, stub: Stub) -> None:
    stub.on("PATCH", "/repositories/demo", {"name": "demo"})
    assert client("repo", "set", "demo", "--supersede", "--branch", "main").code == 0
    assert stub.bodies("PATCH", "/repositories/demo") == [{"branches": ["main"], "supersede": True}]


def test_a_repository_is_removed_only_after_a_yes(client: Run, stub: Stub, monkeypatch: Any) -> None:
    stub.on("DELETE", "/repositories/demo", None, 204)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert client("repo", "remove", "demo").code != 0
    assert stub.asked == []
    assert client("repo", "remove", "demo", "--yes").code == 0
    assert [asked.method for asked in stub.asked] == ["DELETE"]


def test_the_key_and_the_token_are_printed_alone_for_scripts(client: Run, stub: Stub) -> None:
    stub.on("POST", "/repositories/demo/key", {"key": "ssh-ed25519 AAAA demo"})
    stub.on("POST", "/runner-tokens", {"name": "runner", "token": "mst_r"}, 201)
    assert client("repo", "key", "demo").out == "ssh-ed25519 AAAA demo\n"
    assert client("runner-token").out == "mst_r\n"


def test_tests_are_listed_and_one_shows_its_history(client: Run, stub: Stub) -> None:
    digest = {
        "name": "tests/t.py::test_x",
        "state": "failed",
        "runs": 9,
        "failures": 2,
        "flakiness": 0.25,
        "duration_s": 0.012,
        "ran_at": "2026-11-20T12:00:00Z",
        "broke_at": None,
    }
    result = {"outcome": "failed", "duration_s": 2.0, "rerun": 0, "build": 37, "number": 7, "job": "test", "attempt": 1}
    stub.on("GET", "/repositories/demo/tests", {"items": [digest], "next": None})
    stub.on(
        "GET",
        "/repositories/demo/tests/tests%2Ft.py%3A%3Atest_x",
        {
            **digest,
            "window_days": 30,
            "trees": 4,
            "flaky_trees": 1,
            "first_bad_commit": "a" * 40,
            "failing_since": "2026-11-20T12:00:00Z",
            "last_failure": {**result, "details": {"message": "1 is not 2"}},
            "history": [{**result, "commit": "a" * 40, "at": "2026-11-20T12:00:00Z", "runner": "local-1"}],
        },
    )
    listed = client("tests", "demo").out
    assert "✗ failed  tests/t.py::test_x     9       2  25.0%  12 ms" in listed
    shown = client("tests", "demo", "tests/t.py::test_x").out
    assert "flaky on 1 of 4 trees (25.0%)" in shown
    assert "fails since commit aaaaaaaa" in shown
    assert "1 is not 2" in shown
    assert "#7" in shown


def test_runners_show_their_load(client: Run, stub: Stub) -> None:
    runner = {
        "id": 1, "name": "local-1", "labels": ["linux", "x64"], "capacity": 4, "running": 2, "executor": "bubblewrap",
        "version": "0.1.0", "state": "online", "first_seen_at": "2026-11-20T12:00:00Z",
        "last_contact_at": "2026-11-20T12:00:00Z",
    }  # fmt: skip
    stub.on("GET", "/runners", {"items": [runner], "next": None})
    stub.on("GET", "/runners/failing", {"items": [], "next": None})
    out = client("runners").out
    assert "local-1  ✓ online  2 of 4  linux, x64" in out


@pytest.mark.parametrize(
    ("given", "variable", "said"),
    [
        ((), None, "which part is wanted? Give --shards N and --index I, or set MAINSTAY_SHARD=I/N"),
        (("--shards", "4"), None, "--shards and --index go together"),
        (("--shards", "4", "--index", "5"), None, "--index 5 is beyond --shards 4"),
        ((), "5/4", "MAINSTAY_SHARD: a shard is written I/N"),
    ],
)
def test_a_shard_that_is_not_told_is_asked_for_in_words(
    client: Run, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], variable: str | None, said: str
) -> None:
    if variable is not None:
        monkeypatch.setenv("MAINSTAY_SHARD", variable)
    ran = client("split", *given, "a.py")
    assert ran.code == 2
    assert said in ran.err
    assert ran.out == ""
