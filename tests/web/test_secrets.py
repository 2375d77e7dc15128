"""Secrets and variables over the API: set, listed by name, removed, refused in words, and written down."""

from typing import Any

import pytest

from tests.web.conftest import Site
from tests.web.filling import Filling

VALUE = "a-value-that-must-not-be-seen"


@pytest.fixture
def demo(site: Site) -> Site:
    site.fill(lambda f: f.repository("demo"))
    return site


def names(site: Site, path: str) -> list[tuple[str, Any, Any]]:
    return [(each["name"], each["repository"], each["environment"]) for each in site.api("GET", path).json()["items"]]


def test_secrets_are_set_listed_and_removed_and_never_given_out(demo: Site) -> None:
    made = demo.api("PUT", "/repositories/demo/secrets/token", json={"value": VALUE})
    assert (made.status_code, made.json()) == (
        200,
        {
            "name": "TOKEN",
            "repository": "demo",
            "environment": None,
            "updated_by": "ada",
            "updated_at": "2026-11-20T12:05:00.000Z",
            "used_at": None,
        },
    )
    demo.api("PUT", "/secrets/TOKEN", json={"value": VALUE})
    demo.api("PUT", "/repositories/demo/secrets/TOKEN", json={"value": VALUE, "environment": "Prod"})
    demo.api("PUT", "/repositories/demo/secrets/TOKEN", json={"value": VALUE + "2", "environment": "prod"})
    assert names(demo, "/secrets") == [("TOKEN", None, None)]
    listed = [("TOKEN", None, None), ("TOKEN", "demo", None), ("TOKEN", "demo", "prod")]
    assert names(demo, "/repositories/demo/secrets") == listed
    assert VALUE not in demo.api("GET", "/repositories/demo/secrets").text
    assert demo.api("DELETE", "/repositories/demo/secrets/token?environment=PROD").status_code == 204
    again = demo.api("DELETE", "/repositories/demo/secrets/token?environment=PROD")
    assert (again.status_code, again.json()["detail"]) == (404, "there is no secret TOKEN in demo, environment PROD")
    assert demo.api("DELETE", "/secrets/TOKEN").status_code == 204
    assert names(demo, "/repositories/demo/secrets") == [("TOKEN", "demo", None)]


def test_variables_are_the_same_with_their_values(demo: Site) -> None:
    assert demo.api("PUT", "/repositories/demo/variables/region", json={"value": ""}).json()["value"] == ""
    demo.api("PUT", "/repositories/demo/variables/REGION", json={"value": "eu", "environment": "prod"})
    demo.api("PUT", "/variables/REGION", json={"value": "all"})
    found = demo.api("GET", "/repositories/demo/variables").json()["items"]
    assert [(each["value"], each["repository"], each["environment"]) for each in found] == [
        ("all", None, None),
        ("", "demo", None),
        ("eu", "demo", "prod"),
    ]
    assert demo.api("DELETE", "/variables/REGION").status_code == 204
    assert demo.api("DELETE", "/repositories/demo/variables/NO").status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/repositories/demo/secrets/A-B", {"value": VALUE}, 422),
        ("/repositories/demo/secrets/GITHUB_TOKEN", {"value": VALUE}, 422),
        ("/repositories/demo/secrets/A", {"value": "abc"}, 422),
        ("/repositories/demo/secrets/A", {"value": 7}, 422),
        ("/repositories/demo/secrets/A", {"value": VALUE, "more": 1}, 422),
        ("/repositories/demo/secrets/A", {"value": VALUE, "environment": "\n"}, 422),
        ("/repositories/demo/secrets/A", {"value": VALUE * 3000}, 422),
        ("/repositories/demo/secrets/A", {"value": VALUE * 30_000}, 413),
        ("/repositories/no/secrets/A", {"value": VALUE}, 404),
        ("/secrets/A", {"value": VALUE, "environment": "prod"}, 422),
        ("/repositories/demo/variables/A", {"value": "\0"}, 422),
    ],
)
def test_bad_input_is_refused_without_repeating_the_value(demo: Site, path: str, body: Any, status: int) -> None:
    refused = demo.api("PUT", path, json=body)
    assert refused.status_code == status, refused.text
    assert VALUE not in refused.text
    assert names(demo, "/repositories/demo/secrets") == []


def test_the_largest_value_is_taken_however_it_is_written(demo: Site) -> None:
    escaped = "\\u0041" * (64 * 1024)
    made = demo.api("PUT", "/repositories/demo/secrets/A", content=f'{{"value": "{escaped}"}}'.encode())
    assert made.status_code == 200


def test_what_was_done_is_written_down_without_the_value_and_goes_with_the_repository(demo: Site) -> None:
    demo.api("PUT", "/repositories/demo/secrets/A", json={"value": VALUE, "environment": "prod"})
    demo.api("PUT", "/variables/B", json={"value": "seen"})

    def rows(f: Filling) -> tuple[list[Any], list[Any], str]:
        audit = f.conn.exec_driver_sql("SELECT action, subject, detail, actor FROM audit ORDER BY id").all()
        told = f.conn.exec_driver_sql("SELECT cause FROM events ORDER BY id").all()
        return [tuple(row) for row in audit], [row[0] for row in told], str(audit) + str(told)

    audit, told, everything = demo.fill(rows)
    assert ("secret.set", "demo A", "environment prod", "ada") in audit
    assert ("variable.set", "all repositories B", "", "ada") in audit
    assert told[-2:] == ["secret A set by ada for the environment prod", "variable B set by ada"]
    assert VALUE not in everything
    demo.api("DELETE", "/repositories/demo")
    assert demo.fill(lambda f: f.conn.exec_driver_sql("SELECT count(*) FROM secrets").scalar()) == 0
