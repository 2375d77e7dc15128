"""Actions that bring a tool: Poetry, PDM, Hatch, nox, just. `uv tool install` puts it on the job's PATH, for this job
only."""

import re

from mainstay.runner.actions.call import ActionFailed, Call
from mainstay.runner.actions.setup_python import setup_python

VERSION = re.compile(r"[0-9][0-9A-Za-z.+!-]*\Z")
CONSTRAINT = re.compile(r"[<>=!~0-9][<>=!~0-9A-Za-z.*+, -]*\Z")
POETRY_SETTINGS = {
    "virtualenvs-create": "POETRY_VIRTUALENVS_CREATE",
    "virtualenvs-in-project": "POETRY_VIRTUALENVS_IN_PROJECT",
    "virtualenvs-path": "POETRY_VIRTUALENVS_PATH",
    "installer-parallel": "POETRY_INSTALLER_PARALLEL",
}


async def poetry(call: Call) -> None:
    """Inputs: version or poetry-version, plugins or poetry-plugins, virtualenvs-create, -in-project, -path,
    installer-parallel.
    """
    version = call.input("version") or call.input("poetry-version")
    plugins = (call.input("plugins") or call.input("poetry-plugins")).split()
    await _install(call, "poetry", version, beside=plugins)
    for name, variable in POETRY_SETTINGS.items():
        value = call.input(name)
        if value:
            call.situation.env[variable] = value


async def pdm(call: Call) -> None:
    """Inputs: version; and those of setup-python. Outputs: those of setup-python, pdm-version, pdm-bin."""
    version = call.input("version")
    await setup_python(call)
    await _install(call, "pdm", version)
    code, text = await call.programs.read(["pdm", "--version"], cwd=call.temp)
    found = text.split()[-1] if not code and text.split() else ""
    call.outputs.update({"pdm-version": found, "pdm-bin": str(call.temp / "tools" / "bin" / "pdm")})


async def hatch(call: Call) -> None:
    """Input: version."""
    await _install(call, "hatch", call.input("version"))


async def nox(call: Call) -> None:
    """Input: python-versions (with commas): the interpreters that sessions find, the last one is `python`."""
    asked = [each.strip() for each in call.input("python-versions").split(",") if each.strip()]
    if asked:
        usable = [each for each in asked if not each.startswith(("pypy", "graalpy"))]
        for each in asked:
            if each not in usable:
                call.warn(f"{each} is left out: only CPython is available here")
        call.inputs = {**call.inputs, "python-version": "\n".join(usable), "allow-prereleases": "true"}
        await setup_python(call)
    await _install(call, "nox", "", beside=["uv"])


async def just(call: Call) -> None:
    """Input: just-version."""
    await _install(call, "rust-just", call.input("just-version"))


async def requirements(call: Call) -> None:
    """Inputs: path, update-pip, update-setuptools, update-wheel."""
    newest = [name for name in ("pip", "setuptools", "wheel") if call.flag(f"update-{name}", default=True)]
    path = call.input("path", "requirements.txt")
    for words in (["--upgrade", *newest] if newest else [], ["-r", path]):
        if words and await call.programs.run(["python", "-m", "pip", "install", *words]):
            raise ActionFailed(f"pip install {' '.join(words)} failed; its words are above")


async def _install(call: Call, package: str, version: str, beside: list[str] | None = None) -> None:
    """Raises ActionFailed."""
    version = "" if version in ("latest", "*", "main", "head") else version
    if version and not CONSTRAINT.match(version):
        raise ActionFailed(f"{version!r} is not a version of {package}: write 1.2.3, or a constraint such as >=1.2,<2")
    wanted = package + (f"=={version}" if VERSION.match(version) else version)
    home = call.temp / "tools"
    env = {"UV_TOOL_DIR": str(home), "UV_TOOL_BIN_DIR": str(home / "bin")}
    more = [word for each in beside or () for word in ("--with", each)]
    code = await call.programs.run(
        ["uv", "tool", "install", "--quiet", "--force", "--no-config", *more, wanted], env, call.temp
    )
    if code:
        raise ActionFailed(f"uv could not install {wanted}; its words are above")
    call.situation.add_path(str(home / "bin"))
    await call.say(f"{wanted} is installed for this job")
