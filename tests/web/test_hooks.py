"""Webhooks: only a known secret makes us look, and only at what is watched."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mainstay.model.repository import Repository
from mainstay.web.hooks import place_of
from tests.web.conftest import Site, serve

BODY = json.dumps({"repository": {"clone_url": "https://git.example.org/team/demo.git"}}).encode()


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    yield from serve(tmp_path / "data", database_url, hook_secrets={"github": "s3cret"})


@pytest.fixture
def looked_at(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []

    def notice(repository: Repository, _: str) -> None:
        found.append(repository.name)

    monkeypatch.setattr(site.engine, "notice", notice)
    site.fill(lambda f: (f.repository("demo", "git@git.example.org:team/demo.git"), f.repository("other", "/srv/x")))
    return found


def send(site: Site, body: bytes, signature: str | None, path: str = "/hooks/github") -> Any:
    headers = {} if signature is None else {"X-Hub-Signature-256": signature}
    return site.client.post(path, content=body, headers=headers)


def test_a_signed_webhook_makes_us_look_at_the_repository_it_names(site: Site, looked_at: list[str]) -> None:
    good = "sha256=" + hmac.new(b"s3cret", BODY, hashlib.sha256).hexdigest()
    assert send(site, BODY, good).status_code == 202
    assert looked_at == ["demo"]


@pytest.mark.parametrize("signature", [None, "", "sha256=", "sha256=" + "0" * 64, "é"])
def test_an_unsigned_webhook_does_nothing(site: Site, looked_at: list[str], signature: str | None) -> None:
    headers = {} if signature is None else {b"X-Hub-Signature-256": signature.encode("latin-1")}
    assert site.client.post("/hooks/github", content=BODY, headers=headers).status_code == 401
    assert looked_at == []


def test_a_repository_with_a_secret_of_its_own_hears_only_what_it_signs(site: Site, looked_at: list[str]) -> None:
    made = site.api("POST", "/repositories/demo/webhook").json()
    assert made["address"] == "http://mainstay.test/hooks/generic?repository=demo"
    for secret, path, status in (
        (b"s3cret", "/hooks/github", 401),  # that of the server no longer counts
        (made["secret"].encode(), "/hooks/github", 202),
        (made["secret"].encode(), "/hooks/generic?repository=demo", 202),
        (b"guessed", "/hooks/gitea", 401),
        (made["secret"].encode(), "/hooks/generic?repository=other", 401),  # which has none that could fit
    ):
        looked_at.clear()
        signature = "sha256=" + hmac.new(secret, BODY, hashlib.sha256).hexdigest()
        assert send(site, BODY, signature, path).status_code == status, path
        assert bool(looked_at) == (status == 202)
    replaced = site.api("POST", "/repositories/demo/webhook").json()["secret"]
    assert replaced != made["secret"]
    signature = "sha256=" + hmac.new(made["secret"].encode(), BODY, hashlib.sha256).hexdigest()
    assert send(site, BODY, signature, "/hooks/gitea").status_code == 401
    assert site.api("DELETE", "/repositories/demo/webhook").status_code == 204
    assert send(site, BODY, None, "/hooks/gitea").status_code == 202
    assert site.api("DELETE", "/repositories/demo/webhook").status_code == 404


def test_a_paused_repository_is_not_looked_at(site: Site, looked_at: list[str]) -> None:
    assert site.api("PATCH", "/repositories/demo", json={"paused": True}).json()["paused_at"] is not None
    assert send(site, BODY, None, "/hooks/gitea").status_code == 202
    assert looked_at == []
    assert site.api("PATCH", "/repositories/demo", json={"paused": False}).json()["paused_at"] is None
    send(site, BODY, None, "/hooks/gitea")
    assert looked_at == ["demo"]


def test_what_cannot_be_read_is_refused(site: Site, looked_at: list[str]) -> None:
    assert send(site, b"[]", None, "/hooks/gitea").status_code == 422
    assert send(site, b"{", None, "/hooks/gitea").status_code == 422
    assert send(site, BODY, None, "/hooks/nonsense").status_code == 404
    assert send(site, b" " * (9 << 20), None, "/hooks/gitea").status_code == 413
    assert looked_at == []


def test_no_webhook_tells_a_stranger_what_is_watched(site: Site, looked_at: list[str]) -> None:
    site.api("POST", "/repositories/demo/webhook")  # has a secret of its own, `other` has none, `missing` is none
    for forge, signature, status in (
        ("gitea", None, 202),
        ("gitea", "sha256=" + "0" * 64, 401),
        ("github", None, 401),
        ("github", "sha256=" + "0" * 64, 401),
    ):
        answers = [
            send(site, BODY, signature, f"/hooks/{forge}?repository={name}") for name in ("demo", "other", "missing")
        ]
        assert {each.status_code for each in answers} == {status}
        assert len({each.text for each in answers}) == 1
    assert looked_at == ["other"]
    good = "sha256=" + hmac.new(b"s3cret", BODY, hashlib.sha256).hexdigest()
    assert send(site, BODY, good, "/hooks/github?repository=missing").status_code == 422  # who knows it is told


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.org/team/demo",
        "https://user:pw@git.example.org/team/demo.git/",
        "ssh://git@git.example.org:22/team/demo.git",
        "git@git.example.org:team/demo.git",
    ],
)
def test_one_place_has_many_addresses(url: str) -> None:
    assert place_of(url) == "git.example.org/team/demo"
