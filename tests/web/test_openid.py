"""Signing in with a real OpenID provider: a small one of our own, with keys, codes, PKCE and tokens that it signs."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from sqlalchemy import func, select

from mainstay.engine.openid import OpenId, Provider
from mainstay.flow.openid import mapping_of
from mainstay.flow.throttle import Allowance
from mainstay.model.errors import Unavailable
from mainstay.store import people
from mainstay.store.database import Tx
from mainstay.store.schema import tokens
from mainstay.store.seal import Seal
from tests.web.conftest import Site, serve

HTML = {"Accept": "text/html"}


class Identity:
    """A provider: gives out codes, and for each a token once."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one"}, private=True)
        self.signing = self.key
        self.algorithm = "RS256"
        self.codes: dict[str, dict[str, str]] = {}
        self.claims: dict[str, Any] = {"sub": "u1", "email": "ada@example.org", "email_verified": True, "name": "Ada L"}
        self.claims |= {"preferred_username": "ada", "groups": ["devs"]}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None: ...

            def give(self, status: int, value: Any) -> None:
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                if self.path == "/keys":
                    self.give(200, {"keys": [provider.key.as_dict(private=False)]})
                else:
                    base = provider.issuer
                    places = {"authorization_endpoint": f"{base}/auth", "token_endpoint": f"{base}/token"}
                    self.give(200, {"issuer": base, "jwks_uri": f"{base}/keys", **places})

            def do_POST(self) -> None:
                sent = {
                    k: v[0] for k, v in parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()
                }
                asked = provider.codes.pop(sent["code"], None)
                challenge = base64.urlsafe_b64encode(hashlib.sha256(sent["code_verifier"].encode()).digest())
                if asked is None or challenge.rstrip(b"=").decode() != asked["code_challenge"]:
                    self.give(400, {"error": "invalid_grant"})
                    return
                claims = {"iss": provider.issuer, "aud": "mainstay", "nonce": asked["nonce"], "exp": 4102444800}
                header = {"alg": provider.algorithm, "kid": provider.signing.kid or "x"}
                token = jwt.encode(header, claims | provider.claims, provider.signing, algorithms=[provider.algorithm])
                self.give(200, {"id_token": token, "access_token": "a", "token_type": "Bearer"})

        return Handler


@pytest.fixture
def provider() -> Iterator[Identity]:
    made = Identity()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def site(tmp_path: Path, database_url: str, provider: Identity) -> Iterator[Site]:
    for site in serve(tmp_path / "data", database_url, public_reading=False):
        mapping = mapping_of("devs=developer@demo admins=admin")
        settings = OpenId(
            provider.issuer, "mainstay", "s", "Our ID", mapping=mapping, domains=frozenset({"example.org"})
        )
        seal = Seal.from_file(tmp_path / "data" / "seal.key")
        site.engine.openid = Provider(settings, site.engine.db, seal, site.engine.clock)
        site.fill(lambda f: f.repository("demo"))
        yield site


def begin(site: Site, provider: Identity, back: str = "/repositories/demo") -> dict[str, str]:
    """Go to the provider and sign in there; what it sends back with."""
    sent = site.client.get("/sign-in/openid", params={"back": back}, follow_redirects=False)
    assert sent.status_code == 303
    asked = {key: value[0] for key, value in parse_qs(urlsplit(sent.headers["location"]).query).items()}
    assert asked["redirect_uri"] == "http://mainstay.test/sign-in/openid/return"
    code = f"code{len(provider.codes)}"
    provider.codes[code] = asked
    return {"code": code, "state": asked["state"]}


def finish(site: Site, answer: dict[str, str]) -> Any:
    return site.client.get(f"/sign-in/openid/return?{urlencode(answer)}", headers=HTML, follow_redirects=False)


def test_the_provider_signs_in_and_its_groups_give_roles(site: Site, provider: Identity) -> None:
    assert "Our ID" in site.page("/sign-in").text
    done = finish(site, begin(site, provider))
    assert (done.status_code, done.headers["location"]) == (303, "/repositories/demo")
    [ada] = site.api("GET", "/people").json()["items"]
    assert (ada["name"], ada["signs_in_with"], ada["email"]) == ("ada", "openid", "ada@example.org")
    assert ada["roles"] == [{"repository": "demo", "role": "developer", "origin": "groups"}]
    assert site.page("/repositories/demo").status_code == 200
    provider.claims["groups"] = []
    finish(site, begin(site, provider))
    assert site.api("GET", "/people/ada").json()["roles"] == []
    assert site.page("/repositories/demo").status_code == 404


