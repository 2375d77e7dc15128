"""The functions whose answer depends on their arguments alone, and the budget that bounds them."""

import json
import re
from collections.abc import Callable
from typing import NoReturn

from mainstay.model.plan import Json
from mainstay.workflow.expressions.values import (
    Kind,
    equal,
    fold,
    format_number,
    json_string,
    kind_of,
    simple,
    to_text,
)

MAX_STEPS = 1_000_000
"""Values looked at in one evaluation; about a second."""
MAX_RESULT = 10_000_000
"""Characters that one evaluation may make, in between and in the end; GitHub's limit is 10 MB."""
MAX_JSON = 1024 * 1024
"""Characters that `fromJSON` reads at once; an output cannot be longer anyway."""
MAX_JSON_DEPTH = 100
"""Levels of JSON, read and written; GitHub's limit."""
_TEXT_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""What a bracket in JSON may hide in, and brackets. In linear time: a text without an end goes to the end."""
STEP_CHARACTERS = 1024
"""Looking through that much text counts as one step."""


class Failure(Exception):
    """Why a value cannot be had; the evaluation adds in which part of the expression."""


class Budget:
    """What is left of the bounds of one evaluation."""

    __slots__ = ("characters", "steps")

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.characters = MAX_RESULT

    def spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise Failure(f"the evaluation takes more than the limit of {MAX_STEPS} steps")

    def grow(self, characters: int) -> None:
        self.characters -= characters
        if self.characters < 0:
            raise Failure(f"the result is longer than the limit of {MAX_RESULT} characters")

    def look_through(self, *texts: str) -> None:
        """Text is compared and searched in time that grows with its length."""
        self.spend(sum(map(len, texts)) // STEP_CHARACTERS)


def contains(budget: Budget, search: Json, item: Json) -> bool:
    """An item of a list by `==`, or a part of a text; never in an object."""
    kind = kind_of(search)
    if kind is Kind.ARRAY:
        budget.spend(len(search))
        return any(_equal(budget, item, each) for each in search)
    if kind is Kind.OBJECT or kind_of(item) >= Kind.ARRAY:
        return False
    text, part = to_text(search), to_text(item)
    budget.look_through(text, part)
    return fold(part) in fold(text)


def _equal(budget: Budget, left: Json, right: Json) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        budget.look_through(left)
    return equal(left, right)


def starts_with(budget: Budget, text: Json, part: Json) -> bool:
    """False where either is a list or an object."""
    if kind_of(text) >= Kind.ARRAY or kind_of(part) >= Kind.ARRAY:
        return False
    whole, start = to_text(text), to_text(part)
    budget.look_through(start)
    return fold(whole[: len(start)]) == fold(start)


def ends_with(budget: Budget, text: Json, part: Json) -> bool:
    """False where either is a list or an object."""
    if kind_of(text) >= Kind.ARRAY or kind_of(part) >= Kind.ARRAY:
        return False
    whole, end = to_text(text), to_text(part)
    budget.look_through(end)
    return len(end) <= len(whole) and fold(whole[len(whole) - len(end) :]) == fold(end)


def join(budget: Budget, items: Json, separator: Json = ",") -> str:
    """The items as text with the separator between; a single value is itself, an object is empty."""
    kind = kind_of(items)
    if kind is not Kind.ARRAY:
        return "" if kind is Kind.OBJECT else to_text(items)
    between = to_text(separator) if kind_of(separator) <= Kind.STRING else ","
    budget.spend(len(items))
    texts = [to_text(item) for item in items]
    budget.grow(sum(map(len, texts)) + len(between) * max(0, len(texts) - 1))
    return between.join(texts)


def format_text(budget: Budget, pattern: Json, *values: Json) -> str:
    """`{0}` is the first value; `{{` and `}}` are braces."""
    text = to_text(pattern)
    pieces: list[str] = []
    at = 0
    while at < len(text):
        brace = _next_brace(text, at)
        pieces.append(text[at:brace])
        at = brace
        if text[brace : brace + 1] and text[brace] == text[brace + 1 : brace + 2]:
            pieces.append(text[brace])
            at += 2
        elif brace < len(text):
            value, at = _placeholder(text, brace, values)
            pieces.append(value)
        budget.spend(1)
        budget.grow(len(pieces[-1]) + (at - brace))
    return "".join(pieces)


def _next_brace(text: str, at: int) -> int:
    left, right = text.find("{", at), text.find("}", at)
    return min((each for each in (left, right) if each >= 0), default=len(text))


def _placeholder(text: str, brace: int, values: tuple[Json, ...]) -> tuple[str, int]:
    """The value that `{N}` at `brace` stands for, and where the text goes on."""
    end = text.find("}", brace)
    digits = text[brace + 1 : end]
    if text[brace] == "}" or end < 0 or not (digits.isascii() and digits.isdecimal() and len(digits) <= 4):
        raise Failure(
            f"a lone {text[brace]} at character {brace + 1} of the pattern {_short(text)}: "
            "a place for a value is {0}, a brace is written twice"
        )
    if int(digits) >= len(values):
        raise Failure(f"the pattern {_short(text)} has a place {{{digits}}}, but there are {len(values)} values")
    return to_text(values[int(digits)]), end + 1


def _short(text: str) -> str:
    return json_string(text if len(text) <= 60 else text[:60] + "...")


def to_json(budget: Budget, value: Json) -> str:
    """Pretty, with two spaces, as GitHub writes it."""
    pieces: list[str] = []
    _write(budget, value, pieces, "\n")
    return "".join(pieces)


def _write(budget: Budget, value: Json, pieces: list[str], newline: str) -> None:
    """`newline` is the line end and the indentation of the value's own level."""
    kind = kind_of(value)
    if kind < Kind.ARRAY or not value:
        text = _scalar(kind, value)
        budget.spend(1)
        budget.grow(len(text))
        pieces.append(text)
        return
    inner = newline + "  "
    if len(inner) > 2 * MAX_JSON_DEPTH + 1:
        raise Failure(f"the value is nested deeper than the limit of {MAX_JSON_DEPTH} levels")
    budget.grow(len(value) * (len(inner) + 1) + len(newline))
    separator = "{" if kind is Kind.OBJECT else "["
    for each in value:
        pieces.append(separator + inner)
        separator = ","
        if kind is Kind.OBJECT:
            key = json_string(to_text(each)) + ": "
            budget.grow(len(key))
            pieces.append(key)
            _write(budget, value[each], pieces, inner)
        else:
            _write(budget, each, pieces, inner)
    pieces.append(newline + ("}" if kind is Kind.OBJECT else "]"))


