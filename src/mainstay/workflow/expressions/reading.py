"""The text of an expression -> its tree."""

import re
from functools import lru_cache
from typing import NamedTuple, NoReturn

from mainstay.workflow.expressions.names import CONTEXTS, FUNCTION_BY_LOWER, FUNCTIONS, suggestion
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
    children,
)
from mainstay.workflow.expressions.values import parse_number, simple

MAX_LENGTH = 21_000
"""Characters of one expression; GitHub's limit."""
MAX_DEPTH = 50
"""Levels of brackets, and of the tree; GitHub's limit for the latter. It bounds every recursion over a tree."""
CACHED_LENGTH = 300
"""Texts up to this long keep their tree for the next time."""


def parse(text: str) -> Expression:
    """The tree of one expression, without `${{ }}`. Raises ExpressionError, also for unknown contexts and functions."""
    return _parse_cached(text) if len(text) <= CACHED_LENGTH else _parse(text)


def _parse(text: str) -> Expression:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"an expression of {len(text)} characters is longer than the limit of {MAX_LENGTH}", text, MAX_LENGTH
        )
    return _Parser(text).whole()


_parse_cached = lru_cache(maxsize=1024)(_parse)


class _Token(NamedTuple):
    kind: str
    """`end`, `space`, `string`, `number`, `word`, `symbol` or `wrong`."""
    text: str
    offset: int


