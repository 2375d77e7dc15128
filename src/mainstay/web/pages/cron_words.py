"""A line of cron as people say it: "Monday to Friday, at 04:30 UTC"."""

from collections.abc import Iterable

from mainstay.model.errors import BadInput
from mainstay.web.pages.words import Words
from mainstay.workflow import cron
from mainstay.workflow.cron import Cron

DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
FEW = 6
"""So many times of day are named one by one."""


def said(text: str, words: Words) -> str | None:
    """What a line of cron means; None where it would not be shorter than the line, or cannot be read."""
    try:
        line = cron.parse(text)
    except BadInput:
        return None
    time = _time(line, words)
    if time is None:
        return None
    if len(line.hours) == 24 and len(line.weekdays) == 7 and len(line.days) == 31 and len(line.months) == 12:
        return time
    return words.plain("{days}, {time}", days=_days(line, words), time=time)


def _time(line: Cron, words: Words) -> str | None:
    minutes, hours = line.minutes, line.hours
    if len(hours) == 24:
        if len(minutes) == 60:
            return words.plain("every minute")
        step = 60 // len(minutes)
        if len(minutes) > 1 and minutes == tuple(range(0, 60, step)):
            return words.plain("every {n} minutes", n=step)
        return words.plain("every hour at minute {minutes}", minutes=_listed(f"{each:02}" for each in minutes))
    if len(minutes) * len(hours) <= FEW:
        times = (f"{hour:02}:{minute:02}" for hour in hours for minute in minutes)
        return words.plain("at {times} {zone}", times=_listed(times), zone=line.zone)
    return None


def _days(line: Cron, words: Words) -> str:
    weekdays, days = sorted(line.weekdays), sorted(line.days)
    parts = []
    if len(weekdays) < 7:
        if weekdays == [1, 2, 3, 4, 5]:
            parts.append(words.plain("Monday to Friday"))
        else:
            parts.append(_listed(words.plain(DAYS[each]) for each in weekdays))
    if len(days) < 31:
        parts.append(words.plain("on the days {days} of the month", days=_listed(map(str, days))))
    text = words.plain(" or ").join(parts) if parts else words.plain("daily")
    if len(line.months) < 12:
        months = _listed(words.plain(MONTHS[each - 1]) for each in sorted(line.months))
        text += words.plain(" in {months}", months=months)
    return text


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(texts)
