"""Matches a name against a pattern in time linear in the name, whatever the pattern is.

A pattern is a list of parts. It becomes a regular expression where that cannot backtrack much, and else sets of states
held in the bits of an integer, one per part, which take one step per character.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

MAX_UNBOUNDED = 2
"""Parts of any length up to which a regular expression is used: its time grows with the name to that power."""
MAX_MAYBE = 3
"""Parts that may be missing up to which one is used: its time doubles with each."""


class Times(Enum):
    """How often a character stands."""

    ONCE = ""
    MAYBE = "?"
    SOME = "+"


@dataclass(frozen=True, slots=True)
class Char:
    """One of `members`, or with `inverted` any other but `/`."""

    members: frozenset[str]
    inverted: bool = False
    times: Times = Times.ONCE

    def accepts(self, character: str) -> bool:
        return (character in self.members) != self.inverted and not (self.inverted and character == "/")


class Wild(Enum):
    """Parts that stand for any number of characters."""

    NAME = "[^/]*"
    """Any but `/`."""
    ANY = ".*"
    FOLDERS = "(?:.*/)?"
    """Nothing, or anything that ends with `/`."""
    BELOW = "(?:/.*)?"
    """Nothing, or `/` and anything: a folder that was named means all that is in it. Last only."""
    INSIDE = "/.*"
    """`/` and anything. Last only."""


Part = Char | Wild


class Matcher:
    """One pattern, compiled."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self.parts = tuple(_without_repeats(parts))
        unbounded = sum(part.times is Times.SOME if isinstance(part, Char) else True for part in self.parts)
        maybe = sum(isinstance(part, Char) and part.times is Times.MAYBE for part in self.parts)
        simple = unbounded <= MAX_UNBOUNDED + (self.parts[-1:] == (Wild.BELOW,)) and maybe <= MAX_MAYBE
        self._regex = re.compile("".join(map(_regex, self.parts)), re.DOTALL) if simple else None

    def matches(self, name: str) -> bool:
        """Whether the pattern fits the whole name."""
        if self._regex is not None:
            return self._regex.fullmatch(name) is not None
        return self._automaton.matches(name)

    @cached_property
    def _automaton(self) -> "_Automaton":
        return _Automaton(self.parts)


def _without_repeats(parts: Iterable[Part]) -> Iterator[Part]:
    """`**/**/` says no more than `**/`."""
    last: Part | None = None
    for part in parts:
        if not (isinstance(part, Wild) and part is last):
            yield part
        last = part


def _regex(part: Part) -> str:
    if isinstance(part, Wild):
        return part.value
    members = "".join(map(re.escape, sorted(part.members)))
    if part.inverted:
        return f"[^/{members}]{part.times.value}"
    return f"[{members}]{part.times.value}" if len(part.members) > 1 else members + part.times.value


class _Automaton:
    """State n means: the parts before n fit what was read. A character keeps a state, moves it on, or ends it."""

    def __init__(self, parts: tuple[Part, ...]) -> None:
        self.skip = 0
        """States that may move on by one without a character."""
        self.skip_two = 0
        self.final = 0
        self.chars: list[tuple[int, Char]] = []
        self.stay_any = self.stay_name = self.go_slash = 0
        size = 0
        for part in parts:
            size += self._add(part, 1 << size)
        self.final |= 1 << size
        self.steps: dict[str, tuple[int, int]] = {}
        """Per character: the states it keeps and those it moves on."""

    def _add(self, part: Part, state: int) -> int:
        """Returns how many states the part takes."""
        if isinstance(part, Char):
            self.chars.append((state, part))
            self.skip |= state if part.times is Times.MAYBE else 0
            return 1
        if part is Wild.FOLDERS:
            self.skip |= state
            self.skip_two |= state
            self.stay_any |= state << 1
            self.go_slash |= state << 1
            return 2
        if part in (Wild.BELOW, Wild.INSIDE):
            self.go_slash |= state
            self.stay_any |= state << 1
            self.final |= state if part is Wild.BELOW else 0
            return 1
        self.skip |= state
        if part is Wild.ANY:
            self.stay_any |= state
        else:
            self.stay_name |= state
        return 1

    def _step(self, character: str) -> tuple[int, int]:
        stay = self.stay_any | (0 if character == "/" else self.stay_name)
        go = self.go_slash if character == "/" else 0
        for state, char in self.chars:
            if char.accepts(character):
                go |= state
                stay |= state if char.times is Times.SOME else 0
        if len(self.steps) < 1024:
            self.steps[character] = stay, go
        return stay, go

    def _closed(self, states: int) -> int:
        while True:
            more = states | (states & self.skip) << 1 | (states & self.skip_two) << 2
            if more == states:
                return states
            states = more

    def matches(self, name: str) -> bool:
        states = self._closed(1)
        for character in name:
            stay, go = self.steps.get(character) or self._step(character)
            states = self._closed((states & stay) | (states & go) << 1)
            if not states:
                return False
        return bool(states & self.final)
