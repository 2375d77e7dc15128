"""Every figure that the dashboard and the alerts name is there, and says what has happened."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mainstay.engine.tally import Tally
from mainstay.model.events import Event, EventKind
from mainstay.store import events
from tests.web.conftest import Site, on_each_database
from tests.web.filling import NOON, Filling, JobRow
from tests.web.test_reports import messages

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
NAME = re.compile(r"\b((?:mainstay|process)_[a-z_]+)\b")


def figures(site: Site) -> dict[str, float]:
    """Samples by name and labels, as Prometheus would read them."""
    text = site.client.get("/metrics").text
    return {
        sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ended(f: Filling) -> None:
    """A build with two ended jobs and one queued, and what was told of their ends."""
    demo = f.repository("demo", error="gone")
    sha = f.commit(demo, "change")
    jobs = [JobRow("a", seconds=10), JobRow("b", "failed", seconds=100), JobRow("c", "queued")]
    f.build(demo, sha, jobs)
    for attempt, state in ((1, "passed"), (2, "lost")):
        events.add(
            f.tx,
            [Event(EventKind.ATTEMPT_ENDED, f.now, "x", build_id=1, attempt_id=attempt, details={"state": state})],
        )
    events.add(f.tx, [Event(EventKind.BUILD_ENDED, f.now, "x", build_id=1, details={"state": "failed"})])
    events.add(f.tx, [Event(EventKind.REPOSITORY_UNREACHABLE, f.now, "x", repository_id=demo)])
    messages(f, demo, "it is full")


@on_each_database
def test_figures_tell_what_has_happened_since_the_start(site: Site) -> None:
    counting: Tally = site.engine.tally
    site.fill(lambda f: f.repository("before"))
    site.fill(ended)
    site.clock.at = NOON + timedelta(hours=3)
    site.do(counting.count)
    site.do(counting.count)
    found = figures(site)
    assert found["mainstay_attempts_ended_total passed"] == 1
    assert found["mainstay_attempts_ended_total lost"] == 1
    assert found["mainstay_builds_ended_total failed"] == 1
    assert found["mainstay_troubles_total repository.unreachable"] == 1
    assert found["mainstay_job_duration_seconds_count"] == 2
    assert found["mainstay_job_duration_seconds_sum"] == pytest.approx(110)
    assert found["mainstay_job_duration_seconds_bucket 15"] == 1
    assert found["mainstay_job_duration_seconds_bucket +Inf"] == 2
    assert found["mainstay_queue_oldest_seconds"] > 3600
    assert found["mainstay_repositories unreachable"] == 1
    assert found["mainstay_outbox_messages webhook failing"] == 4
    assert found["mainstay_outbox_oldest_seconds webhook"] > 3600


@pytest.mark.parametrize("file", ["grafana/mainstay.json", "prometheus/alerts.yml"])
def test_every_figure_that_is_asked_for_exists(site: Site, file: str) -> None:
    site.fill(ended)
    site.engine.delivering.tried["mail", "sent"] += 1
    site.do(site.engine.tally.count)
    there = {name.partition(" ")[0] for name in figures(site)}
    text = (DEPLOY / file).read_text("utf-8")
    asked = set(NAME.findall(text)) - {"mainstay_token"}
    assert len(asked) > 4
    assert asked - there == set()
    if file.endswith(".json"):
        panels = json.loads(text)["panels"]
        assert all(panel["targets"] and panel["title"] for panel in panels)
        assert len({panel["id"] for panel in panels}) == len(panels)


def test_a_badge_is_of_a_workflow_and_is_kept_until_it_changes(site: Site) -> None:
    def fill(f: Filling) -> None:
        demo = f.repository("demo")
        sha = f.commit(demo, "change")
        f.build(demo, sha, [JobRow("a")], workflow="lint")
        f.build(demo, sha, [JobRow("a", "failed")], workflow="docs")
        f.ref(demo, "main", sha)

    site.fill(fill)
    said = {
        query: re.findall(r"aria-label=\"(.*?)\"", site.client.get(f"/badge/demo/main.svg{query}").text)[0]
        for query in ("", "?workflow=lint", "?workflow=docs", "?workflow=none", "?workflow=%22%3E%3Cscript%3E")
    }
    assert said == {
        "": "tests: failed",
        "?workflow=lint": "lint: passed",
        "?workflow=docs": "docs: failed",
        "?workflow=none": "none: no verdict",
        "?workflow=%22%3E%3Cscript%3E": "script: no verdict",
    }
    first = site.client.get("/badge/demo/main.svg")
    again = site.client.get("/badge/demo/main.svg", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["cache-control"] == "no-cache, max-age=0"
