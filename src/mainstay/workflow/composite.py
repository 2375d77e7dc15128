"""Local composite actions: `action.yml` bytes -> inputs, outputs and steps, with all of its problems."""

from dataclasses import dataclass, field
from functools import lru_cache

from mainstay.model.plan import Problem, Step
from mainstay.workflow import yaml
from mainstay.workflow.problems import Problems
from mainstay.workflow.reading import Reading
from mainstay.workflow.steps import COMPOSITE, read_steps
from mainstay.workflow.yaml import Node, Scalar

FILES = ("action.yml", "action.yaml")
"""What an action's file is called, in its folder; the first that is there counts."""
KEYS = ("name", "author", "description", "inputs", "outputs", "runs", "branding")


@dataclass(frozen=True, slots=True)
class ActionInput:
    """One declared input. All values are texts."""

    default: str | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class CompositeAction:
    """An action that is steps. With an error among its problems it has none."""

    name: str
    inputs: dict[str, ActionInput] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    """Templates over the action's own `steps`."""
    steps: tuple[Step, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def broken(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)


@lru_cache(maxsize=64)
def read_action(path: str, data: bytes) -> CompositeAction:
    """Read an action's file. Never raises; an action of another kind than composite is an error among the problems."""
    try:
        document = yaml.parse(yaml.read_text(data))
    except yaml.BrokenYaml as error:
        lines = data[: yaml.MAX_BYTES].decode("utf-8", "replace").splitlines()
        problems = Problems(path, lines)
        problems.add("error", error.message, error.line, error.column)
        return CompositeAction(path, problems=problems.all())
    problems = Problems(path, document.lines)
    for second, first in document.doubles:
        problems.error(second, f'the key "{second.text[:80]}" stands twice (first in line {first.line})')
    reading = Reading(problems, ours=False)
    found = reading.mapping(document.root, "an action", KEYS)
    entries = found.entries if found is not None else {}
    name = entries.get("name")
    runs = entries.get("runs")
    if found is not None and runs is None:
        problems.error(found, 'the key "runs" is missing')
    steps = _steps(reading, runs) if runs is not None else ()
    inputs, outputs = _inputs(reading, entries.get("inputs")), _outputs(reading, entries.get("outputs"))
    return CompositeAction(
        name=name.text if isinstance(name, Scalar) else path,
        inputs=inputs,
        outputs=outputs,
        steps=() if problems.failed else steps,
        problems=problems.all(),
    )


def _steps(reading: Reading, node: Node) -> tuple[Step, ...]:
    found = reading.mapping(node, '"runs"')
    if found is None:
        return ()
    using = reading.text(found.entries.get("using"), '"using"')
    if using != "composite":
        message = (
            f'only composite actions are run, and this one is "{using or ""}"; write it as steps (using: composite)'
        )
        reading.problems.error(found.entries.get("using", node), message)
        return ()
    reading.mapping(node, '"runs"', ("using", "steps"))
    if "steps" not in found.entries:
        reading.problems.error(node, '"runs" has no "steps"')
        return ()
    return read_steps(reading, found.entries["steps"], COMPOSITE)


def _inputs(reading: Reading, node: Node | None) -> dict[str, ActionInput]:
    found = {}
    known = ("description", "required", "default", "deprecationMessage", "type")
    for key, value in reading.entries(node, '"inputs"') if node is not None else ():
        if isinstance(value, Scalar) and value.value is None:
            found[key.text] = ActionInput()
            continue
        entry = reading.mapping(value, f'the input "{key.text}"', known)
        if entry is not None:
            default = reading.template(entry.entries.get("default"), COMPOSITE, f'"default" of "{key.text}"')
            required = reading.flag(entry.entries.get("required"), None, '"required"') == "true"
            found[key.text] = ActionInput(default, required)
    return found


def _outputs(reading: Reading, node: Node | None) -> dict[str, str]:
    found = {}
    for key, value in reading.entries(node, '"outputs"') if node is not None else ():
        entry = reading.mapping(value, f'the output "{key.text}"', ("value", "description"))
        template = entry.entries.get("value") if entry is not None else None
        found[key.text] = reading.template(template, "outputs.<output_id>.value", f'the output "{key.text}"') or ""
    return found
