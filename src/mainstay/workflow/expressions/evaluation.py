"""Tree and scope -> value."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mainstay.model.plan import Json
from mainstay.workflow.expressions.functions import MAX_RESULT, PURE, Budget, Failure
from mainstay.workflow.expressions.names import STATUS_FUNCTIONS
from mainstay.workflow.expressions.syntax import (
    And,
    Call,
    Compare,
    Context,
    Expression,
    ExpressionError,
    Filter,
    Index,
    Literal,
    Not,
    Or,
    unparse,
)
from mainstay.workflow.expressions.templates import Template, parse_condition
from mainstay.workflow.expressions.values import Filtered, Kind, equal, fold, kind_of, less, to_number, to_text, truthy


@dataclass(frozen=True, slots=True)
class Status:
    """What the status functions answer. For a job: what became of its needs; for a step: of the job so far."""

    success: bool = True
    failure: bool = False
    cancelled: bool = False


SUCCESS = Status()
FAILURE = Status(success=False, failure=True)
CANCELLED = Status(success=False, cancelled=True)


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression can see. A context that is not in `contexts` is an error to name, not null."""

    contexts: Mapping[str, Json] = field(default_factory=dict)
    """`github`, `env`, `matrix` ... to their values. Names in lower case. Keys within are looked up without regard to
    case, but for those of `env`."""
    status: Status | None = SUCCESS
    """None: status functions are an error here."""
    hash_files: Callable[[tuple[str, ...]], str] | None = None
    """Given the arguments, the hex digest; None: `hashFiles` is an error here. What it raises passes through."""


def evaluate(expression: Expression, scope: Scope) -> Json:
    """The value: None, bool, int, float, str, list or dict. Whole numbers come as int. Raises ExpressionError."""
    return _plain(_Evaluation(scope).checked(expression))


def evaluate_condition(text: str | None, scope: Scope) -> bool:
    """Whether an `if` key says yes. See `parse_condition`."""
    return truthy(_Evaluation(scope).checked(parse_condition(text)))


def render(template: Template, scope: Scope) -> str:
    """The text, each expression replaced by its value as GitHub writes it (null is empty, lists are `Array`)."""
    evaluation = _Evaluation(scope)
    return "".join([part if isinstance(part, str) else evaluation.text(part) for part in template.parts])


def render_value(template: Template, scope: Scope) -> Json:
    """A template that is exactly one `${{ }}` gives the value with its type, any other its text."""
    if len(template.parts) == 1 and not isinstance(template.parts[0], str):
        return evaluate(template.parts[0], scope)
    return render(template, scope)


def _plain(value: Json) -> Json:
    return list(value) if type(value) is Filtered else value


class _Evaluation:
    """One run over one or several trees, with one budget."""

    __slots__ = ("budget", "failed", "scope")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.budget = Budget()
        self.failed: Expression | None = None

    def checked(self, tree: Expression) -> Json:
        """The value, failures turned into errors that quote the innermost part at fault."""
        try:
            return self.value(tree)
        except Failure as failure:
            part = unparse(self.failed or tree)
            shown = part if len(part) <= 200 else part[:200] + "..."
            raise ExpressionError(f"cannot evaluate {shown}: {failure}") from None

    def text(self, tree: Expression) -> str:
        text = to_text(self.checked(tree))
        self.budget.characters -= len(text)
        if self.budget.characters < 0:
            raise ExpressionError(
                f"the text is longer than the limit of {MAX_RESULT} characters at {unparse(tree)[:200]}"
            )
        return text

    def value(self, node: Expression) -> Json:
        self.budget.steps -= 1
        return _RULES[type(node)](self, node)

    def fail(self, node: Expression, message: str) -> Failure:
        self.failed = node
        return Failure(message)


def _literal(_run: _Evaluation, node: Literal) -> Json:
    return node.value


def _context(run: _Evaluation, node: Context) -> Json:
    contexts = run.scope.contexts
    if node.name in contexts:
        return contexts[node.name]
    known = ", ".join(sorted(contexts)) or "none"
    raise run.fail(node, f'the context "{node.name}" is not available here; available are: {known}')


def _index(run: _Evaluation, node: Index) -> Json:
    target, key = run.value(node.target), run.value(node.key)
    if type(target) is Filtered:
        run.budget.spend(len(target))
        found = [_item(run, each, key, False) for each in target]
        return Filtered([each for each in found if each is not _MISSING])
    exact = type(node.target) is Context and node.target.name == "env"
    value = _item(run, target, key, exact)
    return None if value is _MISSING else value


