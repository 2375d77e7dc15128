"""Actions that look a project over with one tool, which uv runs: ruff, black, isort, codespell, typos,
prek, zizmor."""

import shlex
from collections.abc import Sequence

from mainstay.runner.actions.call import ActionFailed, Call


async def ruff(call: Call) -> None:
    """Inputs: args, src, version."""
    await _run(call, "ruff", call.input("version"), _words(call, "args", "check"), _words(call, "src", "."))


async def black(call: Call) -> None:
    """Inputs: options, src, version, black_args, jupyter."""
    package = "black[jupyter]" if call.flag("jupyter", default=False) else "black"
    options = [*_words(call, "options", "--check --diff"), *_words(call, "black_args", "")]
    await _run(call, package, call.input("version"), options, _words(call, "src", "."), program="black")


async def isort(call: Call) -> None:
    """Inputs: configuration, sort-paths, isort-version."""
    options = _words(call, "configuration", "--check-only --diff")
    await _run(call, "isort", call.input("isort-version"), options, _words(call, "sort-paths", "."))


async def codespell(call: Call) -> None:
    """Inputs: path, skip, exclude_file, ignore_words_list, ignore_words_file, check_filenames, check_hidden."""
    options = []
    for name, option in (
        ("skip", "--skip"),
        ("exclude_file", "--exclude-file"),
        ("ignore_words_list", "--ignore-words-list"),
        ("ignore_words_file", "--ignore-words"),
        ("uri_ignore_words_list", "--uri-ignore-words-list"),
    ):
        if call.input(name):
            options += [option, call.input(name)]
    options += ["--check-filenames"] if call.input("check_filenames") else []
    options += ["--check-hidden"] if call.input("check_hidden") else []
    await _run(call, "codespell", "", options, _words(call, "path", "."))


async def typos(call: Call) -> None:
    """Inputs: files, config, isolated, write_changes."""
    options = ["--config", call.input("config")] if call.input("config") else []
    options += ["--isolated"] if call.flag("isolated", default=False) else []
    options += ["--write-changes"] if call.flag("write_changes", default=False) else []
    await _run(call, "typos", "", options, _words(call, "files", "."))


async def prek(call: Call) -> None:
    """Inputs: extra-args, prek-version, install-only."""
    if call.flag("install-only", default=False):
        code = await call.programs.run(["uv", "tool", "install", "--quiet", "--no-config", "prek"], _place(call))
        if code:
            raise ActionFailed("uv could not install prek; its words are above")
        call.situation.add_path(str(call.temp / "tools" / "bin"))
        return
    extra = _words(call, "extra-args", "") or _words(call, "extra_args", "--all-files")
    version = call.input("prek-version")
    version = "" if version.startswith("latest") else version.removeprefix("v")
    await _run(call, "prek", version, ["run", "--show-diff-on-failure", "--color=always"], extra)


async def zizmor(call: Call) -> None:
    """Inputs: inputs, persona, min-severity, min-confidence, config, version, advanced-security (findings fail nothing
    then, as they would go to the forge).
    """
    options = []
    for name in ("persona", "min-severity", "min-confidence", "config"):
        options += [f"--{name}", call.input(name)] if call.input(name) else []
    version = call.input("version").removeprefix("v")
    try:
        await _run(call, "zizmor", version, ["--offline", *options], _words(call, "inputs", "."))
    except ActionFailed as failed:
        if not call.flag("advanced-security", default=True):
            raise
        call.warn(f"{failed.message}; its findings are in the log")


def _place(call: Call) -> dict[str, str]:
    home = call.temp / "tools"
    return {"UV_TOOL_DIR": str(home), "UV_TOOL_BIN_DIR": str(home / "bin")}


def _words(call: Call, name: str, default: str) -> list[str]:
    try:
        return shlex.split(call.input(name, default))
    except ValueError as error:
        raise ActionFailed(f"the input {name} cannot be read: {error}") from None


async def _run(
    call: Call, package: str, version: str, options: Sequence[str], places: Sequence[str], program: str | None = None
) -> None:
    plain = version.lstrip("~=v") if version[:1] in "~=v" else version
    source = package if plain in ("", "latest") else f"{package}{plain if plain[0] in '<>!' else f'=={plain}'}"
    name = program or package
    code = await call.programs.run(["uvx", "--no-config", "--from", source, name, *options, *places])
    if code:
        raise ActionFailed(f"{name} ended with {code}")
