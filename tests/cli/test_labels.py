"""`mainstay labels` against a stub of the server: shown in its order, changed in the right place."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.cli.conftest import Ran, Stub

Run = Callable[..., Ran]


def rule(pattern: str, *labels: str, neutral: str | None = None) -> dict[str, Any]:
    return {"pattern": pattern, "labels": list(labels), "neutral": neutral}


UBUNTU, WINDOWS = rule("ubuntu-*", "linux"), rule("windows-*", "windows", neutral="no Windows")
TABLE = {"rules": [UBUNTU, rule("self-hosted"), WINDOWS], "built_in": True}


def test_the_table_is_shown(client: Run, stub: Stub) -> None:
    stub.on("GET", "/labels", TABLE)
    lines = [line.split() for line in client("labels").out.splitlines()]
    assert lines[1:] == [
        ["ubuntu-*", "linux", "the", "job", "waits"],
        ["self-hosted", "nothing"],
        ["windows-*", "windows", "neutral:", "no", "Windows"],
        ["any", "other", "name", "that", "label", "the", "job", "waits"],
    ]
    assert client("labels", "--json").json == TABLE


@pytest.mark.parametrize(
    ("words", "rules"),
    [
        (("set", "Big-Box", "linux, gpu"), [rule("big-box", "linux", "gpu"), *TABLE["rules"]]),
        (("set", "rest-*", "--last"), [*TABLE["rules"], rule("rest-*")]),
        (("set", "self-hosted", "linux"), [UBUNTU, rule("self-hosted", "linux"), WINDOWS]),
        (("set", "w", "w", "--neutral", "no w"), [rule("w", "w", neutral="no w"), *TABLE["rules"]]),
        (("remove", "UBUNTU-*"), TABLE["rules"][1:]),
        (("reset",), None),
    ],
)
def test_the_whole_table_is_sent_with_the_change(client: Run, stub: Stub, words: tuple[str, ...], rules: Any) -> None:
    stub.on("GET", "/labels", TABLE)
    stub.on("PUT", "/labels", TABLE)
    assert client("labels", *words).code == 0
    assert stub.bodies("PUT", "/labels") == [{"rules": rules}]


def test_a_rule_that_is_not_there_is_not_removed(client: Run, stub: Stub) -> None:
    stub.on("GET", "/labels", TABLE)
    ran = client("labels", "remove", "gpu")
    assert ran.code == 5
    assert "mainstay labels" in ran.err
