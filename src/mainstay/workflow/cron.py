"""Cron's five fields, as GitHub reads them, in UTC or a named time zone: parsing, and the next time after one."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mainstay.model.errors import BadInput

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 6))
UTC_NAME = "UTC"
FARTHEST_DAYS = 8 * 366
"""29 February comes again within eight years, always."""


class BadCron(BadInput):
    """A text that is not a cron line, with what is wrong in which field."""

    code = "bad-cron"


@dataclass(frozen=True, slots=True)
class Cron:
    """When something is due. Both day fields restricted: either is enough, as in cron."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    any_day: bool
    any_weekday: bool
    zone: str = "UTC"
    """The time zone by whose clock it is due, as in `Europe/Berlin`."""

    def on(self, day: datetime) -> bool:
        """Whether it is due at some time of that day."""
        if day.month not in self.months:
            return False
        by_date = day.day in self.days
        by_weekday = day.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return by_date and by_weekday
        return by_date or by_weekday


def parse(text: str, zone: str = UTC_NAME) -> Cron:
    """Raises BadCron, also for a day that never comes (30 February) and a time zone that is not known."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadCron(f'"{zone[:50]}" is not a known time zone: write a name like Europe/Berlin') from None
    parts = text.split()
    if len(parts) != len(FIELDS) or len(text) > 200:
        said = "names like @daily are not supported" if text.strip().startswith("@") else f"this has {len(parts)}"
        raise BadCron(
            f'"{text[:50]}" is not a cron line: five fields are needed (minute hour day month weekday), {said}'
        )
    fields = [_field(part, *field) for part, field in zip(parts, FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = fields
    cron = Cron(
        text=" ".join(parts),
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset(weekdays),
        any_day=parts[2].startswith("*"),
        any_weekday=parts[4].startswith("*"),
        zone=zone,
    )
    if _next_by_clock(cron, datetime(2000, 1, 1)) is None:  # noqa: DTZ001  (only whether there is any)
        raise BadCron(f'"{text}" never comes: no such month has such a day')
    return cron


def _field(text: str, what: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\*|[0-9A-Za-z]+)(?:-([0-9A-Za-z]+))?(?:/([0-9]+))?", part)
        if match is None or (match[1] == "*" and match[2]):
            raise BadCron(
                f'"{part}" is not a {what}: write a number, *, a range (1-5) or steps (*/15), several with commas'
            )
        first = low if match[1] == "*" else _number(match[1], what, low, high)
        last = high if match[1] == "*" or (match[3] and not match[2]) else first
        if match[2]:
            last = _number(match[2], what, low, high)
        step = int(match[3][:4]) if match[3] else 1
        if step == 0 or first > last:
            wrong = "steps of 0" if step == 0 else "a range that goes backwards"
            raise BadCron(f'"{part}" has {wrong} ({what})')
        found.update(range(first, last + 1, step))
    return found


def _number(text: str, what: str, low: int, high: int) -> int:
    names = MONTHS if what == "month" else DAYS if what == "day of the week" else ()
    if text.upper() in names:
        return names.index(text.upper()) + low
    if text.isdecimal() and len(text) <= 4 and low <= int(text) <= high:
        return int(text)
    named = f" or {names[0]} to {names[-1]}" if names else ""
    raise BadCron(f'"{text}" is not a {what}: it goes from {low} to {high}{named}')


def next_after(cron: Cron, moment: datetime) -> datetime | None:
    """The first due minute after `moment`, in UTC; both know their zone. None: there is none within eight years.

    A time that the clock passes twice (the end of summer time) is due once, the first time; one that it leaps over is
    due when it has leapt.
    """
    zone = ZoneInfo(cron.zone)
    local: datetime | None = moment.astimezone(zone).replace(tzinfo=None)
    while local is not None and (local := _next_by_clock(cron, local)) is not None:
        due = local.replace(tzinfo=zone).astimezone(UTC)
        if due > moment:
            return due
    return None


def _next_by_clock(cron: Cron, moment: datetime) -> datetime | None:
    """The same for a clock on the wall, which knows no zone."""
    moment = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for hour in cron.hours if cron.on(moment) else ():
        for minute in cron.minutes:
            if (hour, minute) >= (moment.hour, moment.minute):
                return moment.replace(hour=hour, minute=minute)
    day = moment.replace(hour=cron.hours[0], minute=cron.minutes[0])
    for _ in range(FARTHEST_DAYS):
        day += timedelta(days=1)
        if cron.on(day):
            return day
    return None
