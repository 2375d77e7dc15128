"""The folders of a job that actions may write to, and how paths in their inputs name them."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from mainstay.runner.actions.call import ActionFailed, Call

VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def roots(call: Call) -> dict[str, Path]:
    """The job's own folders by a name that stays the same from job to job."""
    return {"work": call.place.work, "temp": call.temp, "home": call.place.home}


def spelled_out(text: str, home: Path, env: Mapping[str, str]) -> str:
    """A path with `~` and the variables of the job filled in."""
    text = VARIABLE.sub(lambda found: env.get(found[1] or found[2], found[0]), text)
    return f"{home}{text[1:]}" if text == "~" or text.startswith("~/") else text


def placed(call: Call, text: str) -> tuple[str, tuple[str, ...]] | None:
    """Which of the job's folders a path lies in, and the parts below; None: in none of them. Globs are left as is."""
    env = {**call.situation.environment(call.env, {}), "HOME": str(call.place.home)}
    path = os.path.normpath(call.place.work / spelled_out(text, call.place.home, env))
    for name, root in roots(call).items():
        if path == str(root) or path.startswith(f"{root}/"):
            return name, Path(path).relative_to(root).parts
    return None


def inside(call: Call, text: str) -> tuple[Path, tuple[str, ...]]:
    """The same, as a folder to write to. Raises ActionFailed."""
    found = placed(call, text)
    if found is None:
        raise ActionFailed(f"the path {text!r} is neither in the work tree nor in HOME nor in RUNNER_TEMP")
    name, parts = found
    return roots(call)[name], parts
