"""The built-in replacements of actions: what `uses:` stands for here. Nothing is fetched or run from elsewhere."""

from mainstay.runner.actions import (
    alls_green,
    artifacts,
    build_package,
    cache,
    changed_files,
    checkout,
    coverage,
    download,
    linters,
    merge,
    nothing,
    on_machine,
    pages,
    paths_filter,
    pre_commit,
    setup_node,
    setup_python,
    setup_uv,
    tools,
)
from mainstay.runner.actions.call import Action
from mainstay.workflow.actions import IDLE, action_name, advice

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
    "actions/upload-artifact/merge": merge.merge,
    "codecov/codecov-action": coverage.keep_coverage,
    "coverallsapp/github-action": coverage.keep_coverage,
    "dorny/paths-filter": paths_filter.paths_filter,
    "tj-actions/changed-files": changed_files.changed_files,
    "pre-commit/action": pre_commit.pre_commit,
    "tox-dev/action-pre-commit-uv": pre_commit.pre_commit,
    "py-actions/py-dependency-install": tools.requirements,
    "re-actors/alls-green": alls_green.alls_green,
    "j178/prek-action": linters.prek,
    "deadsnakes/action": setup_python.setup_python,
    "hynek/build-and-inspect-python-package": build_package.build_package,
    "snok/install-poetry": tools.poetry,
    "abatilo/actions-poetry": tools.poetry,
    "pdm-project/setup-pdm": tools.pdm,
    "pypa/hatch": tools.hatch,
    "wntrblm/nox": tools.nox,
    "excitedleigh/setup-nox": tools.nox,
    "extractions/setup-just": tools.just,
    "astral-sh/ruff-action": linters.ruff,
    "chartboost/ruff-action": linters.ruff,
    "psf/black": linters.black,
    "isort/isort-action": linters.isort,
    "codespell-project/actions-codespell": linters.codespell,
    "crate-ci/typos": linters.typos,
    "zizmorcore/zizmor-action": linters.zizmor,
    "andremiras/coveralls-python-action": coverage.keep_coverage,
    "actions/upload-pages-artifact": pages.keep_site,
    "actions/setup-go": on_machine.go,
    "actions/setup-java": on_machine.java,
    "dtolnay/rust-toolchain": on_machine.rust,
    "actions-rs/toolchain": on_machine.rust,
    "actions-rust-lang/setup-rust-toolchain": on_machine.rust,
}
"""By name in lower case, without `@version`."""


def find(uses: str) -> Action | None:
    """The replacement of `owner/name@ref` or `owner/name/path@ref`."""
    name = action_name(uses)
    return nothing.nothing if name in IDLE else REPLACED.get(name)


def refusal(uses: str) -> str:
    """Why an action does not run here, and what to write instead."""
    if uses.startswith("docker://"):
        return f"{uses} is a container action; those are not run: write the command as a run step"
    return f"the action {uses} does not run here, and nothing is fetched from elsewhere to run it: {advice(uses)}"
