"""From a report to what is sent: plain text, HTML, a short text for chats. Everything in a report is hostile. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from html import escape

from mainstay.model.report import Report, ReportKind
from mainstay.notify.headline import heading, one_line
from mainstay.notify.words import Words, words_in

CHAT_ITEMS, CHAT_LINES = 5, 6
CHAT = 1800
"""Characters of a message to a chat, the shortest limit of the services being 2000."""
MONO = "font:13px/1.45 ui-monospace,Menlo,Consolas,monospace"
WRAPPED = f"{MONO};white-space:pre-wrap;overflow-wrap:anywhere"
BODY = "font:14px/1.45 system-ui,sans-serif;max-width:720px;overflow-wrap:anywhere"
BLOCK = f"{WRAPPED};margin:0 0 8px;padding:8px;border-left:3px solid #b9b4aa;background:#8882"

_CALLS = re.compile(r"@(?=everyone|here|channel|all\b)|<(?=[!@#])", re.IGNORECASE)
"""What would call everybody in a chat."""


@dataclass(frozen=True, slots=True)
class Message:
    """A report in words."""

    heading: str
    """One line, with the sign of the state."""
    plain: str
    html: str
    chat: str
    """What a chat shows below the heading."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A titled list. Each item is a line and the lines that belong to it, to be shown as they are."""

    title: str
    items: tuple[tuple[str, tuple[str, ...]], ...]
    more: str = ""


@dataclass(frozen=True, slots=True)
class _Said:
    """Everything that a message says, whatever its form."""

    heading: str
    parts: tuple[_Part, ...]
    links: tuple[tuple[str, str], ...]
    reproduce: tuple[str, str] | None
    why: str
    way_out: tuple[str, str] | None
    stop: str
    """What the way out is called where it is a link."""
    language: str


def message(report: Report, language: str, address: str, why: str = "", way_out: str | None = None) -> Message:
    """`address`: the server's, for links. `why` says why the reader gets it, `way_out` is where to stop that."""
    words = words_in(language)
    said = _Said(
        heading(report, words),
        tuple(_parts(report, words)),
        tuple(_links(report, words, address)),
        (words("The same here:"), one_line(report.facts.reproduce)) if report.facts.reproduce else None,
        one_line(why),
        (words("No more of these:"), way_out) if way_out else None,
        words("No more of these"),
        language,
    )
    return Message(said.heading, _plain(said), _html(said), _chat(said))


def _parts(report: Report, words: Words) -> Iterator[_Part]:
    facts = report.facts
    if facts.commits:
        title = words("Commits since it was green") if report.kind == ReportKind.BROKEN else words("Commits")
        commits = tuple((one_line(f"{each.sha[:8]} {each.author}: {each.subject}"), ()) for each in facts.commits)
        yield _Part(title, commits, _more(facts.commits_total - len(commits), words))
    if facts.tests:
        title = words("Flaky tests") if report.kind == ReportKind.FLAKY else words("Failed tests")
        tests = tuple((one_line(each.name), _lines(each.message.splitlines())) for each in facts.tests)
        yield _Part(title, tests, _more(facts.tests_total - len(tests), words))
    if facts.jobs:
        jobs = tuple(
            (one_line(f"{job.name}: {job.reason or words(job.state)}"), _lines(job.lines)) for job in facts.jobs
        )
        yield _Part(words("Failed jobs"), jobs, _more(facts.jobs_total - len(jobs), words))


def _lines(lines: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Lines of a log or trace with their indentation."""
    return tuple(" " * (len(line) - len(line.lstrip(" "))) + one_line(line.strip()) for line in lines)


def _more(rest: int, words: Words) -> str:
    return words("and {n} more", n=rest) if rest > 0 else ""


def _links(report: Report, words: Words, address: str) -> Iterator[tuple[str, str]]:
    facts = report.facts
    if facts.build_id is None:
        yield words("Repository"), f"{address}/repositories/{facts.repository}"
        return
    yield words("Build"), f"{address}/builds/{facts.build_id}"
    for job in facts.jobs[:1]:
        if job.attempt:
            yield words("Log"), f"{address}/jobs/{job.job_id}/attempts/{job.attempt}"


def _plain(said: _Said) -> str:
    lines = [said.heading, ""]
    for part in said.parts:
        lines.append(part.title)
        for item, below in part.items:
            lines += [f"  {item}", *(f"    | {line}" for line in below)]
        lines += [f"  {part.more}"] if part.more else []
        lines.append("")
    lines += [f"{title}: {link}" for title, link in said.links]
    if said.reproduce:
        lines += ["", said.reproduce[0], f"  {said.reproduce[1]}"]
    if said.why or said.way_out:
        lines += ["", "-- ", *([said.why] if said.why else [])]
    if said.way_out:
        lines.append(" ".join(said.way_out))
    return "\n".join([*lines, ""])


def _html(said: _Said) -> str:
    rows = [f'<p style="font-size:16px;font-weight:600;margin:0 0 16px">{escape(said.heading)}</p>']
    for part in said.parts:
        rows.append(f'<p style="margin:16px 0 4px;font-weight:600">{escape(part.title)}</p>')
        for item, below in part.items:
            rows.append(f'<div style="{MONO};margin:4px 0">{escape(item)}</div>')
            rows += [f'<pre style="{BLOCK}">' + escape("\n".join(below)) + "</pre>"] if below else []
        rows += [f"<div>{escape(part.more)}</div>"] if part.more else []
    links = " · ".join(f'<a href="{escape(link)}">{escape(title)}</a>' for title, link in said.links)
    rows.append(f'<p style="margin:16px 0">{links}</p>')
    if said.reproduce:
        rows.append(f'<p>{escape(said.reproduce[0])}</p><pre style="{WRAPPED}">{escape(said.reproduce[1])}</pre>')
    foot = [escape(said.why)] if said.why else []
    if said.way_out:
        foot.append(f'<a href="{escape(said.way_out[1])}">{escape(said.stop)}</a>')
    rows += [f'<p style="margin-top:24px;font-size:12px;opacity:.75">{"<br>".join(foot)}</p>'] if foot else []
    body = "\n".join(rows)
    return (
        f'<!doctype html><html lang="{escape(said.language)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(said.heading)}</title></head>\n"
        f'<body style="{BODY}">\n{body}\n</body></html>\n'
    )


def _chat(said: _Said) -> str:
    lines: list[str] = []
    for part in said.parts:
        lines.append(part.title)
        for item, below in part.items[:CHAT_ITEMS]:
            lines += [f"  {item}", *(f"    {line}" for line in below[:CHAT_LINES])]
        lines += ["  …"] if part.more or len(part.items) > CHAT_ITEMS else []
    links = "\n".join(f"{title}: {link}" for title, link in said.links)
    text = uncalled("\n".join(lines))
    room = CHAT - len(links) - 2
    return f"{text if len(text) <= room else text[: room - 1] + '…'}\n{links}".lstrip("\n")


def uncalled(text: str) -> str:
    """A text that calls nobody in a chat: a name that looks like a call is not one any more."""
    return _CALLS.sub(lambda found: found[0] + "\u200b", text)


def iso(at: datetime) -> str:
    """A time as programs read it: UTC, milliseconds."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
