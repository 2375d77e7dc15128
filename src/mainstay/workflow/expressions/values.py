"""What values are to GitHub: their kinds, their truth, how they become numbers and text, how they compare.

Source: the tables of GitHub's "Evaluate expressions", and what its runner does where those are silent.
"""

import json
import math
import re
from enum import IntEnum

from mainstay.model.plan import Json

MAX_WHOLE = 2**53
"""Whole numbers below it are the same as int and as GitHub's double."""


class Kind(IntEnum):
    """The kinds of values. Up to STRING they are primitive."""

    NULL = 0
    BOOLEAN = 1
    NUMBER = 2
    STRING = 3
    ARRAY = 4
    OBJECT = 5


class Filtered(list[Json]):
    """What `*` gives: a further property or index applies to each item, not to the list."""


_KINDS: dict[type, Kind] = {
    type(None): Kind.NULL,
    bool: Kind.BOOLEAN,
    int: Kind.NUMBER,
    float: Kind.NUMBER,
    str: Kind.STRING,
    list: Kind.ARRAY,
    tuple: Kind.ARRAY,
    Filtered: Kind.ARRAY,
    dict: Kind.OBJECT,
}


def kind_of(value: Json) -> Kind:
    """The kind of any JSON value, subclasses of the usual types included."""
    kind = _KINDS.get(type(value))
    if kind is not None:
        return kind
    for base, kind in _KINDS.items():
        if isinstance(value, base):
            return kind
    raise TypeError(f"a context holds a {type(value).__name__}, which is not a JSON value")


def truthy(value: Json) -> bool:
    """False for null, false, 0, NaN and the empty string; lists and objects are true even when empty."""
    kind = kind_of(value)
    if kind >= Kind.ARRAY:
        return True
    return bool(value) and value == value


_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]+\Z")
_OCTAL = re.compile(r"0o[0-7]+\Z")
_INFINITE = {"Infinity": math.inf, "-Infinity": -math.inf}


def parse_number(text: str) -> float:
    """A number as JavaScript's `Number` reads it; empty is 0, else NaN. Hex and octal have 32 bits, with sign."""
    text = text.strip()
    if not text:
        return 0.0
    if _DECIMAL.match(text):
        return float(text)
    if _HEX.match(text) or _OCTAL.match(text):
        digits = text[2:].lstrip("0") or "0"
        bits = int(digits, 16 if text[1] == "x" else 8) if len(digits) <= 11 else 1 << 32
        if bits < 1 << 32:
            return float(bits - (1 << 32) if bits >= 1 << 31 else bits)
        return math.nan
    return _INFINITE.get(text, math.nan)


def to_number(value: Json) -> float:
    """For comparisons of different kinds: null 0, booleans 1 and 0, text by `parse_number`, lists and objects NaN."""
    kind = kind_of(value)
    if kind is Kind.STRING:
        return parse_number(value)
    if kind >= Kind.ARRAY:
        return math.nan
    try:
        return float(value or 0)
    except OverflowError:
        return math.copysign(math.inf, value)


def simple(number: float) -> int | float:
    """An int where that is the same number, so that 3 stays 3 in JSON and in YAML."""
    if number.is_integer() and abs(number) < MAX_WHOLE:
        return int(number)
    return number


def format_number(number: int | float) -> str:
    """As GitHub writes it: 15 significant digits, `1E+15` from there on, `NaN`, `Infinity`; never `-0`."""
    if type(number) is int and -(10**15) < number < 10**15:
        return str(number)
    value = to_number(number)
    if not value:
        return "0"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return "NaN" if value != value else format(value, ".15g").replace("e", "E")


def to_text(value: Json) -> str:
    """As in a template or an argument that is cast: null is empty, a list `Array`, an object `Object`."""
    kind = kind_of(value)
    if kind is Kind.STRING:
        return str(value)
    if kind is Kind.NULL:
        return ""
    if kind is Kind.BOOLEAN:
        return "true" if value else "false"
    if kind is Kind.NUMBER:
        return format_number(value)
    return "Array" if kind is Kind.ARRAY else "Object"


class _Upper(dict[int, str]):
    """For `str.translate`: one character to one; none outside ASCII becomes one inside (dotless i, long s)."""

    def __missing__(self, code: int) -> str:
        upper = chr(code).upper()
        if len(upper) != 1 or (code > 127 and upper.isascii()):
            upper = chr(code)
        self[code] = upper
        return upper


_UPPER = _Upper()


def fold(text: str) -> str:
    """The text for comparing without regard to case, as .NET's OrdinalIgnoreCase does. The length stays the same."""
    return text.upper() if text.isascii() else text.translate(_UPPER)


def _alike(left: Json, right: Json) -> tuple[Kind | None, Json, Json]:
    """Both values as one kind: strings folded, unlike kinds as numbers. No kind: they cannot be compared."""
    kind, other = kind_of(left), kind_of(right)
    if kind is other:
        if kind is Kind.STRING:
            return kind, fold(left), fold(right)
        return kind, left, right
    if kind >= Kind.ARRAY and other >= Kind.ARRAY:
        return None, left, right
    return Kind.NUMBER, to_number(left), to_number(right)


def equal(left: Json, right: Json) -> bool:
    """GitHub's loose `==`."""
    if type(left) is str and type(right) is str:
        return left == right or (len(left) == len(right) and fold(left) == fold(right))
    kind, left, right = _alike(left, right)
    if kind is None:
        return False
    return left is right if kind >= Kind.ARRAY else bool(left == right)


def less(left: Json, right: Json) -> bool:
    """GitHub's `<`: false where either side is NaN, a list or an object."""
    kind, left, right = _alike(left, right)
    return kind in _ORDERED and bool(left < right)


_ORDERED = frozenset({Kind.BOOLEAN, Kind.NUMBER, Kind.STRING})

_ESCAPED = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""What GitHub's JSON writer escapes beyond what JSON asks for."""


def json_string(text: str) -> str:
    """The text in double quotes, as GitHub's `toJSON` writes it."""
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if quoted.isascii() else quoted.translate(_ESCAPED)
