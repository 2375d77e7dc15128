"""What happened, in one line: the subject of a mail, the title in a chat. Everything in a report is hostile. Pure."""

from mainstay.model.report import Facts, Report, ReportKind
from mainstay.notify.words import Words

GLYPHS = {
    ReportKind.BROKEN: "✗",
    ReportKind.STILL_BROKEN: "✗",
    ReportKind.FIXED: "✓",
    ReportKind.FLAKY: "!",
    ReportKind.PING: "✓",
}
LONGEST = 160
"""Characters of a heading; names in it are cut to fit."""
NAME = 60

_TURNING = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
"""What turns the writing direction of everything after it."""


def heading(report: Report, words: Words) -> str:
    """The line, with the sign of the state."""
    text = one_line(_said(report, words))
    if report.kind in (ReportKind.DIGEST, ReportKind.FINISHED):
        glyph = "✓" if report.facts.state in ("passed", "allowed") else "✗"
    else:
        glyph = GLYPHS[report.kind]
    return f"{glyph} {text if len(text) <= LONGEST else text[: LONGEST - 1] + '…'}"


def _said(report: Report, words: Words) -> str:
    facts = report.facts
    if report.kind == ReportKind.FLAKY:
        test = short(facts.tests[0].name) if facts.tests else ""
        one, many = "a test of {repository} is flaky: {test}", "{n} tests of {repository} are flaky"
        return words.count(facts.tests_total, one, many, repository=facts.repository, test=test)
    if report.kind in (ReportKind.DIGEST, ReportKind.FINISHED):
        values = {"workflow": short(facts.workflow), "name": f"{facts.repository}#{facts.number}"}
        if facts.tests_total or facts.jobs_total:
            return words("{workflow} ({name}) failed: {what}", what=what(facts, words), **values)
        return words("{workflow} ({name}) {state}", state=words(facts.state), **values)
    if report.kind == ReportKind.PING:
        return words("messages about {repository} reach this channel", repository=facts.repository)
    return _of_branch(report, words)


def _of_branch(report: Report, words: Words) -> str:
    facts = report.facts
    values = {
        "repository": facts.repository,
        "branch": short(branch_name(facts.ref)),
        "commit": facts.commit.sha[:8] if facts.commit else "",
        "author": short(facts.commit.author) if facts.commit else "",
        "what": what(facts, words),
        "span": span((report.at - facts.since_at).total_seconds(), words) if facts.since_at else "",
        "n": str(facts.commits_total),
    }
    if report.kind == ReportKind.STILL_BROKEN:
        return words("{branch} of {repository} is still broken after {span}: {what}", **values)
    if report.kind == ReportKind.FIXED:
        if facts.again:
            return words("{branch} of {repository} passes when run again at {commit}, after {span}", **values)
        if facts.commits_total == 1:
            return words("{branch} of {repository} is fixed by {commit} ({author}) after {span}", **values)
        return words("{branch} of {repository} is fixed at {commit} after {span}", **values)
    if facts.again:
        return words("{branch} of {repository} fails when run again at {commit}: {what}", **values)
    if facts.since_at is None:
        return words("{branch} of {repository} is broken at {commit} ({author}): {what}", **values)
    if facts.commits_total == 1:
        return words("{branch} of {repository} is broken by {commit} ({author}): {what}", **values)
    return words("{branch} of {repository} is broken by one of {n} commits: {what}", **values)


def what(facts: Facts, words: Words) -> str:
    """What of a build failed, counted."""
    if facts.tests_total:
        return words.count(facts.tests_total, "1 test failed", "{n} tests failed")
    if facts.jobs_total == 1 and facts.jobs:
        return words("job {job} failed", job=short(facts.jobs[0].name))
    return words.count(facts.jobs_total, "1 job failed", "{n} jobs failed")


def span(seconds: float, words: Words) -> str:
    """How long, in the largest unit that says enough."""
    minutes = max(1, round(seconds / 60))
    if minutes < 90:
        return words("{n} min", n=minutes)
    if minutes < 48 * 60:
        return words("{n} h", n=round(minutes / 60))
    return words("{n} days", n=round(minutes / 1440))


def one_line(text: str) -> str:
    """A text without line ends, and without what turns the writing direction of what follows it."""
    plain = text.translate(_TURNING)
    return plain if plain.isprintable() else " ".join("".join(c if c.isprintable() else " " for c in plain).split())


def short(text: str) -> str:
    """A name cut to what a line has room for, with a visible sign."""
    return text if len(text) <= NAME else text[: NAME - 1] + "…"


def branch_name(ref: str) -> str:
    """A ref as people say it."""
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