def test_new_keys_of_the_provider_are_found(site: Site, provider: Identity) -> None:
    assert finish(site, begin(site, provider)).status_code == 303
    provider.key = provider.signing = RSAKey.generate_key(2048, {"kid": "two"}, private=True)
    site.clock.at = site.clock.at.replace(minute=site.clock.at.minute + 1)
    assert finish(site, begin(site, provider)).status_code == 303


def test_an_answer_is_good_once_and_for_its_own_browser(site: Site, provider: Identity) -> None:
    answer = begin(site, provider)
    kept = site.client.cookies["mainstay_openid"]
    assert finish(site, answer).status_code == 303
    site.client.cookies.clear()
    assert finish(site, answer).status_code == 401  # without what the browser kept
    site.client.cookies.set("mainstay_openid", kept)
    provider.codes[answer["code"]] = {}
    assert finish(site, answer).status_code == 401  # a replay, even with it
    other = begin(site, provider)
    assert finish(site, {**other, "state": answer["state"]}).status_code == 401
    site.client.cookies.clear()
    site.client.cookies.set("mainstay_openid", "forged")
    assert finish(site, begin(site, provider) | {"state": "x"}).status_code == 401
    assert finish(site, {"error": "access_denied", "state": "x"}).status_code == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"aud": ["mainstay", "another"]},
        {"azp": "another"},
        {"exp": 1},
        {"exp": "never"},
        {"nonce": "another"},
        {"sub": ""},
        {"sub": None},
        {"email_verified": False},
        {"email_verified": "true"},
        {"email": "ada@evil.example"},
        {"email": "ada@example.org@evil.example"},
    ],
)
def test_claims_that_do_not_fit_let_nobody_in(site: Site, provider: Identity, claims: dict[str, Any]) -> None:
    provider.claims |= claims
    assert finish(site, begin(site, provider)).status_code == 401
    assert not site.do(site.engine.db.read, people.anybody)


@pytest.mark.parametrize("forged", ["another key", "a shared secret"])
def test_a_token_that_the_provider_has_not_signed_is_refused(site: Site, provider: Identity, forged: str) -> None:
    if forged == "another key":
        provider.signing = RSAKey.generate_key(2048, {"kid": "one"}, private=True)
    else:
        provider.signing = OctKey.generate_key(256, {"kid": "one"})  # type: ignore[assignment]
        provider.algorithm = "HS256"
    assert finish(site, begin(site, provider)).status_code == 401


def test_an_account_is_not_taken_over_for_its_name(site: Site, provider: Identity) -> None:
    site.api("POST", "/people", json={"name": "ada", "role": "admin", "email": "ada@example.org"})
    assert finish(site, begin(site, provider, back="//evil.example")).headers["location"] == "/"
    names = {each["name"]: each["role"] for each in site.api("GET", "/people").json()["items"]}
    assert names == {"ada": "admin", "ada-2": None}
    assert site.page("/people").status_code == 403


def test_a_provider_that_is_away_is_not_asked_by_everybody(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def away(self: Provider, method: str, url: str, fields: dict[str, str] | None = None) -> dict[str, Any]:
        asked.append(url)
        raise Unavailable("the identity provider does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(Provider, "_asked", away)
        for _ in range(5):
            assert site.client.get("/sign-in/openid", headers=HTML, follow_redirects=False).status_code == 503
    assert len(asked) == 1
    assert site.engine.openid is not None
    monkeypatch.setattr("mainstay.engine.openid.DOWN_S", 0.0)
    assert site.client.get("/sign-in/openid", follow_redirects=False).status_code == 303


def test_going_to_the_provider_costs_no_row_and_made_up_answers_are_slowed_down(
    site: Site, provider: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(tx: Tx) -> int:
        return int(tx.conn.execute(select(func.count()).select_from(tokens)).scalar_one())

    before = site.do(site.engine.db.read, rows)
    late = begin(site, provider)
    site.clock.at += timedelta(minutes=11)
    assert finish(site, late).status_code == 401  # too old
    for _ in range(5):
        begin(site, provider)
    assert site.do(site.engine.db.read, rows) == before
    monkeypatch.setattr("mainstay.flow.throttle.ADDRESS", Allowance(3, 300.0))
    asked = 0
    for _ in range(5):
        answer = begin(site, provider)
        del provider.codes[answer["code"]]
        asked += "refused this sign-in" in finish(site, answer).text
    assert asked == 3
    assert "too many sign-ins" in finish(site, begin(site, provider)).text
    site.clock.at += timedelta(minutes=6)
    assert finish(site, begin(site, provider)).status_code == 303
    assert finish(site, begin(site, provider)).status_code == 303  # counted anew after one that went well
