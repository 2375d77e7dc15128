"""`actions/setup-python`: an interpreter of the machine, found by uv, pyenv or PATH, in an environment of its own.

Nothing is downloaded unless uv is there and may (UV_PYTHON_DOWNLOADS): then it fetches what the machine does not have.
"""

import asyncio
import json
import os
import re
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from mainstay.runner import below
from mainstay.runner.actions import versions
from mainstay.runner.actions.call import ActionFailed, Call, NotHere
from mainstay.runner.actions.versions import Version, Wanted
from mainstay.runner.environment import ARCHITECTURES

DESCRIBE = (
    "import sys,sysconfig,platform;print(platform.python_version(),platform.python_implementation(),"
    "int(bool(sysconfig.get_config_var('Py_GIL_DISABLED'))))"
)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python on this machine."""

    path: Path
    version: Version
    prerelease: bool
    freethreaded: bool


async def setup_python(call: Call) -> None:
    """Inputs: python-version (a list: the last one is `python`), python-version-file, architecture, cache.

    Outputs: python-version, python-path, cache-hit.
    """
    architecture = call.input("architecture", "").upper()
    here = str(call.situation.contexts["runner"]["arch"])
    if architecture and ARCHITECTURES.get(architecture.lower(), architecture) != here:
        raise NotHere(f"this runner has Python for {here}, not for {architecture}")
    asked = _asked(call)
    found: list[Interpreter] = []
    machine = await _interpreters(call)
    for text in asked:
        try:
            found.append(await _chosen(call, text, machine))
        except NotHere as missing:
            if len(asked) == 1:
                raise
            # Of a list, for tools that choose among them, those that are there are of use without the others.
            call.warn(f"{missing}. The others of the list are set up")
    if not found:
        raise NotHere(f"none of {', '.join(asked)} is available on this runner. {_advice()}")
    await _use(call, found)


async def _chosen(call: Call, text: str, machine: list[Interpreter]) -> Interpreter:
    """The interpreter for one version, fetched if need be. Raises NotHere; ActionFailed for what makes no sense."""
    each = versions.parse(text)
    prereleases = each.prereleases or call.flag("allow-prereleases", default=False)
    chosen = _best(machine, each, prereleases=prereleases) or await _fetched(call, each)
    if chosen is None:
        have = ", ".join(sorted({_text(one.version) for one in machine}, key=_sort_key)) or "none"
        raise NotHere(f"Python {each.text} is not available on this runner; it has {have}. {_advice()}")
    return chosen


def _asked(call: Call) -> list[str]:
    text = call.inputs.get("python-version", "")
    asked = [line.strip() for line in text.splitlines() if line.strip()]
    if asked:
        return asked
    name = call.input("python-version-file")
    if name:
        return [_from_file(call.place.work, name)]
    if (call.place.work / ".python-version").is_file():
        return [_from_file(call.place.work, ".python-version")]
    call.warn("neither python-version nor python-version-file is given: any Python 3 is used")
    return ["3.x"]


def _from_file(work: Path, name: str) -> str:
    path = work / name
    try:
        text = below.text(work, path)
    except (OSError, ValueError) as error:
        raise ActionFailed(f"the python-version-file {name} cannot be read: {error}") from None
    if path.suffix == ".toml":
        try:
            document = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ActionFailed(f"{name} is not TOML: {error}") from None
        value = _in(document, "project", "requires-python") or _in(document, "tool", "poetry", "dependencies", "python")
        if not isinstance(value, str):
            raise ActionFailed(f"{name} has no requires-python")
        return value
    if path.name == ".tool-versions":
        text = next((line.split()[1] for line in text.splitlines() if re.match(r"python\s+\S", line)), "")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise ActionFailed(f"{name} names no version of Python")
    return lines[0].removeprefix("python-").removeprefix("cpython-")


def _in(document: object, *keys: str) -> object:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


async def _interpreters(call: Call) -> list[Interpreter]:
    """Every CPython of the machine: uv's list where there is uv, pyenv's versions, and what is on PATH."""
    places: dict[Path, None] = {}
    if call.programs.find("uv"):
        command = ["uv", "python", "list", "--only-installed", "--output-format", "json", "--no-config"]
        code, text = await call.programs.read(command, cwd=call.temp)
        if code == 0:
            places.update(_from_uv(text))
    places.update(dict.fromkeys(map(Path, await call.programs.pythons())))
    found: dict[Path, Interpreter] = {}
    for place in places:
        real = place.resolve()
        if real in found:
            continue
        code, text = await call.programs.read([str(place), "-I", "-c", DESCRIBE], cwd=call.temp)
        words = text.split()
        version = versions.exact(words[0]) if code == 0 and len(words) == 3 and words[1] == "CPython" else None
        if version is not None:
            found[real] = Interpreter(place, version[0], version[1], words[2] == "1")
    return list(found.values())


def _from_uv(text: str) -> dict[Path, None]:
    try:
        entries = json.loads(text)
    except ValueError:
        return {}
    return {
        Path(entry["path"]): None
        for entry in entries
        if isinstance(entry, dict) and entry.get("path") and entry.get("implementation") == "cpython"
    }


def _best(machine: list[Interpreter], wanted: Wanted, *, prereleases: bool) -> Interpreter | None:
    """The newest that fits."""
    fitting = [
        each
        for each in machine
        if wanted.fits(each.version)
        and each.freethreaded == wanted.freethreaded
        and (prereleases or not each.prerelease)
    ]
    return max(fitting, key=lambda each: (not each.prerelease, each.version), default=None)


async def _fetched(call: Call, wanted: Wanted) -> Interpreter | None:
    """What uv can bring, where the machine's owner lets it."""
    plain = re.fullmatch(r"3\.\d+(?:\.\d+)?t?", wanted.text)
    if not plain or not call.programs.find("uv") or os.environ.get("UV_PYTHON_DOWNLOADS") == "never":
        return None
    code = await call.programs.run(["uv", "python", "install", "--no-config", "--no-bin", wanted.text], cwd=call.temp)
    if code:
        return None
    code, text = await call.programs.read(["uv", "python", "find", "--no-config", wanted.text], cwd=call.temp)
    path = Path(text.strip())
    if code:
        return None
    code, text = await call.programs.read([str(path), "-I", "-c", DESCRIBE], cwd=call.temp)
    version = versions.exact(text.split()[0]) if code == 0 and text.split() else None
    return Interpreter(path, version[0], version[1], wanted.freethreaded) if version else None