_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<string>'(?:[^']++|'')*+')
  | (?P<number>(?:[-+]?\.?[0-9]|[-+]Infinity)[^\s()\[\],!<>=&|]*)
  | (?P<word>[A-Za-z_][A-Za-z0-9_-]*)
  | (?P<symbol>&&|\|\||==|!=|<=|>=|[!<>()\[\].,*])
  | (?P<wrong>.)
    """,
    re.VERBOSE | re.DOTALL,
)

_BINARY = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, "<=": 4, ">": 4, ">=": 4}
"""How tightly each operator binds."""

_HINTS = {
    '"': "text stands in single quotes: 'text'",
    "'": "the text that begins here has no closing quote; a quote inside is written twice: 'it''s'",
    "=": "equality is ==",
    "&": "and is &&",
    "|": "or is ||",
    "?": "there is no a ? b : c; write case(a, b, c)",
    "$": "${{ }} cannot stand inside another expression",
    "+": "there is no arithmetic; to join text use format('{0}{1}', a, b)",
}


def _tokens(text: str) -> list[_Token]:
    found = [_Token(each.lastgroup or "", each.group(), each.start()) for each in _TOKEN.finditer(text)]
    tokens = [token for token in found if token.kind != "space"]
    tokens.append(_Token("end", "", len(text)))
    return tokens


class _Parser:
    """Precedence climbing over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.at = 0
        self.depth = 0

    def whole(self) -> Expression:
        if self.token.kind == "end":
            self.fail("there is no expression here")
        tree = self.expression(1)
        if self.token.kind != "end":
            self.unexpected("an operator or the end of the expression")
        self.check_depth(tree)
        return tree

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def take(self) -> _Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def accept(self, symbol: str) -> bool:
        token = self.tokens[self.at]
        if token.kind == "symbol" and token.text == symbol:
            self.at += 1
            return True
        return False

    def fail(self, message: str, offset: int | None = None) -> NoReturn:
        raise ExpressionError(message, self.text, self.token.offset if offset is None else offset)

    def unexpected(self, expected: str) -> NoReturn:
        token = self.token
        if token.kind == "end":
            self.fail(f"the expression ends where {expected} should stand")
        shown = token.text if len(token.text) <= 40 else token.text[:40] + "..."
        hint = f" ({_HINTS[token.text]})" if token.text in _HINTS else ""
        self.fail(f"unexpected {shown} where {expected} should stand{hint}")

    def enter(self, offset: int) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"brackets are nested deeper than the limit of {MAX_DEPTH} levels", offset)

    def expression(self, weakest: int) -> Expression:
        """Operands joined by operators that bind at least as tightly as `weakest`."""
        left = self.operand()
        while True:
            token = self.token
            strength = _BINARY.get(token.text, 0) if token.kind == "symbol" else 0
            if strength < weakest or not strength:
                return left
            self.at += 1
            left = _joined(token, left, self.expression(strength + 1))

    def operand(self) -> Expression:
        """One value with its `!` before and its `.name`, `[key]`, `.*` behind."""
        nots = []
        while self.token.kind == "symbol" and self.token.text == "!":
            nots.append(self.take().offset)
        node, indexable = self.primary()
        while indexable and self.token.kind == "symbol":
            token = self.token
            if self.accept("."):
                node = self.property_of(node, token.offset)
            elif self.accept("["):
                node = self.index_of(node, token.offset)
            else:
                break
        for offset in reversed(nots):
            node = Not(node, offset)
        return node

    def primary(self) -> tuple[Expression, bool]:
        """A literal, context, call or bracket, and whether `.` or `[` may follow it."""
        token = self.token
        if token.kind == "word":
            return self.word()
        if token.kind == "number":
            return self.number(), False
        if token.kind == "string":
            self.at += 1
            return Literal(token.text[1:-1].replace("''", "'"), token.offset), False
        if not self.accept("("):
            self.unexpected("a value")
        self.enter(token.offset)
        node = self.expression(1)
        if not self.accept(")"):
            self.unexpected('a closing ")"')
        self.depth -= 1
        return node, True

    def number(self) -> Literal:
        token = self.take()
        value = parse_number(token.text)
        if value != value:
            self.fail(f"{token.text[:40]} is not a number", token.offset)
        return Literal(simple(value), token.offset)

    def word(self) -> tuple[Expression, bool]:
        token = self.take()
        if token.text in _CONSTANTS:
            return Literal(_CONSTANTS[token.text], token.offset), False
        if self.accept("("):
            return self.call(token), True
        name = token.text.lower()
        if name not in CONTEXTS:
            what = "is a function and needs brackets" if name in FUNCTION_BY_LOWER else "is not a context"
            self.fail(f'"{token.text[:100]}" {what}{suggestion(token.text, CONTEXTS)}', token.offset)
        return Context(name, token.offset), True

    def call(self, word: _Token) -> Call:
        name = FUNCTION_BY_LOWER.get(word.text.lower())
        if name is None:
            self.fail(f'"{word.text[:100]}" is not a function{suggestion(word.text, tuple(FUNCTIONS))}', word.offset)
        self.enter(word.offset)
        arguments: list[Expression] = []
        if not self.accept(")"):
            arguments.append(self.expression(1))
            while self.accept(","):
                arguments.append(self.expression(1))
            if not self.accept(")"):
                self.unexpected('"," or a closing ")"')
        self.depth -= 1
        self.check_count(name, len(arguments), word.offset)
        return Call(name, tuple(arguments), word.offset)

    def check_count(self, name: str, count: int, offset: int) -> None:
        least, most = FUNCTIONS[name]
        if not least <= count <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            self.fail(f"{name} takes {wanted} argument{'s' * (wanted != '1')}, here are {count}", offset)
        if name == "case" and count % 2 == 0:
            self.fail("case takes pairs of condition and value, and a last value for when none is true", offset)

    def property_of(self, target: Expression, offset: int) -> Expression:
        if self.accept("*"):
            return Filter(target, offset)
        if self.token.kind != "word":
            self.unexpected("the name of a property (other keys: ['key'])")
        token = self.take()
        return Index(target, Literal(token.text, token.offset), offset)

    def index_of(self, target: Expression, offset: int) -> Expression:
        self.enter(offset)
        if self.accept("*"):
            node: Expression = Filter(target, offset)
        else:
            node = Index(target, self.expression(1), offset)
        if not self.accept("]"):
            self.unexpected('a closing "]"')
        self.depth -= 1
        return node

    def check_depth(self, tree: Expression) -> None:
        """Chains (`a.b.c`, `!!a`, `a == b == c`) nest without brackets."""
        level, depth = [tree], 1
        while level:
            if depth > MAX_DEPTH:
                self.fail(f"the expression is nested deeper than the limit of {MAX_DEPTH} levels", level[0].offset)
            level = [child for node in level for child in children(node)]
            depth += 1


_CONSTANTS: dict[str, bool | float | None] = {
    "null": None,
    "true": True,
    "false": False,
    "NaN": parse_number("NaN"),
    "Infinity": parse_number("Infinity"),
}


def _joined(operator: _Token, left: Expression, right: Expression) -> Expression:
    """One node for the two operands; chains of the same `&&` or `||` become one flat node, as on GitHub."""
    if operator.text == "&&":
        return And(_flat(And, left) + _flat(And, right), operator.offset)
    if operator.text == "||":
        return Or(_flat(Or, left) + _flat(Or, right), operator.offset)
    return Compare(operator.text, left, right, operator.offset)


def _flat(kind: type[And] | type[Or], node: Expression) -> tuple[Expression, ...]:
    return node.operands if isinstance(node, kind) and isinstance(node, And | Or) else (node,)
