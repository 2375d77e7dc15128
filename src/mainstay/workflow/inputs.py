"""Typed inputs of `workflow_dispatch` and `workflow_call`: reading their declarations, checking what was given."""

from collections.abc import Mapping as Given
from dataclasses import dataclass

from mainstay.model.errors import BadInput
from mainstay.model.plan import Json
from mainstay.workflow.expressions.values import parse_number, simple, to_text
from mainstay.workflow.problems import suggestion
from mainstay.workflow.reading import Reading
from mainstay.workflow.yaml import Node, Scalar

TYPES = {False: ("string", "boolean", "number", "choice", "environment"), True: ("string", "boolean", "number")}
"""By whether the workflow is called by another one."""
KEYS = {
    False: ("description", "required", "default", "type", "options", "deprecationMessage"),
    True: ("description", "required", "default", "type", "deprecationMessage"),
}
EMPTY: dict[str, Json] = {"boolean": False, "number": 0}
"""What an input is that nobody gave and that has no default; texts are empty."""


@dataclass(frozen=True, slots=True)
class Input:
    """One declared input."""

    type: str = "string"
    required: bool = False
    default: Json = None
    """None: there is none. A text may be a template (`workflow_call` only)."""
    options: tuple[str, ...] = ()
    """Of the type `choice`."""
    description: str = ""


def read_inputs(reading: Reading, node: Node | None, *, called: bool) -> dict[str, Input]:
    """The declarations under `inputs`."""
    found = {}
    for key, value in reading.entries(node, '"inputs"') if node is not None else ():
        if isinstance(value, Scalar) and value.value is None:
            if called:
                reading.problems.error(key, f'the input "{key.text}" needs a "type": {", ".join(TYPES[True])}')
            found[key.text] = Input()
            continue
        declared = _input(reading, key.text, value, called)
        if declared is not None:
            found[key.text] = declared
    return found


def _input(reading: Reading, name: str, node: Node, called: bool) -> Input | None:
    entry = reading.mapping(node, f'the input "{name}"', KEYS[called])
    if entry is None:
        return None
    entries = entry.entries
    kind = reading.text(entries.get("type"), '"type"')
    if kind is None and called:
        reading.problems.error(node, f'the input "{name}" needs a "type": {", ".join(TYPES[True])}')
    if kind is not None and kind not in TYPES[called]:
        known = TYPES[called]
        message = f'unknown type "{kind[:50]}" of the input "{name}": {", ".join(known)}'
        reading.problems.error(entries["type"], message + suggestion(kind, known))
        kind = None
    options = reading.texts(entries.get("options"), '"options"', one=False)
    if kind == "choice" and not options:
        reading.problems.error(node, f'the input "{name}" is a choice and needs "options"')
    declared = Input(
        type=kind or "string",
        required=reading.flag(entries.get("required"), None, '"required"') == "true",
        default=_default(reading, entries.get("default"), name, called),
        options=options,
        description=reading.text(entries.get("description"), '"description"') or "",
    )
    if isinstance(declared.default, str) and "${{" in declared.default:
        return declared
    if declared.default is not None:
        try:
            typed(name, declared, declared.default)
        except BadInput as error:
            reading.problems.error(entries["default"], error.message)
    return declared


def _default(reading: Reading, node: Node | None, name: str, called: bool) -> Json:
    if node is None:
        return None
    if called:
        reading.template(node, "on.workflow_call.inputs.<inputs_id>.default", f'"default" of "{name}"')
    else:
        reading.text(node, f'"default" of "{name}"')
    return node.value if isinstance(node, Scalar) else None


def typed(name: str, declared: Input, given: Json) -> Json:
    """A value in its declared type; texts are read as it. Raises BadInput."""
    match declared.type:
        case "boolean":
            if isinstance(given, bool):
                return given
            if isinstance(given, str) and given.lower() in ("true", "false"):
                return given.lower() == "true"
            raise BadInput(f'the input "{name}" must be true or false, not "{to_text(given)[:50]}"')
        case "number":
            number = parse_number(to_text(given)) if isinstance(given, str | int | float) else float("nan")
            if number != number or isinstance(given, bool) or given == "":
                raise BadInput(f'the input "{name}" must be a number, not "{to_text(given)[:50]}"')
            return simple(number)
        case "choice" if to_text(given) not in declared.options:
            options = ", ".join(declared.options)
            raise BadInput(f'the input "{name}" must be one of {options}, not "{to_text(given)[:50]}"')
    if isinstance(given, dict | list):
        raise BadInput(f'the input "{name}" must be a single text')
    return to_text(given)


def checked_inputs(declared: Given[str, Input], given: Given[str, Json]) -> dict[str, Json]:
    """The `inputs` context of a workflow that is started by hand. Raises BadInput, naming all that is wrong."""
    wrong = [f'there is no input "{name[:50]}"{suggestion(name, declared)}' for name in given if name not in declared]
    values: dict[str, Json] = {}
    for name, each in declared.items():
        value = given.get(name, each.default)
        if value is None or (each.required and value == ""):
            if each.required:
                wrong.append(f'the input "{name}" is required')
            values[name] = EMPTY.get(each.type, "")
            continue
        try:
            values[name] = typed(name, each, value)
        except BadInput as error:
            wrong.append(error.message)
    if wrong:
        raise BadInput("; ".join(wrong))
    return values
