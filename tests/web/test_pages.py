"""The pages: complete without script, hostile texts harmless, every word in both languages, forms guarded."""

import re
from datetime import UTC, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mainstay.model.person import Actor
from mainstay.model.secret import Place, Variable
from mainstay.store import audit, people, secrets, variables
from mainstay.store import repositories as store
from mainstay.web.pages import words
from mainstay.web.pages.forms import Forms
from tests.web.conftest import API_TOKEN, Site, on_each_database, serve
from tests.web.filling import NOON, Filling, JobRow, Step, TestRow, sha_of
from tests.web.test_reports import messages

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e"
STATES = ("failed", "passed", "neutral", "skipped", "cancelled", "waiting", "running", "allowed", "queued")


def everything(f: Filling) -> None:
    """Repositories in all states, with hostile texts wherever texts can come from outside."""
    token = f.token("runner", "mst_runner_x", "x")
    runner = f.runner("local-1", token)
    f.runner("gone", token, seen=NOON - timedelta(hours=3), draining=True)
    f.repository("never", seen_at=None)
    f.repository("unreachable", error=f"ssh: {HOSTILE}", failures=3, next_poll_at=NOON + timedelta(minutes=9))
    demo = f.repository("demo")
    for n, state in enumerate(("passed", "failed")):
        sha = f.commit(demo, f"change {n}", at=NOON + timedelta(minutes=n))
        tests = [TestRow("tests/t.py::test_a", state, 0.1, "E assert" if state == "failed" else None)]
        output = b"hello\nE       assert 1 == 2\nbye\n"
        steps = [Step("Set up", output=b"x\n"), Step("Run pytest", state, output, exit_code=n)]
        f.build(
            demo, sha, [JobRow("test", state, steps=steps, tests=tests), JobRow("lint")], runner=(runner, "local-1")
        )
    f.ref(demo, "main", sha)
    f.commit(demo, "never built", at=NOON + timedelta(minutes=9))
    hostile = f.repository("hostile")
    sha = f.commit(hostile, HOSTILE, author=HOSTILE, branch=HOSTILE, message=HOSTILE + "\n" + HOSTILE)
    log = (
        HOSTILE.encode()
        + b"\n\x1b]8;;javascript:alert(3)\x07x\x1b]8;;\x07\xff\x00\nTraceback (most recent call last):\n"
    )
    jobs = [
        JobRow(
            f"{HOSTILE} {state}",
            state,
            reason=HOSTILE,
            waits_for="runner" if state == "waiting" else None,
            steps=[Step(HOSTILE, "failed", log, exit_code=1)] if state in ("failed", "allowed") else [],
            tests=[TestRow(HOSTILE, "failed", 1, HOSTILE)] if state == "failed" else [],
            labels=[HOSTILE],
            annotations=[{"level": "error", "message": HOSTILE, "path": HOSTILE, "title": HOSTILE, "line": 1}],
            attempt_states=["lost"] if state == "passed" else (),
            summary=HOSTILE * 2000 if state == "failed" else HOSTILE,
        )
        for state in STATES
    ]
    f.build(hostile, sha, jobs, branch=HOSTILE, workflow=HOSTILE, reason=HOSTILE, runner=(runner, HOSTILE))
    f.ref(hostile, HOSTILE, sha)
    f.artifact(1, HOSTILE, "none", 20_000_000)
    for kind in ("artifact", "coverage"):
        f.artifact(5, HOSTILE + kind, "none", 20_000_000, kind=kind, keep_until=NOON + timedelta(days=3))
    f.schedule(hostile, HOSTILE, "0 3 * * *", next_at=None, told=HOSTILE, missed=2)
    f.schedule(hostile, HOSTILE, "*/10 * 1 1,7 *", next_at=NOON - timedelta(hours=1), build_id=1)
    f.event("runner.failed", cause=HOSTILE)
    messages(f, demo, "demo")
    messages(f, hostile, HOSTILE)
    people.add(f.tx, "ada", f.now, full_name=HOSTILE[:100], role="admin")
    audit.add(f.tx, Actor(HOSTILE), "build.cancel", HOSTILE, f.now, detail=HOSTILE)
    for name, environment in (("PLAIN", None), ("HOSTILE", HOSTILE)):
        place = Place(hostile if environment else None, environment)
        secrets.put(f.tx, place, name, b"sealed", HOSTILE, NOON)
        variables.put(f.tx, Variable(name, place, HOSTILE * 9, HOSTILE, NOON))
    secrets.mark_used(f.tx, secrets.listed(f.tx, hostile)[:1], NOON)
    secrets.add_job(f.tx, hostile, HOSTILE, 5)
    secrets.put_webhook(f.tx, hostile, b"sealed", HOSTILE, NOON)
    store.change(f.tx, hostile, paused_at=NOON, paused_by=HOSTILE, key_public=f"ssh-ed25519 AAAA {HOSTILE}")


