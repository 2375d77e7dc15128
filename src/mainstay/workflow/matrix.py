"""`strategy.matrix`: reading it, and expanding it by GitHub's rules (product, then exclude, then include, in order).

Source: GitHub's "Running variations of jobs in a workflow".
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mainstay.model.errors import BadInput
from mainstay.model.plan import Json, Matrix
from mainstay.workflow.expressions import Scope, parse_template, render_value
from mainstay.workflow.expressions.values import equal, to_text
from mainstay.workflow.reading import Reading, kind
from mainstay.workflow.yaml import Mapping, Node, Scalar, Sequence, as_json

MAX_JOBS = 256
MAX_NAME = 100
"""Characters of a job's name; GitHub cuts there too."""
KEY = "jobs.<job_id>.strategy"


class BadMatrix(BadInput):
    """A matrix that cannot be expanded: too large, or its expressions give something else than lists and mappings."""

    code = "bad-matrix"


@dataclass(frozen=True, slots=True)
class Combination:
    """One job of a matrix."""

    values: dict[str, Json]
    """The `matrix` context."""
    shown: tuple[str, ...]
    """What stands in brackets behind the job's name."""


def expand(matrix: Matrix, scope: Scope) -> list[dict[str, Json]]:
    """The `matrix` context of every job, in GitHub's order. Raises BadMatrix and ExpressionError."""
    return [combination.values for combination in combinations(matrix, scope)]


def combinations(matrix: Matrix, scope: Scope) -> list[Combination]:
    """Like `expand`, with what belongs into each job's name."""
    axes, include, exclude = _evaluated(matrix, scope)
    if not axes and not include:
        raise BadMatrix("the matrix is empty: it needs at least one list of values, or include")
    size = 1
    for values in axes.values():
        size *= len(values)
        if size > 100 * MAX_JOBS:
            raise BadMatrix(_too_many(f"more than {100 * MAX_JOBS}"))
    product = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())] if axes else []
    originals = [job for job in product if not any(_fits(entry, job) for entry in exclude)]
    found = [Combination(dict(job), tuple(_leaves(job.values()))) for job in originals]
    for entry in include:
        # What `include` added before may be overwritten, original values may not: so only those are compared.
        fitting = [
            combination
            for combination, original in zip(found, originals, strict=False)
            if all(equal_deep(original[name], value) for name, value in entry.items() if name in axes)
        ]
        for combination in fitting:
            combination.values.update({name: value for name, value in entry.items() if name not in axes})
        if not fitting:
            found.append(Combination(dict(entry), tuple(_leaves(entry.values()))))
    if len(found) > MAX_JOBS:
        raise BadMatrix(_too_many(str(len(found))))
    return found


def _too_many(number: str) -> str:
    return f"the matrix gives {number} jobs; at most {MAX_JOBS} are allowed"


def _evaluated(
    matrix: Matrix, scope: Scope
) -> tuple[dict[str, list[Json]], list[dict[str, Json]], list[dict[str, Json]]]:
    axes: dict[str, Json] = dict(matrix.axes)
    include, exclude = matrix.include, matrix.exclude
    if matrix.whole is not None:
        whole = render_value(parse_template(matrix.whole), scope)
        if not isinstance(whole, dict):
            raise BadMatrix(f"the matrix must be a mapping; {matrix.whole} gives {_described(whole)}")
        axes = dict(whole)
        include, exclude = axes.pop("include", None), axes.pop("exclude", None)
    lists: dict[str, list[Json]] = {}
    for name, given in axes.items():
        values = evaluated(given, scope)
        if not isinstance(values, list):
            raise BadMatrix(f'"{name}" in the matrix must be a list; it is {_described(values)}')
        if not values:
            raise BadMatrix(f'"{name}" in the matrix has no values')
        lists[name] = values
    return lists, _entries(include, "include", scope), _entries(exclude, "exclude", scope)


def evaluated(value: Json, scope: Scope) -> Json:
    """A JSON value with the expressions in its texts evaluated."""
    if isinstance(value, str):
        return render_value(parse_template(value), scope) if "${{" in value else value
    if isinstance(value, list):
        return [evaluated(item, scope) for item in value]
    if isinstance(value, dict):
        return {name: evaluated(item, scope) for name, item in value.items()}
    return value


