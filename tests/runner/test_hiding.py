"""What a job prints, says and keeps of its secrets leaves the runner hidden, and its journal holds none of them."""

import base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest

from mainstay.model.plan import Step
from tests.runner.bench import Bench, until

SECRET = "p4ss w0rd/+=&<x>"
KEY = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA7bq9\nZWxsbyB3b3JsZA==\n-----END KEY-----\n"

SUITE = f"""
import sys, unittest

class Suite(unittest.TestCase):
    def test_bad(self):
        with self.subTest(value={SECRET!r}):
            print({SECRET!r})
            self.fail({SECRET!r})
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One runner for all tests of this file that need nothing special of it."""
    bench = Bench(tmp_path_factory.mktemp("hiding"))
    with bench.runner():
        yield bench


def contexts(**secrets: str) -> dict[str, object]:
    return {"secrets": secrets}


def test_every_way_of_printing_a_secret_is_hidden(bench: Bench) -> None:
    script = """
        printf '%s\\n' "plain $S" && printf %s "$S" | base64 -w0 && echo
        printf 'user:%s' "$S" | base64 -w0 && echo
        python3 -c 'import os, urllib.parse; print(urllib.parse.quote(os.environ["S"], safe=""))'
        python3 -c 'import os, json; print(json.dumps({"a": os.environ["S"]}))'
        printf %s "${S:0:6}"; sleep 0.2; printf '%s\\n' "${S:6}"
        printf %s "$K" | while IFS= read -r line; do echo "> $line"; sleep 0.05; done
        echo "last $S" >&2
    """
    step = Step(run=script, env={"S": "${{ secrets.S }}", "K": "${{ secrets.K }}"})
    finish, record = bench.run(step, contexts=contexts(S=SECRET, K=KEY))
    assert finish.state == "passed"
    text = record.log.decode()
    assert "plain ***" in text
    assert "last ***" in text
    forms = [SECRET, quote(SECRET, safe=""), base64.b64encode(SECRET.encode()).decode()[:-4], *KEY.splitlines()]
    assert not [form for form in forms if form in text]


def test_names_annotations_summaries_tests_and_outputs_are_hidden_too(bench: Bench) -> None:
    bench.commit({"test_bad.py": SUITE})
    steps = [
        Step(name=f"{'x' * 190} ${{{{ secrets.S }}}}", run="true"),
        Step(
            id="say",
            run='echo "::error title=$S,file=$S::wrong $S"; echo "# $S" >> $GITHUB_STEP_SUMMARY; '
            'echo "v=$S" >> $GITHUB_OUTPUT; python3 -m unittest test_bad || true',
            env={"S": "${{ secrets.S }}"},
        ),
        Step(run="exit 3", working_directory="${{ secrets.S }}"),
    ]
    finish, record = bench.run(
        *steps, contexts=contexts(S=SECRET), plan={"outputs": {"v": "${{ steps.say.outputs.v }}"}}
    )
    assert finish.state == "failed"
    assert finish.outputs == {}
    told = msgspec.json.encode((finish, record.progress, record.tests)).decode()
    assert record.tests
    assert "p4ss" not in told + record.log.decode()
    assert finish.annotations[0].title == "***"


def test_a_name_that_holds_a_secret_is_not_kept(bench: Bench) -> None:
    upload = Step(uses="actions/upload-artifact@v4", inputs={"name": "of ${{ secrets.S }}", "path": "."})
    bench.commit({"a": "b"})
    finish, record = bench.run(upload, contexts=contexts(S="hidden-thing"))
    assert (finish.state, record.artifacts) == ("failed", {})
    assert "hidden-thing" not in str(finish)


def test_what_the_server_says_of_secrets_is_an_annotation_and_a_refusal_ends_the_attempt(bench: Bench) -> None:
    finish, _ = bench.run("true", notices=("the secret X is mentioned and not set",))
    assert [each.message for each in finish.annotations] == ["the secret X is mentioned and not set"]
    finish, record = bench.run("echo never", refused="Cannot open the sealed secret X")
    assert (finish.state, finish.reason) == ("broken", "Cannot open the sealed secret X")
    assert bytes(record.log) == b""


def test_secrets_that_cannot_be_hidden_are_not_given_to_the_job(bench: Bench) -> None:
    lines = ["".join(f"{many}{number:06}\n" for number in range(2500)) for many in range(3)]
    finish, record = bench.run("echo never", contexts=contexts(A=lines[0], B=lines[1], C=lines[2]))
    assert finish.state == "broken"
    assert "cannot be hidden" in str(finish.reason)
    assert bytes(record.log) == b""


def test_no_secret_lies_in_the_journal_and_a_killed_runner_sends_only_what_was_hidden(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.server.fail("log", *["503"] * 1000)
    with bench.runner() as runner:
        step = Step(run='printf "one %s\\n" "$S" | tr -d _; sleep 300', env={"S": "${{ secrets.S }}"})
        attempt, record = bench.give(step, contexts=contexts(S="hidden-thing"))
        journal = runner.data / "journal" / str(attempt)
        until(lambda: (journal / "masked").exists() and b"one ***\n" in (journal / "masked").read_bytes())
        assert b"hidden-thing" not in (journal / "assignment.json").read_bytes()
        runner.kill_hard()
    bench.server.faults.clear()
    with bench.runner():
        finish = bench.server.ended(attempt)
    assert (finish.state, bytes(record.log)) == ("lost", b"one ***\n")
    assert "may be missing" in str(finish.log_notice)