PAGES = [
    "/",
    "/?q=demo&broken=1",
    "/?q=%3Cscript%3E",
    "/queue",
    "/runners",
    "/runners/1",
    "/runners/1?before=2",
    "/runners/99",
    "/schedules",
    "/repositories/hostile/schedules",
    "/repositories/never/schedules",
    "/sign-in",
    "/sign-in?code=mst_signin_old",
    "/repositories/demo",
    "/repositories/demo?state=failed&branch=main",
    "/repositories/demo?branch=none",
    "/repositories/demo?author=ada&text=change",
    "/repositories/demo?after=1",
    "/repositories/hostile?jobs=%3Cscript%3E&before=99",
    "/repositories/demo/refs",
    "/repositories/hostile/refs?kind=tags",
    "/repositories/hostile/refs",
    f"/repositories/demo/commits/{sha_of('3 change 1')}",
    f"/repositories/demo/commits/{sha_of('3 change 0')[:9]}",
    f"/repositories/demo/commits/{sha_of('3 never built')}",
    f"/repositories/hostile/commits/{sha_of(f'4 {HOSTILE}')}",
    "/repositories/demo/start",
    "/repositories/never/start?ref=x",
    "/palette?q=e&here=demo",
    "/repositories/hostile",
    "/repositories/never",
    "/repositories/demo/settings",
    "/repositories/hostile/settings",
    "/repositories/unreachable/settings",
    "/settings",
    "/repositories/unreachable",
    "/repositories/demo/tests",
    "/repositories/demo/notifications",
    "/repositories/demo/notifications?state=failed",
    "/repositories/hostile/notifications",
    "/repositories/never/notifications",
    "/repositories/demo/tests/tests/t.py::test_a",
    "/repositories/hostile/tests",
    "/repositories/never/tests",
    "/builds/1",
    "/builds/2",
    "/builds/3",
    "/jobs/1/attempts/1",
    "/jobs/3/attempts/1",
    "/jobs/5/attempts/1",
    "/jobs/5/attempts/1?at=3",
    "/jobs/5/attempts/1?step=start",
    "/jobs/3/attempts/1?lines=2-3",
    "/jobs/3/attempts/1?q=assert",
    "/jobs/5/attempts/1?q=%3Cscript&regex=1",
    "/jobs/5/attempts/1?q=(&regex=1",
    "/jobs/5/attempts/1?q=nothing-like-this",
    "/jobs/6/attempts/1",
    "/jobs/11/attempts/1",
    "/account",
    "/people",
    "/people/ada",
    "/audit",
    "/nowhere",
]


