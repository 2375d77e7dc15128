"""Which actions run here: the one table of those that are replaced by our own, and advice for some that are not.

`mainstay check` reads it to tell people, the runner's registry is tested against it to keep the promise.
"""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Replacement:
    """An action that is not fetched: the runner does the same by itself, with the same inputs and outputs."""

    name: str
    """`owner/name`, with a path where it has one; lower case."""
    by: str
    """What happens in its place, for people."""


def _table(*lines: Replacement) -> MappingProxyType[str, Replacement]:
    return MappingProxyType({line.name: line for line in lines})


REPLACED = _table(
    Replacement("actions/checkout", "the commit is already there; other refs, paths and submodules come from git"),
    Replacement("actions/setup-python", "Python from uv or from the runner's own interpreters"),
    Replacement("astral-sh/setup-uv", "the runner's own uv"),
    Replacement("hynek/setup-cached-uv", "the runner's own uv, whose cache its jobs share"),
    Replacement("actions/cache", "the caches of this server: this branch's, then the default branch's"),
    Replacement("actions/cache/save", "the caches of this server; builds that are not trusted keep none"),
    Replacement("actions/cache/restore", "the caches of this server: this branch's, then the default branch's"),
    Replacement("actions/upload-artifact", "the artifacts of this server"),
    Replacement("actions/download-artifact", "the artifacts of the same build, from this server"),
    Replacement("codecov/codecov-action", "the report is kept here as a coverage artifact, nothing is sent away"),
    Replacement("coverallsapp/github-action", "the report is kept here as a coverage artifact, nothing is sent away"),
    Replacement("re-actors/alls-green", "the same decision over the results of the needed jobs"),
    Replacement("dorny/paths-filter", "the same filters over the files that git shows as changed"),
    Replacement("actions/setup-node", "the Node.js of the runner's machine"),
    Replacement("pre-commit/action", "pre-commit run by uv"),
)

ADVICE = MappingProxyType(
    {
        "actions/github-script": "call the forge's API from a script of your own (run:)",
        "pypa/gh-action-pypi-publish": "run: uv publish",
        "pypa/cibuildwheel": "run: uvx cibuildwheel",
        "hynek/build-and-inspect-python-package": "run: uv build && uvx twine check dist/*",
        "astral-sh/ruff-action": "run: uvx ruff check",
        "chartboost/ruff-action": "run: uvx ruff check",
        "psf/black": "run: uvx black --check .",
        "snok/install-poetry": "run: uv tool install poetry",
        "abatilo/actions-poetry": "run: uv tool install poetry",
        "pdm-project/setup-pdm": "use actions/setup-python and run: uv tool install pdm",
        "pypa/hatch": "run: uv tool install hatch",
        "wntrblm/nox": "run: uvx nox",
        "excitedleigh/setup-nox": "run: uvx nox",
        "extractions/setup-just": "run: uv tool install rust-just",
        "docker/build-push-action": "run: docker build ...",
        "docker/setup-buildx-action": "leave it out: docker build brings buildx",
        "docker/login-action": "run: docker login ... with the password on standard input",
        "andremiras/coveralls-python-action": "use coverallsapp/github-action",
        "tj-actions/changed-files": "use dorny/paths-filter",
        "zizmorcore/zizmor-action": "run: uvx zizmor .",
        "github/codeql-action/autobuild": "leave this workflow to the forge",
        "github/codeql-action/upload-sarif": "keep the file with actions/upload-artifact",
        "github/codeql-action/init": "leave this workflow to the forge",
        "github/codeql-action/analyze": "leave this workflow to the forge",
    }
)
"""What to write instead of actions that do not run here."""

GENERAL_ADVICE = (
    "write what it does as a run step, or copy it into the repository as a composite action (uses: ./folder)"
)


def action_name(uses: str) -> str:
    """`owner/name` (with its path), in lower case, of `owner/name@version`."""
    return uses.partition("@")[0].strip().strip("/").lower()


def replacement(uses: str) -> Replacement | None:
    """What stands in for a remote action, whatever its version; None: it does not run here."""
    return REPLACED.get(action_name(uses))


def advice(uses: str) -> str:
    """What to write instead of an action that does not run."""
    return ADVICE.get(action_name(uses), GENERAL_ADVICE)
