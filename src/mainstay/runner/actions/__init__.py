"""The built-in replacements of actions: what `uses:` stands for here. Nothing is fetched or run from elsewhere."""

from mainstay.runner.actions import artifacts, checkout, setup_python, setup_uv
from mainstay.runner.actions.call import Action

REPLACED: dict[str, Action] = {
    "actions/checkout": checkout.checkout,
    "actions/setup-python": setup_python.setup_python,
    "astral-sh/setup-uv": setup_uv.setup_uv,
    "actions/upload-artifact": artifacts.upload,
}
"""By name in lower case, without `@version`."""

INSTEAD: dict[str, str] = {
    "actions/cache": "remove the step: the package caches of pip and uv are shared by the jobs of a runner anyway",
    "actions/setup-node": "remove the step if the node on the runner's machine will do",
    "actions/github-script": "write the script as a run step",
    "actions/download-artifact": "fetch what you need in a run step; artifacts of other jobs cannot be read yet",
    "codecov/codecov-action": "remove the step; the coverage report can be kept with actions/upload-artifact",
    "coverallsapp/github-action": "remove the step; the coverage report can be kept with actions/upload-artifact",
    "pre-commit/action": "write `run: uvx pre-commit run --all-files`",
    "pypa/gh-action-pypi-publish": "write `run: uv publish` with a token from the secrets",
    "docker/build-push-action": "write the docker or podman command as a run step",
}


def find(uses: str) -> Action | None:
    """The replacement of `owner/name@ref` or `owner/name/path@ref`."""
    return REPLACED.get(_name(uses))


def refusal(uses: str) -> str:
    """Why an action does not run here, and what to write instead."""
    name = _name(uses)
    if name.startswith("./"):
        return f"{uses} is a local action; those do not run here yet: write its steps into the job"
    if name.startswith("docker://"):
        return f"{uses} is a container action; those do not run here: write the command as a run step"
    instead = INSTEAD.get(name, "write the commands it stands for as a run step")
    return f"the action {uses} does not run here, and nothing is fetched from elsewhere to run it: {instead}"


def _name(uses: str) -> str:
    return uses.partition("@")[0].strip().lower()
