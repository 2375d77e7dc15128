"""Commands about builds: list, show, wait, cancel, run again, tell why."""

import time
from typing import Any

import click

from mainstay.cli import terminal
from mainstay.cli.connection import Server, build_path, client_command, commit_path, json_option
from mainstay.cli.logs import logs
from mainstay.cli.terminal import OPEN_STATES, Painted, Progress, Table, Terminal
from mainstay.model.errors import NotFound

__all__ = ["builds", "cancel", "logs", "rerun", "show", "wait", "why"]

TIMED_OUT = 124
PAGE = 200
"""Most builds that are asked for at once."""
POLL_S = 20.0
"""How long one long poll stays open."""
GREEN = frozenset({"passed", "allowed", "skipped"})
"""Build states that are no failure. `neutral` is not among them: what was not decided is not good."""


@click.command()
@click.option("--repo", "repository", metavar="R", help="Only of this repository.")
@click.option("--commit", metavar="SHA", help="Only of this commit (7 characters or more).")
@click.option("--branch", metavar="B", help="Only of this branch.")
@click.option("--state", metavar="S", help="Only in this state: passed, failed, running ...")
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many at most.")
@json_option
@client_command
def builds(
    server: Server,
    repository: str | None,
    commit: str | None,
    branch: str | None,
    state: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List builds, newest first.

    \b
    Example: the last failures on main of the repository demo
      mainstay builds --repo demo --branch main --state failed
    """
    asked: dict[str, object] = {"repository": repository, "commit": commit, "branch": branch, "state": state}
    items: list[Any] = []
    cursor: str | None = None
    while len(items) < limit:
        page = server.get("/builds", {**asked, "limit": min(limit - len(items), PAGE), "cursor": cursor})
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    if as_json:
        terminal.print_json({"items": items, "next": cursor})
        return
    _print_builds(items, filtered=any(asked.values()))


def _print_builds(items: list[Any], *, filtered: bool) -> None:
    out = terminal.output()
    if not items:
        hint = "No build is like that." if filtered else "No builds yet. Watch a repository: mainstay repo add NAME URL"
        terminal.messages().line(hint)
        return
    table = Table(("STATE", "BUILD", "BRANCH", "COMMIT", "WORKFLOW", "TOOK", "WHEN"), flexible=2, right=frozenset({5}))
    for item in items:
        table.rows.append(
            (
                out.state(item["state"]),
                f"{item['repository']}#{item['number']}",
                item["branch"] or item["event"],
                item["commit"][:8],
                item["workflow"],
                terminal.spent(item["started_at"], item["finished_at"]),
                terminal.ago(item["created_at"]),
            )
        )
    for line in table.lines(out):
        out.line(line)


@click.command()
@click.argument("build")
@json_option
@client_command
def show(server: Server, build: str, as_json: bool) -> None:
    """Show one build with its jobs, attempts, steps and tests.

    BUILD is a build's id or R#NUMBER.

    \b
    Example:
      mainstay show demo#7
    """
    found = server.get(build_path(build))
    if as_json:
        terminal.print_json(found)
        return
    out = terminal.output()
    for line in build_lines(found, out):
        out.line(line)


def build_lines(build: Any, out: Terminal) -> list[str]:
    """A build for people: what it is, then its jobs, then the steps of what did not pass."""
    name = out.paint(f"{build['repository']}#{build['number']}", bold=True)
    took = terminal.spent(build["started_at"], build["finished_at"])
    what = f"{build['branch'] or ''} at {build['commit'][:8]}, workflow {build['workflow']}, {build['event']}"
    lines = [
        f"{out.state_text(build['state'])}  {name}  {what}",
        out.faint(f"  {terminal.ago(build['created_at'])}{', took ' + took if took else ''}  {build['url']}"),
    ]
    if build["reason"]:
        lines.append(f"  {build['reason']}")
    table = Table(("  JOB", "STATE", "TESTS", "TOOK", "RUNNER"), flexible=0, right=frozenset({3}))
    for job in build["jobs"]:
        last = job["attempts"][-1] if job["attempts"] else {}
        table.rows.append(
            (
                f"  {job['name']}",
                out.state(job["state"]),
                tests_in_words(job["tests"]),
                terminal.spent(last.get("started_at"), last.get("finished_at")),
                last.get("runner") or "",
            )
        )
    if build["jobs"]:
        lines += ["", *table.lines(out)]
    for job in build["jobs"]:
        lines += _job_lines(job, out)
    return lines


def _job_lines(job: Any, out: Terminal) -> list[str]:
    """What is worth knowing of a job beyond its row: why it waits or failed, its earlier tries, its steps."""
    lines = [f"  {job['reason']}"] if job["reason"] else []
    lines += [
        f"  attempt {attempt['number']}: {out.state_text(attempt['state'])} {attempt.get('reason') or ''}"
        for attempt in job["attempts"][:-1]
    ]
    for attempt in job["attempts"][-1:]:
        if attempt.get("reason") and attempt["reason"] != job["reason"]:
            lines.append(f"  {attempt['reason']}")
        for step in attempt["steps"]:
            took = terminal.spent(step["started_at"], step["finished_at"])
            code = step["exit_code"]
            ended = f"  exit code {code}" if code else ""
            lines.append(f"  {out.glyph(step['state'])} {step['name']}{ended}  {out.faint(took)}")
    return ["", out.paint(f"  {job['name']}", bold=True), *lines] if lines else []


def tests_in_words(counts: Any) -> str:
    """`120 passed, 2 failed`, without what is 0; empty when no test was counted."""
    words = (f"{counts[kind]} {kind}" for kind in ("passed", "failed", "error", "skipped") if counts.get(kind))
    return ", ".join(words)


@click.command()
@click.argument("what", metavar="BUILD|R@COMMIT")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0), metavar="S", help="Give up after so many seconds."
)
@json_option
@client_command
def wait(server: Server, what: str, timeout_s: float | None, as_json: bool) -> int:
    """Wait for the verdict of a build or a commit.

    Ends with 0 when it passed (allowed failures and skipped builds count as passed), with 1 when it failed, was
    cancelled or could not be decided, with 124 when the time ran out.

    \b
    Example: deploy only what passed
      mainstay wait demo@3f2a91c0 --timeout 600 && ./deploy
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    progress = Progress(terminal.messages())
    is_commit = "@" in what
    path = commit_path(what) if is_commit else build_path(what)
    while True:
        left = POLL_S if deadline is None else max(0.0, min(POLL_S, deadline - time.monotonic()))
        found = _look(server, path, left, is_commit=is_commit)
        state = found["state"] if found else "waiting"
        if found and state not in OPEN_STATES:
            break
        if deadline is not None and time.monotonic() >= deadline:
            progress.clear()
            terminal.messages().line(f"mainstay: {what} is {state}; {terminal.duration(timeout_s or 0)} ran out")
            _tell(found, what, as_json=as_json)
            return TIMED_OUT
        progress.show(state, f"{what} is {state}" if found else f"{what} has no build yet")
    progress.clear()
    _tell(found, what, as_json=as_json)
    return 0 if state in GREEN else 1


def _look(server: Server, path: str, wait_s: float, *, is_commit: bool) -> Any:
    """The build or commit after `wait_s` or when it has ended, whichever is first; None: a commit not known yet."""
    began = time.monotonic()
    try:
        found = server.get(path, wait_s=wait_s)
    except NotFound:
        if not is_commit or wait_s == 0:
            raise
        found = None
    if (found is None or found["state"] in OPEN_STATES) and wait_s and time.monotonic() - began < 0.2:
        # A commit that is yet to be pushed, or an answer at once for another reason: ask once a second, no faster.
        time.sleep(min(wait_s, 1.0))
    return found


def _tell(found: Any, what: str, *, as_json: bool) -> None:
    if as_json:
        terminal.print_json(found)
    elif found:
        out = terminal.output()
        took = terminal.spent(found.get("started_at"), found.get("finished_at"))
        out.line(f"{out.state_text(found['state'])}  {what}{'  ' + took if took else ''}")
        for build in found.get("builds", ()):
            out.line(f"  {out.glyph(build['state'])} {build['repository']}#{build['number']} {build['workflow']}")


@click.command()
@click.argument("build")
@click.option("--reason", metavar="WORDS", help="Why, for the build's story.")
@json_option
@client_command
def cancel(server: Server, build: str, reason: str | None, as_json: bool) -> None:
    """Cancel a build.

    Its running jobs are stopped, those that wait will not start.

    \b
    Example:
      mainstay cancel demo#7 --reason "pushed to the wrong branch"
    """
    answer = server.post(f"{build_path(build)}/cancel", {"reason": reason} if reason else {})
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.output().line(f"Cancelling {build}. Its state: mainstay show {build}")


@click.command()
@click.argument("build")
@click.option("--failed", is_flag=True, help="Only the jobs that failed or were cancelled.")
@click.option("--job", metavar="NAME", help="Only this job.")
@json_option
@client_command
def rerun(server: Server, build: str, failed: bool, job: str | None, as_json: bool) -> None:
    """Run a build again: all of it, what failed, or one job.

    Each job gets a new attempt; earlier attempts stay as they are.

    \b
    Example:
      mainstay rerun demo#7 --failed
    """
    if failed and job:
        raise click.UsageError("--failed and --job exclude each other.")
    body: dict[str, object] = {"failed": True} if failed else {"job": job} if job else {}
    answer = server.post(f"{build_path(build)}/rerun", body)
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.output().line(
            f"Running {job or ('what failed of ' if failed else '') + build} again. The verdict: mainstay wait {build}"
        )


@click.command()
@click.argument("build")
@click.option("--job", metavar="NAME", help="Only this job.")
@json_option
@client_command
def why(server: Server, build: str, job: str | None, as_json: bool) -> None:
    """Tell the story of a build's states, each with its cause.

    \b
    Example: why does that job wait?
      mainstay why demo#7 --job "test (3.12)"
    """
    found = server.get(build_path(build))
    jobs = [item for item in found["jobs"] if job is None or job in (item["name"], item["key"])]
    if not jobs and job is not None:
        names = ", ".join(item["name"] for item in found["jobs"])
        raise NotFound(f"{build} has no job {job!r}; its jobs are {names or 'none'}.")
    stories = [
        {
            "id": item["id"],
            "name": item["name"],
            "state": item["state"],
            "reason": item["reason"],
            "story": server.get(f"/jobs/{item['id']}/why")["items"],
        }
        for item in jobs
    ]
    if as_json:
        terminal.print_json({"id": found["id"], "state": found["state"], "reason": found["reason"], "jobs": stories})
        return
    out = terminal.output()
    if found["reason"]:
        out.line(f"{out.state_text(found['state'])}  {build}: {found['reason']}")
    for story in stories:
        out.line(f"{out.state_text(story['state'])}  {out.paint(story['name'], bold=True)}")
        if story["reason"]:
            out.line(f"  {story['reason']}")
        for line in _story_table(story["story"]).lines(out):
            out.line(line)


def _story_table(events: list[Any]) -> Table:
    table = Table(("  WHEN", "WHAT", "WHY"), flexible=2)
    for event in events:
        at = terminal.moment(event["at"])
        when = at.astimezone().strftime("%H:%M:%S.%f")[:-3] if at else ""
        by = f" ({event['actor']})" if event.get("actor") else ""
        table.rows.append((Painted(f"  {when}", "bright_black"), event["kind"].replace(".", " "), event["cause"] + by))
    return table
