"""Which secrets, variables and outputs the expressions of a job mention, as far as the text tells.

A job is given only the secrets that it mentions. Where the text does not tell, as with `toJSON(secrets)` or
`secrets[matrix.name]`, it mentions all.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass

from mainstay.model.plan import Call, Plan, PlannedJob
from mainstay.model.secret import TOKEN
from mainstay.workflow.expressions import ExpressionError, Reference, parse, parse_condition, parse_template, references


@dataclass(frozen=True, slots=True)
class Mentions:
    """Names are in capitals, as secrets are kept."""

    secrets: frozenset[str] = frozenset()
    all_secrets: bool = False
    """Any secret may be meant."""
    variables: bool = False
    """Whether a variable may be meant."""
    variable_names: frozenset[str] = frozenset()
    """Those that are named."""

    def __or__(self, other: "Mentions") -> "Mentions":
        return Mentions(
            self.secrets | other.secrets,
            self.all_secrets or other.all_secrets,
            self.variables or other.variables,
            self.variable_names | other.variable_names,
        )

    @property
    def any_secret(self) -> bool:
        return self.all_secrets or bool(self.secrets)


NONE = Mentions()
OUTPUT_PATH = 3
"""`needs.JOB.outputs`: a shorter path is the whole of a job, its outputs among the rest."""


def of_text(text: str) -> Mentions:
    """What a template or a condition mentions. One that cannot be parsed may mean anything: it fails when it runs."""
    lower = text.lower()
    if "secrets" not in lower and "vars" not in lower:
        return NONE
    try:
        found = references(parse_template(text)) if "${{" in text else _condition(text)
    except ExpressionError:
        return Mentions(all_secrets=True, variables=True)
    mentions = NONE
    for reference in found:
        if reference.kind == "context":
            mentions |= _of_path(tuple(name.upper() for name in reference.path))
    return mentions


def _condition_references(text: str) -> tuple[Reference, ...]:
    try:
        return references(parse_condition(text))
    except ExpressionError:
        return ()


def _condition(text: str) -> tuple[Reference, ...]:
    """The references of a text that is an expression (`if`); other texts without `${{` are no expressions."""
    try:
        return references(parse(text))
    except ExpressionError:
        return ()


def _of_path(path: tuple[str, ...]) -> Mentions:
    name = path[1] if len(path) > 1 else "*"
    match path[0]:
        case "SECRETS":
            return Mentions(all_secrets=True) if name == "*" else Mentions(frozenset((name,)))
        case "VARS":
            return Mentions(variables=True, variable_names=frozenset(() if name == "*" else (name,)))
    return NONE


def _of_value(value: object) -> Mentions:
    mentions = NONE
    for text in _texts(value):
        mentions |= of_text(text)
    return mentions


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
    elif is_dataclass(value):
        for each in fields(value):
            yield from _texts(getattr(value, each.name))


def of_job(plan: Plan, job: PlannedJob) -> Mentions:
    """What a job of a plan mentions, in the names of the build's own workflow.

    A job of a called workflow has the secrets that its callers pass on under the names which they give them there.
    """
    mentions = _of_value(job)
    by_key = {call.key: call for call in plan.calls}
    key = job.call
    while key is not None:
        call = by_key[key]
        mentions = _passed(call, mentions) | _of_value((call.condition, call.name, call.inputs))
        key = call.within
    return mentions


def asks_for_outputs(plan: Plan, job: PlannedJob) -> bool:
    """Whether the condition of a job, or of a call that it stands in, looks at what other jobs put out."""
    by_key = {call.key: call for call in plan.calls}
    conditions, key = [job.condition], job.call
    while key is not None:
        conditions.append(by_key[key].condition)
        key = by_key[key].within
    paths = [
        [name.lower() for name in reference.path]
        for condition in conditions
        for reference in (_condition_references(condition) if condition else ())
        if reference.kind == "context"
    ]
    return any(path[0] == "needs" and (len(path) < OUTPUT_PATH or path[2] != "result") for path in paths)


def _passed(call: Call, inside: Mentions) -> Mentions:
    """What the caller must have so that its called job has what it mentions."""
    if call.secrets is None:
        return inside
    # Its own token every job has, whatever the caller passes on.
    own = frozenset((TOKEN,)) if inside.all_secrets else inside.secrets & {TOKEN}
    wanted = Mentions(own, variables=inside.variables, variable_names=inside.variable_names)
    for name, text in call.secrets.items():
        if inside.all_secrets or name.upper() in inside.secrets:
            wanted |= of_text(text)
    return wanted