def _scalar(kind: Kind, value: Json) -> str:
    if kind is Kind.STRING:
        return json_string(value)
    if kind is Kind.NUMBER:
        return format_number(value)
    if kind >= Kind.ARRAY:
        return "[]" if kind is Kind.ARRAY else "{}"
    return to_text(value) or "null"


def from_json(budget: Budget, text: Json) -> Json:
    """The value that the text says. Numbers are doubles, as everywhere in the language."""
    if kind_of(text) >= Kind.ARRAY:
        raise Failure(f"fromJSON reads text, and this is {'a list' if kind_of(text) is Kind.ARRAY else 'an object'}")
    source = to_text(text)
    if not source.strip():
        raise Failure("there is nothing to read: the text is empty")
    if len(source) > MAX_JSON:
        raise Failure(f"the text has {len(source)} characters, more than the limit of {MAX_JSON}")
    budget.grow(len(source))
    _check_depth(source)
    try:
        value: Json = json.loads(source, parse_int=_whole, parse_constant=_no_constant)
        if "\\" in source:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Failure("the text has half of a surrogate pair (\\ud800 and the like)") from None
    except ValueError as error:
        raise Failure(f"the text is not JSON: {error}; it begins {_short(source)}") from None
    return value


def _whole(digits: str) -> int | float:
    return simple(float(digits))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _check_depth(source: str) -> None:
    """Before it is read: how deep a reader recurses differs between versions of Python."""
    if source.count("[") + source.count("{") <= MAX_JSON_DEPTH:
        return
    depth = 0
    for found in _TEXT_OR_BRACKET.finditer(source):
        if found[0] in "[{":
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise Failure(f"the JSON is nested deeper than the limit of {MAX_JSON_DEPTH} levels")
        elif found[0] in "]}":
            depth -= 1


PURE: dict[str, Callable[..., Json]] = {
    "contains": contains,
    "startsWith": starts_with,
    "endsWith": ends_with,
    "format": format_text,
    "join": join,
    "toJSON": to_json,
    "fromJSON": from_json,
}
"""By name: called with the budget and the values of the arguments."""
