"""Commands about builds: list, show, cancel, run again, tell why."""

from typing import Any

import click

from mainstay.cli import terminal
from mainstay.cli.connection import Server, build_path, client_command, json_option
from mainstay.cli.terminal import Painted, Table, Terminal
from mainstay.model.errors import NotFound

"""Most builds that are asked for at once."""
TESTS_SHOWN = 20
MESSAGE_LINES = 3
MESSAGE_COLUMNS = 200
"""Of failed tests, and of each one's message, that `show` prints."""


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
    asked: dict[str, object] = {"repo": repository, "commit": commit, "branch": branch, "state": state}
    found = server.listed("/builds", asked, limit)
    if as_json:
        terminal.print_json(found)
        return
    if found["items"]:
        _print_builds(found["items"])
    else:
        terminal.messages().line(_why_none(repository, filtered=any((commit, branch, state))))


def _why_none(repository: str | None, *, filtered: bool) -> str:
    if filtered:
        return "No build is like that."
    if repository:
        return f"No builds of {repository} yet. How the last look at it went: mainstay repo show {repository}"
    return "No builds yet. Watch a repository: mainstay repo add NAME URL"


def _print_builds(items: list[Any]) -> None:
    out = terminal.output()
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
    """A build for people: what it is, its jobs, which tests failed, then the steps of what did not pass."""
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
    lines += _test_lines(build.get("failed_tests") or [], out)
    for job in build["jobs"]:
        lines += _job_lines(job, out)
    return lines


def _test_lines(failed: list[Any], out: Terminal) -> list[str]:
    """The failed tests with the beginnings of their messages. An older server tells of none."""
    lines = ["", out.paint("  failed tests", bold=True)] if failed else []
    for each in failed[:TESTS_SHOWN]:
        lines.append(f"  {out.glyph(each['outcome'])} {terminal.one_line(each['test'])}  {out.faint(each['job'])}")
        message = [line for line in each["message"].splitlines() if line.strip()]
        lines += [f"      {line[:MESSAGE_COLUMNS]}" for line in message[:MESSAGE_LINES]]
        if len(message) > MESSAGE_LINES:
            lines.append(out.faint("      …"))
    if len(failed) > TESTS_SHOWN:
        lines.append(out.faint("  … and more: the build's page has them all"))
    return lines


def _job_lines(job: Any, out: Terminal) -> list[str]:
    """What is worth knowing of a job beyond its row: why it waits or failed, its earlier tries, its steps."""
    lines = [f"  {job['reason']}"] if job["reason"] else []
    if job.get("environment"):
        lines.append(f"  environment {terminal.one_line(job['environment'])}")
    if job.get("permissions"):
        lines.append(f"  permissions {', '.join(f'{name}: {level}' for name, level in job['permissions'].items())}")
    lines += [
        f"  attempt {attempt['number']}: {out.state_text(attempt['state'])} {attempt.get('reason') or ''}".rstrip()
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
@click.argument("build")
@click.option("--reason", metavar="WORDS", help="Why, for the build's story.")
@click.option("--job", metavar="NAME", help="Only this job.")
@json_option
@client_command
def cancel(server: Server, build: str, reason: str | None, job: str | None, as_json: bool) -> None:
    """Cancel a build, or one of its jobs.

    Its running jobs are stopped, those that wait will not start.

    \b
    Example:
      mainstay cancel demo#7 --reason "pushed to the wrong branch"
    """
    asked = {"reason": reason, "job": job}
    answer = server.post(f"{build_path(build)}/cancel", {key: value for key, value in asked.items() if value})
    if as_json:
        terminal.print_json(answer)
    else:
        what = f"{job} of {build}" if job else build
        terminal.output().line(f"Cancelling {what}. Its state: mainstay show {build}")


@click.command()
@click.argument("build")
@click.argument("priority", metavar="first|normal|last|NUMBER")
@json_option
@client_command
def prioritise(server: Server, build: str, priority: str, as_json: bool) -> None:
    """Let a build go before or after others of its repository.

    `first` is 1000, `normal` 0, `last` -1000; any whole number from -2000 to 2000 will do. Below -500 a build waits
    until nobody's fresh work does. Between repositories places are shared evenly, whatever the priorities.

    \b
    Example: the hotfix goes first
      mainstay prioritise demo#7 first
    """
    words = {"first": 1000, "normal": 0, "last": -1000}
    try:
        number = words[priority] if priority in words else int(priority)
    except ValueError:
        raise click.UsageError(f"{priority!r} is no priority: write first, normal, last or a whole number.") from None
    answer = server.post(f"{build_path(build)}/priority", {"priority": number})
    if as_json:
        terminal.print_json(answer)
    else:
        jobs = terminal.counted(answer["jobs"], "open job", "open jobs")
        terminal.output().line(f"{build} has the priority {answer['priority']} now ({jobs}).")


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
        names = ", ".join(answer["jobs"])
        terminal.output().line(f"Running again: {names}. The verdict: mainstay wait {build}")


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
    chosen = [item for item in found["jobs"] if job is None or job in (item["name"], item["key"])]
    if not chosen and job is not None:
        names = ", ".join(item["name"] for item in found["jobs"])
        raise NotFound(f"{build} has no job {job!r}; its jobs are {names or 'none'}.")
    paths = [f"/jobs/{item['id']}/why" for item in chosen] if job else [f"{build_path(build)}/why"]
    events = {event["id"]: event for path in paths for event in server.get(path)["items"]}
    story = [events[number] for number in sorted(events)]
    if as_json:
        terminal.print_json({"items": story, "next": None})
        return
    out = terminal.output()
    for item in chosen if job else [{**found, "name": build}]:
        reason = f": {item['reason']}" if item["reason"] else ""
        out.line(f"{out.state_text(item['state'])}  {out.paint(item['name'], bold=True)}{reason}")
    for line in _story_table(story, {item["id"]: item["name"] for item in found["jobs"]}).lines(out):
        out.line(line)


def _story_table(events: list[Any], names: dict[int, str]) -> Table:
    table = Table(("  WHEN", "WHAT", "JOB", "WHY"), flexible=3)
    for event in events:
        at = terminal.moment(event["at"])
        when = at.astimezone().strftime("%H:%M:%S.%f")[:-3] if at else ""
        by = f" ({event['actor']})" if event.get("actor") else ""
        what = event["kind"].replace(".", " ").replace("-", " ")
        table.rows.append(
            (Painted(f"  {when}", "bright_black"), what, names.get(event["job"], ""), event["cause"] + by)
        )
    return table