class Reader(HTMLParser):
    """Finds what a browser would run or follow."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


ISOLATED = re.compile(
    r"<(bdi|pre|option|code|title)\b.*?</\1>|(?:title|value|aria-label|data-copy|href)=\"[^\"]*\"", re.DOTALL
)


@on_each_database
def test_no_text_from_outside_becomes_markup(site: Site) -> None:
    site.fill(everything)
    site.sign_in()
    for path in PAGES:
        answer = site.page(path)
        assert answer.status_code in (200, 401, 404), (path, answer.text[:500])
        found = Reader()
        found.feed(answer.text)
        for tag, attributes in found.tags:
            assert tag not in ("iframe", "object", "style"), path
            assert tag != "img" or (attributes.get("src") or "").startswith("/badge/"), path
            assert not any(name.startswith("on") or name == "style" for name in attributes), path
            assert tag != "script" or (attributes.get("src") or "").startswith("/assets/"), path
            for name in ("href", "action"):
                assert (attributes.get(name) or "/").startswith(("/", "#", "?")), path
        assert "\u202e" not in ISOLATED.sub("", answer.text), path


def test_every_word_of_the_pages_is_known_in_chinese(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.fill(everything)
    missing: set[str] = set()

    class Watching(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            if key not in self:
                missing.add(key)
            return super().get(key, default)

    known = words.Words("zh-CN")
    monkeypatch.setattr(known, "_known", Watching(words.catalogue("zh-CN")))
    monkeypatch.setattr("mainstay.web.pages.words.words_in", lambda language: known)
    for signed_in in (False, True):
        if signed_in:
            site.sign_in()
        for path in PAGES:
            answer = site.page(path, **{"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"})
            assert 'lang="zh-CN"' in answer.text or path.startswith("/palette")
    assert not missing


def test_translations_have_the_same_places() -> None:
    for english, other in words.catalogue("zh-CN").items():
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", other)), english


def test_what_is_refused_is_said_in_the_readers_language_with_its_values(site: Site) -> None:
    said = words.words_in("zh-CN").refusal
    assert said("'a b' is no number of seconds") == "'a b' 不是秒数"
    assert said("nobody has translated this") == "nobody has translated this"
    assert said("{name} is the last administrator; make somebody else one first").startswith("{name} 是")
    assert words.words_in("en").refusal("the two passwords differ") == "the two passwords differ"
    page = site.page("/repositories/none-such", **{"Accept-Language": "zh-CN"}).text
    assert "没有名为 &#39;none-such&#39; 的仓库" in page


def test_sentences_that_refuse_stand_in_the_code_as_they_are_translated() -> None:
    source = "".join(path.read_text() for path in Path(words.__file__).parents[2].rglob("*.py"))
    joined = re.sub(r'"\s*(?:\n\s*)f?"', "", source)
    for english, other in words.errors("zh-CN").items():
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", other)), english
        assert max(words.PLACE.split(english)[::2], key=len) in joined, english


def test_spans_and_sizes_are_said_in_the_readers_language() -> None:
    seconds = (0.004, 2.34, 42, 75, 180, 7500, 183_600)
    said = {
        language: [Forms(words.words_in(language), NOON, UTC).span(each) for each in seconds]
        for language in ("en", "zh-CN")
    }
    assert said["en"] == ["4 ms", "2.3 s", "42 s", "1 min 15 s", "3 min", "2 h 5 min", "2 d 3 h"]
    assert said["zh-CN"] == ["4 毫秒", "2.3 秒", "42 秒", "1 分 15 秒", "3 分钟", "2 小时 5 分", "2 天 3 小时"]
    assert Forms(words.words_in("zh-CN"), NOON, UTC).size(812) == "812 字节"


@pytest.mark.parametrize(
    ("header", "language"),
    [("zh-CN,zh;q=0.9", "zh-CN"), ("en;q=0.3,zh;q=0.8", "zh-CN"), ("de,fr", "en"), ("", "en"), (";;q=x,,", "en")],
)
def test_the_browser_says_which_language(header: str, language: str) -> None:
    assert words.preferred(header) == language


def test_home_puts_broken_ones_first_and_is_filtered_by_name(site: Site) -> None:
    def fill(f: Filling) -> None:
        for n in range(60):
            repository = f.repository(f"service-{n:02}")
            sha = f.commit(repository, f"change of {n}")
            f.build(repository, sha, [JobRow(state="failed" if n in (7, 58) else "passed")])
            f.ref(repository, "main", sha)

    site.fill(fill)

    def names(path: str) -> list[str]:
        return re.findall(r'<a class="name" href="/repositories/([^"]+)"', site.page(path).text)

    first = names("/")
    assert first[:3] == ["service-07", "service-58", "service-00"]
    assert [*first, *names("/?from=50")][2:] == [f"service-{n:02}" for n in range(60) if n not in (7, 58)]
    assert names("/?q=VICE-5&broken=1") == ["service-58"]
    assert "2 of 60 repositories are broken" in site.page("/").text
    assert names("/?q=nothing") == []


def test_home_says_that_failures_are_allowed(site: Site) -> None:
    def fill(f: Filling) -> None:
        repository = f.repository("calm")
        sha = f.commit(repository, "a change")
        f.build(repository, sha, [JobRow(state="allowed")])
        f.ref(repository, "main", sha)

    site.fill(fill)
    assert "passes with allowed failures since" in site.page("/").text


@on_each_database
def test_home_says_what_is_broken_since_when_and_by_whom(site: Site) -> None:
    site.fill(everything)
    page = site.page("/").text
    assert "demo is broken since 12:05, by" in re.sub(r"<[^>]+>", "", page)
    link = re.search(r'<a href="(/builds/\d+)">What failed</a>', page)
    assert link is not None
    assert "1 failed test" in site.page(link[1]).text


def test_a_strangers_name_for_our_address_reads_nothing(tmp_path: Path, database_url: str) -> None:
    """A page in the browser of this machine may give its own name our address, and would read what is open to all."""
    names = frozenset({"127.0.0.1", "localhost", "::1"})
    for site in serve(tmp_path / "data", database_url, open_hosts=names):
        for host in ("localhost:8080", "127.0.0.1", "[::1]:8080", "LocalHost"):
            assert site.page("/", Host=host).status_code == 200, host
        for host in ("evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "[", ""):
            assert site.page("/", Host=host).status_code == 401, host
        assert site.api("GET", "/builds", headers={"Host": "evil.example"}).status_code == 200  # who has a token may


def test_what_does_not_say_otherwise_is_kept_by_nobody(site: Site) -> None:
    site.fill(everything)
    for path in ("/", "/cctray.xml", "/feeds/demo.atom", "/metrics", "/api/v1/builds", "/healthz", "/nowhere"):
        answer = site.client.get(path, headers={"Authorization": f"Bearer {API_TOKEN}"})
        assert answer.headers["cache-control"] == "no-store", path


def test_pages_need_a_sign_in_where_reading_is_not_public(closed_site: Site) -> None:
    closed_site.fill(everything)
    for path in ("/", "/builds/1", "/jobs/1/attempts/1", "/jobs/1/attempts/1/raw", "/queue", "/live?topic=queue"):
        answer = closed_site.page(path)
        assert answer.status_code == 401, path
        assert 'name="token"' in answer.text
    for path in ("/badge/demo/main.svg", "/cctray.xml", "/feeds/demo.atom", "/metrics"):
        assert closed_site.client.get(path).status_code == 401, path
        assert closed_site.client.get(path, headers={"Authorization": f"Bearer {API_TOKEN}"}).status_code == 200, path
    closed_site.sign_in()
    assert closed_site.page("/").status_code == 200


def test_through_a_proxy_nobody_reads_before_signing_in(site: Site) -> None:
    """All the world would come from the loopback address, for which reading was left open."""
    assert site.page("/").status_code == 200
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        answer = site.client.get("/", headers={"Accept": "text/html", name: "203.0.113.9"}, follow_redirects=False)
        assert answer.status_code in (303, 401)


def test_a_sign_in_link_works_once(site: Site) -> None:
    from mainstay.web.access import sign_in_link

    link = site.do(sign_in_link, site.engine)
    assert site.client.get(link, follow_redirects=False).status_code == 303
    site.client.cookies.clear()
    assert site.client.get(link, follow_redirects=False, headers={"Accept": "text/html"}).status_code == 401
    site.clock.at += timedelta(hours=1)
    late = site.do(sign_in_link, site.engine)
    site.clock.at += timedelta(hours=1)
    assert site.client.get(late, follow_redirects=False, headers={"Accept": "text/html"}).status_code == 401


def test_signing_in_with_a_token_and_out_again(site: Site) -> None:
    wrong = site.client.post("/sign-in", data={"token": "mst_api_wrong"}, headers={"Accept": "text/html"})
    assert wrong.status_code == 401
    answer = site.client.post("/sign-in", data={"token": API_TOKEN, "back": "//evil.example"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Sign out" in site.page("/").text
    token = form_token(site)
    assert site.client.post("/sign-out", data={"form_token": token}, follow_redirects=False).status_code == 303
    assert "Sign out" not in site.page("/").text


def form_token(site: Site) -> str:
    """The token in the forms of the present session."""
    match = re.search(r'name="form_token" value="(\w+)"', site.page("/runners").text)
    assert match
    return match[1]


def test_forms_of_other_sites_change_nothing(site: Site) -> None:
    site.fill(everything)
    assert site.client.post("/builds/2/rerun", data={}, headers={"Accept": "text/html"}).status_code == 401
    site.sign_in()
    token = form_token(site)
    for data, headers in (
        ({"x": "1"}, {}),
        ({"form_token": "0" * 64}, {}),
        ({"form_token": "é"}, {}),
        ({"form_token": token}, {"Origin": "https://evil.example"}),
        ({"form_token": token}, {"Origin": "null"}),
        ({"form_token": token}, {"Sec-Fetch-Site": "cross-site"}),
    ):
        assert site.client.post("/builds/2/rerun", data=data, headers=headers).status_code == 403, (data, headers)
    assert site.api("GET", "/builds/2").json()["state"] == "failed"
    good = {"Origin": "http://mainstay.test", "Sec-Fetch-Site": "same-origin"}
    again = site.client.post("/builds/2/rerun", data={"form_token": token}, headers=good, follow_redirects=False)
    assert again.status_code == 303
    assert site.api("GET", "/builds/2").json()["state"] == "queued"


def test_a_runner_token_is_made_and_shown_once(site: Site) -> None:
    site.sign_in()
    answer = site.client.post("/runners/tokens", data={"form_token": form_token(site), "name": "farm"})
    assert re.search(r"--token mst_runner_[\w-]{40,}", answer.text)
    assert "mst_runner_" not in site.page("/runners").text


def test_every_answer_is_guarded(site: Site) -> None:
    site.fill(everything)
    for path in ("/", "/builds/2", "/api/v1/builds", "/healthz", "/nowhere", "/badge/demo/main.svg"):
        headers = site.client.get(path).headers
        policy = headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "referrer-policy" in headers


def test_pages_are_packed_for_those_who_unpack(site: Site) -> None:
    site.fill(everything)
    for path in ("/", re.findall(r"/assets/\w+/script.js", site.page("/").text)[0]):
        packed = site.client.get(path, headers={"Accept": "text/html", "Accept-Encoding": "br;q=1, gzip"})
        plain = site.client.get(path, headers={"Accept": "text/html", "Accept-Encoding": "gzip;q=0"})
        assert packed.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in plain.headers
        assert packed.text == plain.text
        assert "Accept-Encoding" in packed.headers["vary"]


def test_the_token_of_a_form_is_never_the_same(site: Site) -> None:
    site.sign_in()
    first, second = form_token(site), form_token(site)
    assert first != second
    for token in (first, second):
        answer = site.client.post("/sign-out", data={"form_token": token[:-1] + "x"}, follow_redirects=False)
        assert answer.status_code == 403
    assert site.client.post("/sign-out", data={"form_token": first}, follow_redirects=False).status_code == 303


def test_assets_may_be_kept_for_ever(site: Site) -> None:
    path = re.search(r'href="(/assets/\w+/style.css)"', site.page("/").text)
    assert path
    assert "immutable" in site.client.get(path[1]).headers["cache-control"]
    assert site.client.get("/assets/x/../style.css").status_code == 404
    assert site.client.get("/assets/x/base.html").status_code == 404


@on_each_database
def test_badges_feeds_and_cctray_are_well_formed(site: Site) -> None:
    from xml.etree import ElementTree

    site.fill(everything)
    for path, word in (
        ("/badge/demo/main.svg", "failed"),
        ("/badge/demo/none.svg", "no verdict"),
        ("/cctray.xml", 'lastBuildStatus="Failure"'),
        ("/feeds/demo.atom", "demo#2"),
        ("/feeds/hostile.atom", "hostile"),
    ):
        answer = site.client.get(path)
        assert answer.status_code == 200, path
        ElementTree.fromstring(answer.text)
        assert word in answer.text, path


@on_each_database
def test_metrics_count_open_jobs_and_runners(site: Site) -> None:
    site.fill(everything)
    text = site.client.get("/metrics").text
    assert 'mainstay_jobs{state="queued"} 1.0' in text
    assert 'mainstay_runners{state="offline"}' in text
    assert site.client.get("/healthz").json()["status"] == "ok"
