"""`astral-sh/setup-uv`: uv is a part of every runner, so there is little left to do."""

import os
import re

from mainstay.runner.actions.call import ActionFailed, Call, NotHere


async def setup_uv(call: Call) -> None:
    """Inputs: version (checked against what is here), python-version, activate-environment, working-directory.

    Outputs: uv-version, uv-path, uvx-path, cache-hit, venv.
    """
    place = call.programs.find("uv")
    if place is None:
        raise ActionFailed("there is no uv on this runner; install the runner with its package uv")
    code, text = await call.programs.read(["uv", "--version"], cwd=call.temp)
    version = text.split()[1] if code == 0 and len(text.split()) > 1 else ""
    wanted = call.input("version", "latest")
    if re.fullmatch(r"\d+\.\d+\.\d+", wanted) and wanted != version:
        call.warn(f"uv {wanted} was asked for; this runner has {version}, which is used")
    python = call.input("python-version")
    if python:
        await _look_for(call, python)
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


async def _look_for(call: Call, python: str) -> None:
    """See to it that uv has this Python. Raises NotHere: neither the machine has it, nor can uv fetch it."""
    code, _ = await call.programs.read(["uv", "python", "find", "--no-project", "--no-config", python], cwd=call.temp)
    if code == 0:
        return
    may_fetch = os.environ.get("UV_PYTHON_DOWNLOADS") != "never"
    if may_fetch and not await call.programs.run(["uv", "python", "install", "--no-bin", python], cwd=call.temp):
        return
    raise NotHere(
        f"Python {python} is not on this machine, and uv could not fetch it. Install it there (with pyenv or uv), or "
        "take the version out of the matrix"
    )
