"""`mainstay secret` and `mainstay variable` against a stub of the server: values never stand in arguments or output."""

import io
from collections.abc import Callable

import pytest
from tests.cli.conftest import Ran, Stub

Run = Callable[..., Ran]

SECRET = {
    "name": "KEY",
    "repository": "demo",
    "environment": None,
    "updated_by": "ada",
    "updated_at": "2026-11-20T12:00:00.000Z",
    "used_at": None,
}


class Stdin(io.TextIOWrapper):
    """Standard input with these bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))


def give(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", Stdin(data))


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"hunter2", "hunter2"),
        (b"hunter2\n", "hunter2"),
        (b"hunter2\r\n", "hunter2"),
        (b" hunter2 \n\n", " hunter2 \n\n"),
        (b"-----BEGIN\nabc\n-----END\n", "-----BEGIN\nabc\n-----END\n"),
    ],
)
def test_a_secret_comes_from_standard_input(
    client: Run, stub: Stub, monkeypatch: pytest.MonkeyPatch, data: bytes, value: str
) -> None:
    stub.on("PUT", "/repositories/demo/secrets/key", SECRET)
    give(monkeypatch, data)
    ran = client("secret", "set", "demo", "key", "--environment", "prod")
    assert (ran.code, ran.out) == (0, "Set the secret KEY in demo for the environment prod.\n")
    [body] = stub.bodies("PUT", "/repositories/demo/secrets/key")
    assert body == {"value": value, "environment": "prod"}


def test_bytes_that_are_no_text_and_wrong_names_are_refused(
    client: Run, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, b"\xff\xfe")
    ran = client("secret", "set", "demo", "KEY")
    assert ran.code == 2
    assert "base64" in ran.err
    for words in (("secret", "set", "KEY"), ("secret", "set", "--all", "demo", "KEY"), ("variable", "set", "a")):
        assert client(*words).code == 2
    assert stub.asked == []


def test_lists_show_places_and_uses_and_never_values(client: Run, stub: Stub) -> None:
    items = [{**SECRET, "repository": None, "used_at": "2026-11-20T12:00:00.000Z"}, {**SECRET, "environment": "prod"}]
    stub.on("GET", "/repositories/demo/secrets", {"items": items, "next": None})
    ran = client("secret", "list", "demo")
    lines = ran.out.splitlines()
    assert lines[0].split() == ["NAME", "FOR", "CHANGED", "LAST", "USED"]
    assert "all repositories" in lines[1]
    assert "demo, environment prod" in lines[2]
    assert "never" in lines[2]
    stub.on("GET", "/variables", {"items": [], "next": None})
    assert "mainstay variable set --all NAME" in client("variable", "list").err


def test_variables_may_stand_in_the_command(client: Run, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = {**SECRET, "name": "REGION", "value": "eu-1"}
    for path in ("/repositories/demo/variables/REGION", "/variables/REGION"):
        stub.on("PUT", path, variable)
        stub.on("DELETE", path, None, 204)
    assert client("variable", "set", "demo", "REGION", "eu-1").code == 0
    assert client("variable", "set", "--all", "REGION", "eu-2", "--json").json["value"] == "eu-1"
    give(monkeypatch, b"from a pipe\n")
    client("variable", "set", "demo", "REGION")
    sent = [asked.body["value"] for asked in stub.asked if asked.method == "PUT"]
    assert sent == ["eu-1", "eu-2", "from a pipe"]
    assert "Removed the variable REGION for all" in client("variable", "remove", "--all", "REGION").out
    stub.on("DELETE", "/repositories/demo/secrets/KEY", None, 204)
    client("secret", "remove", "demo", "KEY", "--environment", "prod")
    assert stub.asked[-1].query == {"environment": "prod"}
