"""Cron lines and their next time."""
# ruff: noqa: E501  (tables read better in one line)

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.workflow.cron import BadCron, Cron, next_after, parse


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "after", "due"),
    [
        ("30 5 * * *", "2026-01-01 05:29", "2026-01-01 05:30"),
        ("30 5 * * *", "2026-01-01 05:30", "2026-01-02 05:30"),
        ("30 5 * * *", "2026-12-31 05:30:59", "2027-01-01 05:30"),
        ("*/15 * * * *", "2026-01-01 05:31", "2026-01-01 05:45"),
        ("20/15 * * * *", "2026-01-01 05:51", "2026-01-01 06:20"),
        ("15 4,5 * * *", "2026-01-01 04:16", "2026-01-01 05:15"),
        ("30 4-6 * * *", "2026-01-01 06:30", "2026-01-02 04:30"),
        ("0 0 1 JAN *", "2026-01-01 00:00", "2027-01-01 00:00"),
        ("30 5 * * 1,3", "2026-11-20 12:00", "2026-11-23 05:30"),
        ("0 12 * * SUN", "2026-11-20 12:00", "2026-11-22 12:00"),
        ("0 0 29 2 *", "2026-01-01 00:00", "2028-02-29 00:00"),
        ("0 0 29 2 *", "2096-03-01 00:00", "2104-02-29 00:00"),
        ("0 0 13 * 5", "2026-11-20 12:00", "2026-11-27 00:00"),
        ("0 0 13 * FRI", "2026-11-27 12:00", "2026-12-04 00:00"),
        ("0 0 31 * *", "2026-11-20 12:00", "2026-12-31 00:00"),
    ],
)
def test_the_next_time_is_found(line: str, after: str, due: str) -> None:
    assert next_after(parse(line), at(after)) == at(due)


@pytest.mark.parametrize(
    ("line", "after", "due"),
    [
        ("30 9 * * *", "2026-01-01 00:00", "2026-01-01 08:30"),
        ("30 9 * * *", "2026-07-01 00:00", "2026-07-01 07:30"),
        ("30 2 * * *", "2026-03-29 00:00", "2026-03-29 01:30"),
        ("30 2 * * *", "2026-10-25 00:00", "2026-10-25 00:30"),
        ("30 2 * * *", "2026-10-25 00:30", "2026-10-26 01:30"),
    ],
)
def test_a_time_zone_moves_with_its_summer_time(line: str, after: str, due: str) -> None:
    assert next_after(parse(line, "Europe/Berlin"), at(after)) == at(due)


@pytest.mark.parametrize("zone", ["Nowhere/City", "../etc/passwd", "", "x" * 5000])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(BadCron, match="time zone"):
        parse("0 0 * * *", zone)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("* * * *", "five fields"), ("@daily", "@daily are not supported"), ("60 * * * *", "goes from 0 to 59"),
        ("* 24 * * *", "hour"), ("* * 0 * *", "day of the month"), ("* * * 13 *", "JAN to DEC"), ("* * * * 7", "SUN to SAT"),
        ("*/0 * * * *", "steps of 0"), ("5-1 * * * *", "goes backwards"), ("a * * * *", "minute"), ("0 0 30 2 *", "never comes"),
        ("", "five fields"), ("1,,2 * * * *", "minute"), ("*-3 * * * *", "minute"), ("1" * 5000 + " * * * *", "five fields"),
    ],
)  # fmt: skip
def test_what_is_no_cron_line_is_refused_with_the_field_at_fault(line: str, words: str) -> None:
    with pytest.raises(BadCron, match=words.replace("@", "@")):
        parse(line)


def due(cron: Cron, moment: datetime) -> bool:
    day = cron.any_day or moment.day in cron.days
    weekday = cron.any_weekday or moment.isoweekday() % 7 in cron.weekdays
    either = day and weekday if cron.any_day or cron.any_weekday else day or weekday
    return moment.minute in cron.minutes and moment.hour in cron.hours and moment.month in cron.months and either


FIELD = st.sampled_from(["*", "0", "1", "5", "1-3", "2,4", "*", "*", "3/2"])


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(
        st.sampled_from(["0", "*/20", "59"]),
        FIELD,
        st.sampled_from(["*", "1", "28", "5-6"]),
        FIELD.map(lambda f: f.replace("0", "1")),
        FIELD,
    ),
    st.integers(0, 400 * 24 * 60),
)
def test_the_next_time_is_the_first_due_minute(fields: tuple[str, ...], minutes: int) -> None:
    cron = parse(" ".join(fields))
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    found = next_after(cron, start)
    assert found is not None
    assert found > start
    assert due(cron, found)
    step = start
    for _ in range(3000):
        step += timedelta(minutes=1)
        if due(cron, step):
            assert found == step
            break
        assert found > step


def test_the_next_time_is_found_quickly_even_years_ahead() -> None:
    cron = parse("0 0 29 2 *")
    moment = at("2096-03-01 00:00")
    assert next_after(cron, moment) == at("2104-02-29 00:00")