_MISSING = object()


def _item(run: _Evaluation, target: Json, key: Json, exact: bool) -> Json:
    """What `target` has under `key`, or _MISSING."""
    kind = kind_of(target)
    if kind is Kind.OBJECT:
        return _MISSING if kind_of(key) >= Kind.ARRAY else _member(run, target, to_text(key), exact)
    if kind is not Kind.ARRAY:
        return _MISSING
    place = to_number(key)
    if math.isnan(place) or not 0 <= place < len(target):
        return _MISSING
    return target[math.floor(place)]


def _member(run: _Evaluation, target: dict[str, Json], key: str, exact: bool) -> Json:
    value = target.get(key, _MISSING)
    if value is not _MISSING or exact:
        return value
    run.budget.spend(len(target))
    folded = fold(key)
    for name, value in target.items():
        if len(name) == len(folded) and fold(name) == folded:
            return value
    return _MISSING


def _filter(run: _Evaluation, node: Filter) -> Json:
    target = run.value(node.target)
    if type(target) is not Filtered:
        return Filtered(_items(run, target))
    return Filtered([item for each in target for item in _items(run, each)])


def _items(run: _Evaluation, target: Json) -> list[Json]:
    kind = kind_of(target)
    items = list(target.values()) if kind is Kind.OBJECT else list(target) if kind is Kind.ARRAY else []
    run.budget.spend(1 + len(items))
    return items


def _not(run: _Evaluation, node: Not) -> bool:
    return not truthy(run.value(node.operand))


def _compare(run: _Evaluation, node: Compare) -> bool:
    left, right = run.value(node.left), run.value(node.right)
    if type(left) is str and type(right) is str and len(left) + len(right) > 1024:
        run.budget.look_through(left, right)
    match node.operator:
        case "==":
            return equal(left, right)
        case "!=":
            return not equal(left, right)
        case "<":
            return less(left, right)
        case ">":
            return less(right, left)
        case "<=":
            return equal(left, right) or less(left, right)
        case _:
            return equal(left, right) or less(right, left)


def _and(run: _Evaluation, node: And) -> Json:
    value: Json = None
    for operand in node.operands:
        value = run.value(operand)
        if not truthy(value):
            return value
    return value


def _or(run: _Evaluation, node: Or) -> Json:
    value: Json = None
    for operand in node.operands:
        value = run.value(operand)
        if truthy(value):
            return value
    return value


def _call(run: _Evaluation, node: Call) -> Json:
    if node.name == "case":
        return _case(run, node)
    if node.name in STATUS_FUNCTIONS:
        return _status(run, node)
    values = [run.value(argument) for argument in node.arguments]
    if node.name == "hashFiles":
        return _hash_files(run, node, values)
    try:
        return PURE[node.name](run.budget, *values)
    except Failure:
        run.failed = run.failed or node
        raise


def _case(run: _Evaluation, node: Call) -> Json:
    *pairs, last = node.arguments
    for condition, value in zip(pairs[::2], pairs[1::2], strict=True):
        holds = run.value(condition)
        if kind_of(holds) is not Kind.BOOLEAN:
            raise run.fail(condition, f"a condition of case must be true or false, and this is {_described(holds)}")
        if holds:
            return run.value(value)
    return run.value(last)


def _described(value: Json) -> str:
    return ("null", "", "a number", "a text", "a list", "an object")[kind_of(value)]


def _status(run: _Evaluation, node: Call) -> bool:
    status = run.scope.status
    if status is None:
        raise run.fail(node, "status functions can be used in conditions (the key if) only")
    match node.name:
        case "success":
            return status.success
        case "failure":
            return status.failure
        case "cancelled":
            return status.cancelled
        case _:
            return True


def _hash_files(run: _Evaluation, node: Call, values: list[Json]) -> str:
    if run.scope.hash_files is None:
        raise run.fail(node, "hashFiles can be used in steps only, where there are files")
    return run.scope.hash_files(tuple(map(to_text, values)))


_RULES: dict[type, Callable[[_Evaluation, Json], Json]] = {
    Literal: _literal,
    Context: _context,
    Index: _index,
    Filter: _filter,
    Not: _not,
    Compare: _compare,
    And: _and,
    Or: _or,
    Call: _call,
}
