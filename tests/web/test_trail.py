"""The trail is whole: every route that changes something is asked to, and must leave a line of who did what.

The routes are those of `test_roles`, which finds them in the application; one that changes something and is not here
fails the first test.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from mainstay.notify.mail import mail_server
from mainstay.notify.outlet import Outlet
from mainstay.store import people
from mainstay.store.database import Tx
from mainstay.store.schema import audit
from mainstay.web.guard import form_token
from tests.web.conftest import Site, serve
from tests.web.filling import Filling, JobRow
from tests.web.test_roles import ROUTES, Village, _fill, filled

WHO = "server-admin"
MAIL = {"name": "team", "kind": "mail", "address": "team@example.org"}
PASSWORD = "several words make one"
STEPS: list[tuple[str, Any]] = [
    # Route (or a path of it), and what is sent: JSON to the API, a form to a page. In an order in which each finds what
    # it needs.
    ("POST /api/v1/builds/{build}/priority", {"priority": 5}),
    ("POST /api/v1/builds/{build}/cancel", {}),
    ("POST /api/v1/builds/{build}/rerun", {}),
    ("POST /builds/{build:int}/cancel", {}),
    ("POST /builds/{build:int}/rerun", {}),
    ("POST /queue", {"do": "cancel", "build": "2"}),
    ("POST /api/v1/repositories", {"name": "fresh"}),
    ("POST /watch", {"name": "watched"}),
    ("PATCH /api/v1/repositories/{name}", {"poll_s": 30}),
    ("POST /repositories/{name}/settings", {"branches": "*", "commits": "latest", "poll_s": "60"}),
    ("POST /repositories/{name}/settings/pause", {"pause": "yes"}),
    ("POST /repositories/{name}/settings/pause", {"pause": "no"}),
    ("POST /api/v1/repositories/{name}/key", {}),
    ("POST /api/v1/repositories/{name}/webhook", {}),
    ("DELETE /api/v1/repositories/{name}/webhook", None),
    ("POST /repositories/{name}/settings/webhook", {}),
    ("POST /repositories/{name}/settings/{kind}", {"name": "PAGE_KEY", "value": "long enough"}),
    ("POST /settings/{kind}", {"name": "SERVER_KEY", "value": "long enough"}),
    ("PUT /api/v1/repositories/{name}/secrets/{secret}", {"value": "long enough"}),
    ("DELETE /api/v1/repositories/{name}/secrets/{secret}", None),
    ("PUT /api/v1/repositories/{name}/variables/{variable}", {"value": "eu"}),
    ("DELETE /api/v1/repositories/{name}/variables/{variable}", None),
    ("PUT /api/v1/secrets/{secret}", {"value": "long enough"}),
    ("DELETE /api/v1/secrets/{secret}", None),
    ("PUT /api/v1/variables/{variable}", {"value": "eu"}),
    ("DELETE /api/v1/variables/{variable}", None),
    ("POST /api/v1/repositories/{name}/channels", MAIL),
    ("POST /api/v1/repositories/{name}/channels/{channel}/test", {}),
    ("POST /api/v1/repositories/{name}/messages/{message}/drop", {}),
    ("POST /api/v1/repositories/{name}/messages/{message}/send", {}),
    ("POST /repositories/hidden-gem/notifications/messages/1/drop", {}),
    ("POST /repositories/hidden-gem/notifications/test", {"channel": "team"}),
    ("DELETE /api/v1/repositories/{name}/channels/{channel}", None),
    ("POST /repositories/{name}/notifications", {**MAIL, "on-broken": "on"}),
    ("POST /repositories/hidden-gem/notifications/remove", {"channel": "team"}),
    ("POST /api/v1/subscriptions", {"repository": "hidden-gem"}),
    ("DELETE /api/v1/subscriptions/{id}", None),
    ("POST /account/messages", {"repository": "hidden-gem", "on-broken": "on"}),
    ("POST /account/messages/again", {}),
    ("POST /account/messages/authors", {"wanted": "no"}),
    ("POST /account/messages/{id}/remove", {}),
    ("POST /api/v1/outbox/mail-test", {"to": "ada@example.org"}),
    ("PUT /api/v1/labels", {"rules": [{"pattern": "x-*", "labels": ["linux"]}]}),
    ("POST /api/v1/runners/{runner}/drain", {}),
    ("POST /api/v1/runners/{runner}/resume", {}),
    ("POST /runners/1/drain", {}),
    ("DELETE /api/v1/runners/{runner}", None),
    ("POST /runners/tokens", {"name": "farm"}),
    ("POST /api/v1/runner-tokens", {"name": "farm"}),
    ("DELETE /api/v1/runner-tokens/{id}", None),
    ("POST /api/v1/people", {"name": "grace"}),
    ("PATCH /api/v1/people/grace", {"full_name": "Grace H."}),
    ("POST /api/v1/people/grace/link", {}),
    ("PUT /api/v1/repositories/hidden-gem/people/grace", {"role": "reader"}),
    ("DELETE /api/v1/repositories/hidden-gem/people/grace", None),
    ("POST /people/grace", {"do": "give", "repository": "hidden-gem", "role": "reader"}),
    ("DELETE /api/v1/people/grace", None),
    ("POST /people", {"name": "linus"}),
    ("POST /api/v1/tokens", {"name": "nightly"}),
    ("DELETE /api/v1/tokens/{id}", None),
    ("POST /account/tokens", {"name": "mine", "scope": "read", "days": "7"}),
    ("POST /account/tokens/{id}/revoke", {}),
    ("POST /account/password", {"password": PASSWORD, "again": PASSWORD}),
    ("POST /account/sessions", {}),
    ("POST /repositories/fresh/settings/key", {}),
    ("DELETE /api/v1/repositories/{name}", None),
    ("POST /repositories/fresh/settings/remove", {"confirm": "fresh"}),
    ("POST /sign-out", {}),
]
ELSEWHERE = {
    "POST /repositories/{name}/start": "tests of starts by hand",
    "POST /api/v1/repositories/{name}/starts": "tests of starts by hand",
    "POST /repositories/{name}/schedules": "tests of starts by hand",
    "POST /sign-in": "tests of people",
    "POST /mail/{token}": "tests of reports",
    "POST /welcome": "tests of people",
}
"""What needs more than a row to be there, and is seen to leave a line by other tests."""
CHANGES_NOTHING = {
    "POST /repositories/{name}/look": "looks sooner",
    "POST /api/v1/repositories/{name}/look": "looks sooner",
    "POST /hooks/{forge}": "looks sooner",
    "POST /preferences": "cookies of the reader's own",
    "POST /git/{name}.git/git-upload-pack": "reads",
    "POST /git/{name}.git/git-receive-pack": "a push, which has a table of its own",
}


@dataclass
class Trail:
    site: Site
    key: str
    session: str

    def lines(self) -> int:
        def count(tx: Tx) -> int:
            return int(tx.conn.execute(select(func.count()).select_from(audit)).scalar_one())

        return int(self.site.do(self.site.engine.db.read, count))

    def send(self, route: str, body: Any) -> Any:
        method, _, path = route.partition(" ")
        client = self.site.client
        client.cookies.clear()
        if path.startswith("/api/"):
            headers = {"Authorization": f"Bearer {self.key}"}
            return client.request(method, path, headers=headers, json=body)
        client.cookies.set("mainstay_session", self.session)
        fields = {**body, "form_token": form_token(self.session)}
        answer = client.post(path, data=fields, headers={"Accept": "text/html"}, follow_redirects=False)
        self.session = answer.cookies.get("mainstay_session", self.session)
        return answer

    def newest(self, route: str) -> int:
        """The id of the newest thing of the kind that a route is about."""
        kind = next(kind for kind in ("runner-tokens", "tokens", "subscriptions", "messages") if kind in route)
        items = self.send(f"GET /api/v1/{'subscriptions' if kind == 'messages' else kind}", None).json()["items"]
        return int(items[0]["id"])


@pytest.fixture
def trail(tmp_path: Path, database_url: str) -> Iterator[Trail]:
    def fill(f: Filling) -> tuple[str, str]:
        keys, sessions, _ = _fill(f)
        hidden = 1
        f.build(hidden, f.commit(hidden, "y"), [JobRow(name="waits", state="queued")], occasion="3")
        people.change(f.tx, people.by_name(f.tx, WHO).id, email="ada@example.org")
        return keys[WHO], sessions[WHO]

    outlet = Outlet(mail=mail_server("smtp://127.0.0.1:1"))
    for site in serve(tmp_path / "data", database_url, public_reading=False, outlet=outlet):
        yield Trail(site, *site.fill(fill))


def _pattern(route: str) -> str:
    """The route in the table that a path of it belongs to."""
    if route in ROUTES:
        return route
    method, _, path = route.partition(" ")
    for known in ROUTES:
        other, _, template = known.partition(" ")
        parts, wanted = path.split("/"), template.split("/")
        same = other == method and len(parts) == len(wanted)
        if same and all(two.startswith("{") or one == two for one, two in zip(parts, wanted, strict=True)):
            return known
    raise AssertionError(f"there is no route {route}")


def test_every_route_that_changes_something_is_here() -> None:
    changing = {route for route in ROUTES if not route.startswith("GET")}
    here = {_pattern(route.replace("{id}", "1")) for route, _ in STEPS}
    assert sorted(changing - here - ELSEWHERE.keys() - CHANGES_NOTHING.keys()) == []


def test_each_leaves_a_line(trail: Trail) -> None:
    for route, body in STEPS:
        path = route.replace("{id}", str(trail.newest(route))) if "{id}" in route else route
        if "{" in path:
            path = route.partition(" ")[0] + " " + filled(path, Village(trail.site, {}, {}, ""))
        before = trail.lines()
        answer = trail.send(path, body)
        assert answer.status_code < 400, f"{route}: {answer.status_code} {answer.text[:2000]}"
        assert trail.lines() > before, f"{route} leaves no line in the trail"
