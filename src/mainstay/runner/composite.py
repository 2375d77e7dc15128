"""Local composite actions (`uses: ./folder`): found in the work tree, read, and given inputs of their own."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mainstay.model.plan import Json
from mainstay.runner import below
from mainstay.runner.actions.call import ActionFailed
from mainstay.runner.rendering import Rendering
from mainstay.runner.situation import Situation
from mainstay.workflow.composite import FILES, CompositeAction, read_action

MAX_BYTES = 1 << 20
MAX_LEVELS = 10


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a composite action."""

    action: CompositeAction
    situation: Situation
    """What its steps see."""
    given: Mapping[str, str]
    inputs: dict[str, Json]
    """The `inputs` context of its steps, filled by `set_inputs`."""

    async def set_inputs(self, rendering: Rendering) -> None:
        """What was given, else the defaults; names without regard to case."""
        given = {name.lower(): value for name, value in self.given.items()}
        for name, declared in self.action.inputs.items():
            value = given.get(name.lower())
            if value is None and declared.default is not None:
                value = await rendering.text(declared.default, self.situation.scope())
            self.inputs[name] = value or ""


def open_action(
    uses: str, given: Mapping[str, str], env: Mapping[str, str], work: Path, situation: Situation, label: str
) -> Use:
    """Read the action. Raises ActionFailed when it is not there, is not composite, or uses itself without end."""
    if label.count("-") >= MAX_LEVELS:
        raise ActionFailed(f"{uses}: local actions use each other more than {MAX_LEVELS} levels deep")
    top = work.resolve()
    folder = (top / uses).resolve()
    if not folder.is_relative_to(top):
        raise ActionFailed(f"{uses} leads out of the repository")
    for name in FILES:
        path = (folder / name).resolve()
        if not path.is_file() or not path.is_relative_to(top):
            continue
        try:
            with below.opened(top, path) as fd, os.fdopen(os.dup(fd), "rb") as file:
                data = file.read(MAX_BYTES)
        except OSError as error:
            raise ActionFailed(f"{uses}/{name} cannot be read: {error.strerror}") from None
        action = read_action(str(path.relative_to(top)), data)
        errors = [str(problem) for problem in action.problems if problem.severity == "error"]
        if errors:
            raise ActionFailed("\n".join(errors[:5]))
        inputs: dict[str, Json] = {}
        return Use(action, situation.within_action(inputs, env, str(folder)), given, inputs)
    raise ActionFailed(
        f"there is no {uses}/action.yml in the work tree; a checkout of another folder comes before its use"
    )
