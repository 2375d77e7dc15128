"""`pre-commit/action`: pre-commit itself, run by uv."""

import shlex

from mainstay.runner.actions.call import ActionFailed, Call


async def pre_commit(call: Call) -> None:
    """Input: extra_args (default `--all-files`)."""
    try:
        extra = shlex.split(call.input("extra_args", "--all-files"))
    except ValueError as error:
        raise ActionFailed(f"extra_args cannot be read: {error}") from None
    command = ["uvx", "pre-commit", "run", "--show-diff-on-failure", "--color=always", *extra]
    code = await call.programs.run(command)
    if code:
        raise ActionFailed(f"pre-commit ended with {code}")