async def _use(call: Call, found: list[Interpreter]) -> None:
    """Make an environment for each, on PATH so that the last one is `python`; the others answer to `python3.N`."""
    names = []
    for interpreter in found:
        folder = call.temp / f"python-{_text(interpreter.version)}{'t' * interpreter.freethreaded}"
        if not folder.exists():
            await _make(call, interpreter, folder)
        call.situation.add_path(str(folder / "bin"))
        names.append(_text(interpreter.version))
    last, folder = found[-1], call.temp / f"python-{names[-1]}{'t' * found[-1].freethreaded}"
    call.situation.env.update(pythonLocation=str(folder), Python_ROOT_DIR=str(folder), Python3_ROOT_DIR=str(folder))
    call.situation.env["UV_PYTHON"] = str(folder / "bin" / "python")
    call.outputs.update(
        {"python-version": names[-1], "python-path": str(folder / "bin" / "python"), "cache-hit": "false"}
    )
    await call.say(f"Python {', '.join(names)} is set up, from {last.path}")


async def _make(call: Call, interpreter: Interpreter, folder: Path) -> None:
    """A virtual environment with pip in it; not activated, so that tools see a plain Python."""
    if call.programs.find("uv"):
        command = ["uv", "venv", "--quiet", "--seed", "--no-config", "--no-project", "--python", str(interpreter.path)]
        code = await call.programs.run([*command, str(folder)], cwd=call.temp)
        if code == 0:
            return
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    code = await call.programs.run([str(interpreter.path), "-m", "venv", str(folder)], cwd=call.temp)
    if code:
        raise ActionFailed(f"no environment could be made with {interpreter.path}: python -m venv ended with {code}")


def _advice() -> str:
    return "Install it on the runner's machine (with uv python install or pyenv), or take the version out of the matrix"


def _text(version: Version) -> str:
    return ".".join(map(str, version))


def _sort_key(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]
