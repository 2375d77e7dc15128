"""How times, spans, sizes, commits and states look, the same on every page."""

import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache, lru_cache

from markupsafe import Markup, escape
from starlette.requests import Request

from mainstay.web.pages.words import Words

ZONE_COOKIE = "mainstay_zone"
SPANS = (
    (86400, 3600, "{n} d", "{n} d {m} h"),
    (3600, 60, "{n} h", "{n} h {m} min"),
    (60, 1, "{n} min", "{n} min {m} s"),
)
"""Seconds of a unit and of the one below it, and how the first alone and both are said."""


@dataclass(frozen=True, slots=True)
class Forms:
    """Formats values for one reader at one moment."""

    words: Words
    now: datetime
    zone: tzinfo

    def ago(self, at: datetime | None) -> Markup:
        """A moment relative to now, with the exact one on hover."""
        if at is None:
            return Markup("")
        return self._time(at, self.relative(at), "")

    def clock(self, at: datetime | None) -> Markup:
        """A moment as the reader's clock shows it: the time today, else the day as well."""
        if at is None:
            return Markup("")
        local = at.astimezone(self.zone)
        today = local.date() == self.now.astimezone(self.zone).date()
        return self._time(at, f"{local:%H:%M}" if today else f"{local:%Y-%m-%d %H:%M}", "clock")

    def second(self, at: datetime | None) -> Markup:
        """A moment as the reader's clock shows it, to the second."""
        return Markup("") if at is None else self._time(at, f"{at.astimezone(self.zone):%H:%M:%S}", "second")

    def _time(self, at: datetime, text: str, kind: str) -> Markup:
        exact = f"{at.astimezone(self.zone):%Y-%m-%d %H:%M:%S %Z}"
        return Markup('<time datetime="{}" title="{}" data-as="{}">{}</time>').format(
            f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z", exact, kind or "ago", text
        )

    def relative(self, at: datetime) -> str:
        """ "3 min ago"."""
        seconds = int((self.now - at).total_seconds())
        if seconds < 5:
            return self.words.plain("just now")
        for size, text in ((86400, "{n} d ago"), (3600, "{n} h ago"), (60, "{n} min ago"), (1, "{n} s ago")):
            if seconds >= size:
                return self.words.plain(text, n=seconds // size)
        return self.words.plain("just now")

    def span(self, seconds: float | None) -> str:
        """A span with at most two units: "12 ms", "0.3 s", "12 s", "1 min 12 s", "2 h 5 min", "3 min"."""
        if seconds is None:
            return ""
        say, seconds = self.words.plain, max(0.0, seconds)
        if seconds < 0.1:
            return say("{n} ms", n=round(seconds * 1000))
        if seconds < 9.95:
            return say("{n} s", n=f"{seconds:.1f}")
        whole = round(seconds)
        for size, part, alone, both in SPANS:
            if whole >= size:
                rest = whole % size // part
                return say(both, n=whole // size, m=rest) if rest else say(alone, n=whole // size)
        return say("{n} s", n=whole)

    def between(self, start: datetime | None, end: datetime | None) -> str:
        """The span between two moments; while there is no end, up to now, and the page's script counts on."""
        if start is None:
            return ""
        text = self.span(((end or self.now) - start).total_seconds())
        return text if end is not None else self._time(start, text, "span")

    def size(self, count: int) -> str:
        """Bytes for people: "812 bytes", "0.02 MB", "0.4 MB", "200 MB"."""
        if count < 10_000:
            return self.words.plain("{n} bytes", n=count)
        mega = count / 1_000_000
        return f"{mega:.0f} MB" if mega >= 100 else f"{mega:.1f} MB" if mega >= 0.1 else f"{mega:.2f} MB"


@lru_cache(maxsize=512)
def glyph(state: str, words: Words) -> Markup:
    """The sign of a state with its word for those who cannot see it."""
    return Markup(
        '<svg class="glyph s-{0}" role="img" aria-label="{1}"><title>{1}</title><use href="#g-{0}"/></svg>'
    ).format(state.replace("_", "-"), words(state.replace("_", " ")))


def branch(ref: str) -> str:
    """A ref as people say it."""
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/")


def sha(commit: str) -> Markup:
    """A commit in 8 characters, whole when it is copied or hovered."""
    return Markup('<code class="sha" title="{0}" data-copy="{0}">{1}</code>').format(commit, commit[:8])


def shown(text: object) -> Markup:
    """A text from outside as it may stand on a page: direction marks cannot turn what stands around it."""
    return Markup("<bdi>{}</bdi>").format(escape(str(text)))


@cache
def zone_named(name: str) -> tzinfo:
    """A time zone by its IANA name; UTC when it is not known."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def forms_of(request: Request, words: Words, now: datetime) -> Forms:
    """The forms for a reader. The script tells the zone by a cookie, so that the next page needs no change."""
    name = request.cookies.get(ZONE_COOKIE, "UTC")
    known = len(name) < 64 and all(part.isascii() for part in name)
    return Forms(words, now, zone_named(name) if known and name in _zones() else UTC)


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
