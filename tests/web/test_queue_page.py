"""The queue's page: many builds at once, in order, by whoever may; the same by API; shares and usual times in sight."""

from datetime import timedelta
from typing import Any

from mainstay.web.guard import form_token
from tests.web.conftest import Site, on_each_database
from tests.web.filling import Filling, JobRow


def busy(f: Filling) -> None:
    """Two repositories; of the first, past builds of half a minute, and open ones."""
    for name in ("demo", "other"):
        repository = f.repository(name, None)
        f.build(repository, f.commit(repository, "old", at=f.now - timedelta(days=1)), [JobRow("test", seconds=31)])
        sha = f.commit(repository, "open")
        for n, state in enumerate(("running", "queued", "queued", "waiting")):
            reason = "no runner offers gpu" if state == "waiting" else None
            job = JobRow("test", state, reason=reason, waits_for="runner" if reason else None)
            f.build(repository, sha, [job], occasion=str(n), branch="topic" if n == 2 else "main")
        legs = [JobRow(f"leg ({n})", "queued") for n in range(9)]
        f.build(repository, sha, legs, occasion="wide")


def send(site: Site, **fields: Any) -> Any:
    session = site.client.cookies["mainstay_session"]
    body = {"form_token": form_token(session), **fields}
    return site.client.post("/queue", data=body, headers={"Accept": "text/html"}, follow_redirects=True)


def open_builds(site: Site) -> dict[str, int]:
    """The builds with open jobs and their priorities; what runs ends only when its runner says so."""
    items = site.api("GET", "/queue").json()["items"]
    return {f"{each['repository']}#{each['number']}": each["priority"] for each in items if each["state"] != "running"}


@on_each_database
def test_ticked_builds_are_cancelled_or_put_in_order(site: Site) -> None:
    site.fill(busy)
    site.sign_in()
    text = site.page("/queue").text
    assert "of about 31 s" in text
    assert "and 6 more" in text
    assert "no runner offers gpu" in text
    answer = send(site, do="first", build=["3", "9"])
    assert "2 builds have a new place in the order." in answer.text
    assert open_builds(site)["demo#3"] == open_builds(site)["other#3"] == 1000
    answer = send(site, do="cancel", build=["3", "4", "1"])  # the last one ended long ago
    assert "2 builds are cancelled." in answer.text
    assert not {"demo#3", "demo#4"} & open_builds(site).keys()
    assert send(site, do="cancel").status_code == 422
    assert send(site, do="explode", build=["5"]).status_code == 422
    assert send(site, do="cancel", build=["999"]).status_code == 404


def test_all_that_fits_the_choice_is_cancelled_and_nothing_else(site: Site) -> None:
    site.fill(busy)
    site.sign_in()
    assert "other#" not in site.page("/queue?repo=demo").text.partition('<ul class="table queue">')[2]
    send(site, do="cancel", of="all", repo="demo", branch="topic")
    assert "demo#4" not in open_builds(site)
    assert {"demo#3", "other#4"} <= open_builds(site).keys()
    answer = send(site, do="cancel", of="all", repo="demo")
    assert "Nothing here fits" not in answer.text, "what runs is being stopped"
    assert {name.partition("#")[0] for name in open_builds(site)} == {"other"}


@on_each_database
def test_a_priority_moves_the_open_jobs_and_is_told(site: Site) -> None:
    site.fill(busy)
    answer = site.api("POST", "/builds/demo%236/priority", json={"priority": -1000})
    assert answer.json() == {"priority": -1000, "jobs": 9}
    assert list(open_builds(site))[-2:] != ["demo#6"]
    story = site.api("GET", "/builds/demo%236/why").json()["items"]
    assert any(each["kind"] == "build.prioritised" and "0 -> -1000 by" in each["cause"] for each in story)
    assert site.api("POST", "/builds/demo%231/priority", json={"priority": 5}).status_code == 409
    assert site.api("POST", "/builds/demo%236/priority", json={"priority": 5000}).status_code == 422
