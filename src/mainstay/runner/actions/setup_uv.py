"""`astral-sh/setup-uv`: uv is a part of every runner, so there is little left to do."""

import re
import shutil

from mainstay.runner.actions.call import ActionFailed, Call


async def setup_uv(call: Call) -> None:
    """Inputs: version (checked against what is here), python-version, activate-environment, working-directory.

    Outputs: uv-version, uv-path, uvx-path, cache-hit, venv.
    """
    place = shutil.which("uv", path=call.path())
    if place is None:
        raise ActionFailed("there is no uv on this runner; install the runner with its package uv")
    code, text = await call.programs.read(["uv", "--version"], cwd=call.temp)
    version = text.split()[1] if code == 0 and len(text.split()) > 1 else ""
    wanted = call.input("version", "latest")
    if re.fullmatch(r"\d+\.\d+\.\d+", wanted) and wanted != version:
        call.warn(f"uv {wanted} was asked for; this runner has {version}, which is used")
    python = call.input("python-version")
    if python:
        call.situation.env["UV_PYTHON"] = python
    if call.flag("activate-environment", default=False):
        venv = call.temp / "uv-venv"
        pick = ["--python", python] if python else []
        if await call.programs.run(["uv", "venv", "--quiet", "--no-project", *pick, str(venv)]):
            raise ActionFailed("uv venv failed; its words are above")
        call.situation.env["VIRTUAL_ENV"] = str(venv)
        call.situation.add_path(str(venv / "bin"))
        call.outputs["venv"] = str(venv)
    call.outputs.update({"uv-version": version, "uv-path": place, "uvx-path": f"{place}x", "cache-hit": "true"})
    await call.say(f"uv {version} is here already")
