"""The command `mainstay`: which commands there are, where each lives, and how an error becomes words and an exit code.

A command's module is imported only when that command is run or asked for help: `mainstay --help` must not pay for a web
framework. So the table below repeats each command's first sentence; a test keeps the two the same.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from gettext import gettext
from typing import NamedTuple

import click

from mainstay import __version__
from mainstay.model.errors import MainstayError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


class Entry(NamedTuple):
    """Where a command lives, under which heading it stands, and what it does."""

    place: str
    heading: str
    summary: str


RUN, WATCH, WORK, TEND = "Run Mainstay", "Watch repositories", "Builds and tests", "Look after it"

COMMANDS = {
    "up": Entry("serve:up", RUN, "Start the server and its local runners in one."),
    "server": Entry("serve:server", RUN, "Start a server by itself."),
    "runner": Entry("serve:runner", RUN, "Start a runner that takes jobs from a server."),
    "run": Entry("local:run", RUN, "Run a workflow here and now, without a server."),
    "check": Entry("local:check", RUN, "Say what of a repository's workflows runs here, and what does not."),
    "repo": Entry("repositories:repo", WATCH, "Watch repositories: add, list, show, set, remove, key, webhook."),
    "secret": Entry("secrets:secret", WATCH, "Secrets that jobs are given: set, list, remove."),
    "variable": Entry("secrets:variable", WATCH, "Variables that jobs are given: set, list, remove."),
    "notify": Entry("notify:notify", WATCH, "Say where reports go: to channels of a repository, and to you."),
    "builds": Entry("builds:builds", WORK, "List builds, newest first."),
    "show": Entry("builds:show", WORK, "Show one build with its jobs, attempts, steps and tests."),
    "logs": Entry("logs:logs", WORK, "Print a build's log as it was printed."),
    "wait": Entry("wait:wait", WORK, "Wait for the verdict of a build or a commit."),
    "start": Entry("starts:start", WORK, "Start a workflow by hand."),
    "cancel": Entry("builds:cancel", WORK, "Cancel a build, or one of its jobs."),
    "prioritise": Entry("builds:prioritise", WORK, "Let a build go before or after others of its repository."),
    "rerun": Entry("builds:rerun", WORK, "Run a build again: all of it, what failed, or one job."),
    "why": Entry("builds:why", WORK, "Tell the story of a build's states, each with its cause."),
    "tests": Entry("tests:tests", WORK, "List a repository's tests with history, duration and flakiness."),
    "split": Entry("split:split", WORK, "Print the tests or files of one shard, divided by measured durations."),
    "culprits": Entry("culprits:culprits", WORK, "Tell who broke a repository's branches, newest first."),
    "runners": Entry("runners:runners", TEND, "List runners with labels, load and last contact."),
    "labels": Entry("labels:labels", TEND, "Show what `runs-on` means here: set, remove, reset."),
    "runner-token": Entry(
        "runners:runner_token", TEND, "Make a token with which a runner enrols; list and revoke those there are."
    ),
    "people": Entry("people:people", TEND, "Let people in: add, list, show, set, remove, link."),
    "token": Entry("tokens:token", TEND, "Make API tokens: create, list, revoke."),
    "audit": Entry("people:audit", TEND, "List who changed what, when and from where; newest first."),
    "doctor": Entry("doctor:doctor", TEND, "Look whether this machine and the data folder are in order."),
    "backup": Entry("data:backup", TEND, "Write all data into one file, while the server runs."),
    "reseal": Entry("resealing:reseal", TEND, "Seal all secrets with a new key, while no server runs."),
    "restore": Entry("data:restore", TEND, "Fill an empty data folder from a backup."),
}


class LazyCommands(click.Group):
    """The commands of the table, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, name = entry.place.partition(":")
        command = getattr(importlib.import_module(f"mainstay.cli.{module}"), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"mainstay.cli.{entry.place} is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The named command. A group of click's own says which one was meant; it does not know of this table."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            import difflib  # noqa: PLC0415  (start-up time: most command lines are typed well)

            if near := difflib.get_close_matches(name, COMMANDS, n=1):
                ctx.fail(f"No such command {name!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        widest = max(map(len, COMMANDS))
        for heading in dict.fromkeys(entry.heading for entry in COMMANDS.values()):
            with formatter.section(gettext(heading)):
                rows = [
                    (name.ljust(widest), entry.summary) for name, entry in COMMANDS.items() if entry.heading == heading
                ]
                formatter.write_dl(rows)


@click.command(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mainstay")
def mainstay() -> None:
    """Mainstay tests every commit on real runners and keeps the main branch standing.

    Begin with `mainstay up`, then `mainstay repo add NAME URL`. Each command tells more with --help.

    Exit codes: 0 done or passed, 1 failed, 2 wrong usage, 3 server not reached, 4 not allowed, 5 not found,
    124 --timeout ran out.
    """


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line and return its exit code. Everything that can be refused ends here as one message."""
    try:
        outcome = mainstay.main(list(arguments), prog_name="mainstay", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except MainstayError as error:
        from mainstay.cli import terminal  # noqa: PLC0415 - start-up time, for what is told once at the end

        # Names that others chose stand in such messages.
        terminal.messages().line(f"mainstay: {error.message}")
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("mainstay: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`head`, say) has seen enough. Python would complain once more when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return outcome if isinstance(outcome, int) else 0


def main() -> None:
    """Entry point of the program."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
