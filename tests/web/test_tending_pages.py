"""Runners and schedules: how busy, what failed, what was missed; lines of cron in words."""

import re
from datetime import timedelta

import pytest

from mainstay.web.pages.cron_words import said
from mainstay.web.pages.load import PARTS, load
from mainstay.web.pages.words import words_in
from tests.web.conftest import Site, on_each_database
from tests.web.filling import NOON, Filling, JobRow


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("30 4 * * 1-5", "Monday to Friday, at 04:30 UTC"),
        ("0 3,15 * * *", "daily, at 03:00, 15:00 UTC"),
        ("*/15 * * * *", "every 15 minutes"),
        ("5 * * * 0", "Sunday, every hour at minute 05"),
        ("0 0 1,15 * 1", "Monday or on the days 1, 15 of the month, at 00:00 UTC"),
        ("0 2 1 1,7 *", "on the days 1 of the month in January, July, at 02:00 UTC"),
        ("* * * * *", "every minute"),
        ("1-50 1-20 * * *", None),
        ("not cron", None),
    ],
)
def test_a_line_of_cron_in_words(line: str, words: str | None) -> None:
    assert said(line, words_in("en")) == words
    assert (said(line, words_in("zh-CN")) is None) == (words is None)


def test_load_is_the_share_of_the_places_over_the_day() -> None:
    spans = [
        (NOON - timedelta(minutes=30), NOON),
        (NOON - timedelta(minutes=45), None),
        (NOON - timedelta(days=3), NOON - timedelta(hours=23)),
    ]
    found = load(spans, 2, NOON)
    assert len(found.parts) == PARTS
    assert [round(found.parts[n].busy, 2) for n in (-1, -2, -3, 0, 1, 2)] == [1.0, 0.25, 0.0, 0.5, 0.5, 0.0]
    assert load([], 0, NOON).average == 0


@on_each_database
def test_a_runner_has_a_page_with_its_attempts_and_load(site: Site) -> None:
    def fill(f: Filling) -> int:
        runner = f.runner("gpu-1", capacity=1)
        demo = f.repository("demo", None)
        for n in range(60):
            states = ["lost"] if n == 59 else []
            sha = f.commit(demo, f"change {n}")
            job = JobRow(f"job {n}", seconds=600, attempt_states=states)
            f.build(demo, sha, [job], at=f.now - timedelta(minutes=15 * (60 - n)), runner=(runner, "gpu-1"))
        f.event("runner.failed", cause="local-2 could not be started: no space left")
        return runner

    runner = site.fill(fill)
    text = site.page(f"/runners/{runner}").text
    assert "gpu-1 is online and runs 0 of 1" in text
    assert "1 lost attempt" in text
    busy = re.search(r"The last 24 hours: (\d+) % busy", text)
    assert busy
    assert 35 <= int(busy[1]) <= 50
    older = re.search(r'<a href="([^"]*)" rel="next"', text)
    assert older
    assert "job 0<" in site.page(older[1]).text
    assert "no space left" in site.page("/runners").text
    assert site.page("/runners/99").status_code == 404


@on_each_database
def test_schedules_say_what_was_missed_what_failed_and_what_is_late(site: Site) -> None:
    def fill(f: Filling) -> None:
        demo = f.repository("demo", None)
        sha = f.commit(demo, "change")
        build = f.build(demo, sha, [JobRow("night", "failed")])
        f.schedule(demo, "a.yml", "30 4 * * *", last_at=NOON - timedelta(hours=8), build_id=build, missed=3)
        f.schedule(demo, "b.yml", "0 5 * * *", told="the file is no longer there at refs/heads/main")
        f.schedule(demo, "c.yml", "0 6 * * *", next_at=NOON - timedelta(hours=2))

    site.fill(fill)
    for path in ("/schedules", "/repositories/demo/schedules"):
        text = site.page(path).text
        assert "1 schedule is late" in text
        assert "3 starts were missed" in text
        assert "no longer there" in text
        assert 'href="/builds/1"' in text
