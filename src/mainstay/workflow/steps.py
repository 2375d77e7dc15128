"""Reading `steps`, of jobs and of composite actions: one command or action each."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mainstay.model.plan import Step
from mainstay.workflow.problems import suggestion
from mainstay.workflow.reading import Reading
from mainstay.workflow.yaml import Mapping, Node, Scalar
from mainstay.workflow.yaml import Sequence as YamlSequence

KEYS = ("id", "if", "name", "uses", "run", "working-directory", "shell", "with", "env", "continue-on-error",
        "timeout-minutes")  # fmt: skip
IN_BACKGROUND = ("background", "wait", "wait-all", "cancel")
"""Keys of steps that run beside those that follow, which is not supported."""
TOGETHER = "parallel"
"""The key of a step that is a list of steps; they are run one after the other here, none of them hearing of another."""
SHELLS = ("bash", "sh", "python")
WINDOWS_SHELLS = ("pwsh", "powershell", "cmd")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
"""What ids of steps and jobs may be."""
JOB = "jobs.<job_id>.steps"
COMPOSITE = "runs.steps"
"""Where steps stand, as the table of available contexts calls it."""
DEFAULTS = "jobs.<job_id>.defaults.run"
REMOTE_ACTION = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+(?:/[^@\s]+)?@[^\s@]+\Z")


def read_steps(reading: Reading, node: Node, within: str = JOB) -> tuple[Step, ...]:
    """The steps of a job, or of a composite action (`within=COMPOSITE`); ids must be unique among them."""
    items = reading.items(node, '"steps"')
    if not items:
        reading.problems.error(node, '"steps" is empty: a job needs at least one step')
    steps = []
    ids: dict[str, Scalar] = {}
    for item, together in _spread(reading, items):
        step = _step(reading, item, within)
        if step is None or not isinstance(item, Mapping):
            continue
        steps.append(step if together is None else replace(step, together=together))
        _note_id(reading, item.entries.get("id"), ids)
    return tuple(steps)


def _spread(reading: Reading, items: Sequence[Node]) -> Iterator[tuple[Node, int | None]]:
    """The steps, those of a `parallel` with a number that they share."""
    for number, item in enumerate(items):
        if not isinstance(item, Mapping) or TOGETHER not in item.entries:
            yield item, None
            continue
        reading.mapping(item, f'a "{TOGETHER}"', (TOGETHER,))
        inner = reading.items(item.entries[TOGETHER], f'"{TOGETHER}"')
        if not inner:
            reading.problems.error(item, f'"{TOGETHER}" is empty: it needs at least one step')
        yield from ((each, number) for each in inner)


def in_background(node: Node | None) -> Scalar | None:
    """The first key of a step that runs beside those that follow it."""
    for item in node.items if isinstance(node, YamlSequence) else ():
        if isinstance(item, Mapping):
            for name in IN_BACKGROUND:
                if name in item.keys:
                    return item.keys[name]
    return None


def _note_id(reading: Reading, node: Node | None, ids: dict[str, Scalar]) -> None:
    if not isinstance(node, Scalar) or not node.text:
        return
    if not NAME.match(node.text):
        reading.problems.error(
            node, f'the step id "{node.text[:50]}" must be letters, digits, _ and -, no digit or - first'
        )
    folded = node.text.lower()
    if folded in ids:
        reading.problems.error(
            node, f'the step id "{node.text}" is used twice in this job (first in line {ids[folded].line})'
        )
    ids.setdefault(folded, node)


def _step(reading: Reading, node: Node, within: str) -> Step | None:
    found = reading.mapping(node, "a step", KEYS)
    if found is None:
        return None
    entries = found.entries
    run, uses = entries.get("run"), entries.get("uses")
    if run is None and uses is None:
        reading.problems.error(node, 'this step does nothing: it needs "run" (a script) or "uses" (an action)')
    if run is not None and uses is not None:
        reading.problems.error(found.keys["uses"], 'a step has either "run" or "uses", not both')
    for name, needed in (("with", "uses"), ("shell", "run"), ("working-directory", "run")):
        if name in entries and needed not in entries and (run is not None or uses is not None):
            reading.problems.error(found.keys[name], f'"{name}" belongs to a step with "{needed}"')

    def key(name: str) -> str:
        return within if within == COMPOSITE and name != "if" else f"{within}.{name}"

    if within == COMPOSITE and run is not None and "shell" not in entries:
        reading.problems.error(found.keys["run"], 'a script of a composite action needs its "shell": write shell: bash')
    return Step(
        name=reading.template(entries.get("name"), key("name"), '"name" of a step'),
        id=reading.text(entries.get("id"), '"id" of a step'),
        run=_script(reading, run, key("run")),
        uses=_action(reading, uses),
        inputs=reading.templates(entries.get("with"), key("with"), '"with"'),
        env=reading.environment(entries.get("env"), key("env"), '"env" of a step'),
        condition=reading.condition(entries.get("if"), key("if"), '"if" of a step'),
        shell=read_shell(reading, entries.get("shell"), within if within == COMPOSITE else DEFAULTS),
        working_directory=reading.template(
            entries.get("working-directory"), key("working-directory"), '"working-directory"'
        ),
        timeout_s=reading.minutes(entries.get("timeout-minutes"), key("timeout-minutes"), '"timeout-minutes"'),
        continue_on_error=reading.flag(
            entries.get("continue-on-error"), key("continue-on-error"), '"continue-on-error"'
        ),
        line=node.line,
    )


def _script(reading: Reading, node: Node | None, key: str) -> str | None:
    text = reading.template(node, key, '"run"')
    if node is not None and text is not None and not text.strip():
        reading.problems.error(node, '"run" is empty')
    return text


def own_repository(uses: str) -> str:
    """`$/path` is GitHub's newer way to write a path in the repository and at the commit of the file itself."""
    return "./" + uses[2:] if uses.startswith("$/") else uses


def _action(reading: Reading, node: Node | None) -> str | None:
    """What `uses` names: its form is checked here, whether it can run by `check`."""
    text = reading.text(node, '"uses"')
    if node is None or text is None or "${{" in text:
        return text
    text = own_repository(text)
    if text.startswith(("./", "docker://")) or REMOTE_ACTION.match(text):
        return text
    hint = ": add @ and a version" if text.count("/") >= 1 and "@" not in text else ""
    reading.problems.error(
        node, f'"{text[:80]}" is not an action (owner/name@version, ./folder or docker://image){hint}'
    )
    return text


def read_shell(reading: Reading, node: Node | None, key: str = DEFAULTS) -> str | None:
    """`shell`: one of ours, or a command with `{0}` for the script's file."""
    text = reading.template(node, key, '"shell"')
    if node is None or not text or "${{" in text or text in SHELLS:
        return text or None
    if text in WINDOWS_SHELLS:
        reading.problems.warning(node, f'the shell "{text}" runs only where the runner has it')
    elif "{0}" not in text:
        known = (*SHELLS, *WINDOWS_SHELLS)
        message = (
            f'unknown shell "{text[:50]}": {", ".join(SHELLS)}, or a command with {{0}} for the file of the script'
        )
        reading.problems.error(node, message + suggestion(text, known))
    return text
