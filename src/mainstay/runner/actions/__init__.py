"""The built-in replacements of actions: what `uses:` stands for here. Nothing is fetched or run from elsewhere."""

from mainstay.runner.actions import (
    alls_green,
    artifacts,
    cache,
    checkout,
    coverage,
    download,
    paths_filter,
    pre_commit,
    setup_node,
    setup_python,
    setup_uv,
)
from mainstay.runner.actions.call import Action
from mainstay.workflow.actions import action_name, advice

REPLACED: dict[str, Action] = {
    "actions/cache": cache.cache,
    "actions/cache/restore": cache.restore,
    "actions/cache/save": cache.save,
    "actions/checkout": checkout.checkout,
    "actions/setup-python": setup_python.setup_python,
    "astral-sh/setup-uv": setup_uv.setup_uv,
    "hynek/setup-cached-uv": setup_uv.setup_uv,
    "actions/setup-node": setup_node.setup_node,
    "actions/download-artifact": download.download,
    "actions/upload-artifact": artifacts.upload,
    "codecov/codecov-action": coverage.keep_coverage,
    "coverallsapp/github-action": coverage.keep_coverage,
    "dorny/paths-filter": paths_filter.paths_filter,
    "pre-commit/action": pre_commit.pre_commit,
    "re-actors/alls-green": alls_green.alls_green,
}
"""By name in lower case, without `@version`."""


def find(uses: str) -> Action | None:
    """The replacement of `owner/name@ref` or `owner/name/path@ref`."""
    return REPLACED.get(action_name(uses))


def refusal(uses: str) -> str:
    """Why an action does not run here, and what to write instead."""
    if uses.startswith("docker://"):
        return f"{uses} is a container action; those are not run: write the command as a run step"
    return f"the action {uses} does not run here, and nothing is fetched from elsewhere to run it: {advice(uses)}"