def _entries(given: Json, what: str, scope: Scope) -> list[dict[str, Json]]:
    values = evaluated(given, scope)
    if values is None or values == "":
        return []
    if not isinstance(values, list) or not all(isinstance(entry, dict) for entry in values):
        raise BadMatrix(f"{what} in the matrix must be a list of mappings; it is {_described(values)}")
    return values


def _described(value: Json) -> str:
    return {list: "a list", dict: "a mapping", type(None): "nothing"}.get(
        type(value), f'the text "{to_text(value)[:50]}"'
    )


def _fits(entry: dict[str, Json], job: dict[str, Json]) -> bool:
    return bool(entry) and all(name in job and contains(job[name], value) for name, value in entry.items())


def contains(value: Json, wanted: Json) -> bool:
    """Whether `value` has everything that `wanted` names: of a mapping the keys named, of anything else all of it."""
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(
            key in value and contains(value[key], item) for key, item in wanted.items()
        )
    return equal_deep(value, wanted)


def equal_deep(left: Json, right: Json) -> bool:
    """GitHub's loose equality, for lists and mappings by what they hold."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal_deep, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal_deep(value, right[key]) for key, value in left.items())
    if isinstance(left, list | dict) or isinstance(right, list | dict):
        return False
    return equal(left, right)


def _leaves(values: Iterable[Json]) -> Iterator[str]:
    for value in values:
        if isinstance(value, dict):
            yield from _leaves(value.values())
        elif isinstance(value, list):
            yield from _leaves(value)
        elif text := to_text(value):
            yield text


def job_name(base: str, shown: tuple[str, ...]) -> str:
    """`test (3.12, linux)`, cut to a readable length."""
    name = f"{base} ({', '.join(shown)})" if shown else base
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 3]}..."


def read_matrix(reading: Reading, node: Node, where: str) -> Matrix | None:
    """The matrix as written. One without expressions is expanded at once, so that its mistakes have a place."""
    if isinstance(node, Scalar) and "${{" in node.text:
        return Matrix(whole=node.text) if reading.checked(node, KEY) else None
    if not isinstance(node, Mapping):
        reading.problems.error(node, f"{where} must be a mapping or one expression, not {kind(node)}")
        return None
    axes: dict[str, Any] = {}
    others: dict[str, Json] = {"include": None, "exclude": None}
    before = len(reading.problems.found)
    for name, value in node.entries.items():
        _check_templates(reading, value)
        if name in others:
            others[name] = as_json(value)
            _check_entries(reading, value, name)
            continue
        axes[name] = as_json(value)
        if not isinstance(value, Sequence) and not (isinstance(value, Scalar) and "${{" in value.text):
            reading.problems.error(value, f'"{name}" in {where} must be a list of values, not {kind(value)}')
    if len(reading.problems.found) > before:
        return None
    matrix = Matrix(axes=axes, **others)
    if not _has_template(node):
        try:
            expand(matrix, Scope())
        except BadMatrix as error:
            reading.problems.error(node, error.message)
            return None
    return matrix


def _check_entries(reading: Reading, node: Node, what: str) -> None:
    if isinstance(node, Scalar) and ("${{" in node.text or node.value is None):
        return
    for entry in reading.items(node, f"{what} in the matrix"):
        if not isinstance(entry, Mapping) and not (isinstance(entry, Scalar) and "${{" in entry.text):
            reading.problems.error(entry, f"each entry of {what} must be a mapping, not {kind(entry)}")


def _check_templates(reading: Reading, node: Node) -> None:
    for scalar in _scalars(node):
        if "${{" in scalar.text:
            reading.checked(scalar, KEY)


def _has_template(node: Node) -> bool:
    return any("${{" in scalar.text for scalar in _scalars(node))


def _scalars(node: Node) -> Iterator[Scalar]:
    match node:
        case Scalar():
            yield node
        case Sequence(items):
            for item in items:
                yield from _scalars(item)
        case Mapping(entries):
            for item in entries.values():
                yield from _scalars(item)
