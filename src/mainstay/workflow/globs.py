"""GitHub's two pattern languages: filters of branches, tags and paths, and file globs (hashFiles, artifacts).

They look alike and differ: in a filter `?` and `+` repeat the character before them and `**` may stand anywhere; in a
file glob `?` is one character and `**` is a whole part of the path.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mainstay.model.errors import BadInput
from mainstay.workflow.glob_automaton import Char, Matcher, Part, Times, Wild

MAX_PATTERN = 1000
"""Characters of one pattern."""
MAX_PATTERNS = 1000
"""Patterns of one list."""


class GlobError(BadInput):
    """A pattern that cannot be read; the message quotes it and says what is wrong."""

    code = "bad-pattern"


@dataclass(frozen=True, slots=True)
class _Rule:
    """One pattern of a list; a later one that fits wins."""

    chooses: bool
    matcher: Matcher


def _decide(rules: Iterable[_Rule], name: str) -> bool:
    chosen = False
    for rule in rules:
        if rule.chooses != chosen and rule.matcher.matches(name):
            chosen = rule.chooses
    return chosen


def _bounded(patterns: Sequence[str]) -> Sequence[str]:
    if len(patterns) > MAX_PATTERNS:
        raise GlobError(f"a list of {len(patterns)} patterns is longer than the limit of {MAX_PATTERNS}")
    for pattern in patterns:
        if len(pattern) > MAX_PATTERN:
            raise GlobError(f'a pattern is longer than the limit of {MAX_PATTERN} characters: "{pattern[:60]}..."')
    return patterns


class Filter:
    """`branches: [...]`, `tags`, `paths` and their `-ignore` forms: patterns in order, `!` takes out again."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raises GlobError."""
        self.patterns = tuple(_bounded(patterns))
        self._rules = tuple(_filter_rule(pattern) for pattern in self.patterns)

    @property
    def never(self) -> bool:
        """Whether nothing can match, because every pattern begins with `!`: worth a warning."""
        return bool(self._rules) and not any(rule.chooses for rule in self._rules)

    def matches(self, name: str) -> bool:
        """Whether the last pattern that fits `name` (a branch, tag or path, without `refs/heads/`) has no `!`."""
        return _decide(self._rules, name)

    def matches_any(self, names: Iterable[str]) -> bool:
        """Whether it matches one of them: `paths`."""
        return any(map(self.matches, names))

    def matches_all(self, names: Iterable[str]) -> bool:
        """Whether it matches every one of them (and there is one): then `paths-ignore` skips the workflow."""
        count = 0
        for name in names:
            if not self.matches(name):
                return False
            count += 1
        return count > 0


def _filter_rule(pattern: str) -> _Rule:
    body = pattern.removeprefix("!")
    if not body:
        raise GlobError(f'the pattern "{pattern}" is empty')
    return _Rule(body == pattern, Matcher(_filter_parts(body, pattern)))


_FILTER_TOKEN = re.compile(
    r"(?P<stars>\*+)(?P<slash>/?)|\[(?P<set>[^\]]*)\]|(?P<times>[?+])|\\(?P<escaped>.)|(?P<char>.)", re.DOTALL
)


def _filter_parts(body: str, pattern: str) -> list[Part]:
    parts: list[Part] = []
    for token in _FILTER_TOKEN.finditer(body):
        if token["stars"]:
            parts += _stars(body, token)
        elif token["times"]:
            parts[-1:] = [_repeated(parts, token["times"], pattern)]
        elif token["set"] is not None:
            parts.append(Char(_members(token["set"], pattern)))
        elif token["char"] == "[":
            raise GlobError(f'the pattern "{pattern}" has a [ without its ]')
        else:
            parts.append(Char(frozenset(token["escaped"] or token["char"])))
    return parts


def _stars(body: str, token: re.Match[str]) -> list[Part]:
    """`**/` at the beginning of a part of the path may be nothing at all."""
    slash: list[Part] = [Char(frozenset("/"))] if token["slash"] else []
    if len(token["stars"]) == 1:
        return [Wild.NAME, *slash]
    at_start = token.start() == 0 or body[token.start() - 1] == "/"
    return [Wild.FOLDERS] if slash and at_start else [Wild.ANY, *slash]


def _repeated(parts: list[Part], sign: str, pattern: str) -> Char:
    last = parts[-1] if parts else None
    if not isinstance(last, Char) or last.times is not Times.ONCE:
        raise GlobError(
            f'the pattern "{pattern}" has a {sign} with no character before it that it could repeat; '
            f"for the character itself write \\{sign}"
        )
    return Char(last.members, times=Times(sign))


def _members(text: str, pattern: str) -> frozenset[str]:
    members: set[str] = set()
    for first, last, single in re.findall(r"(.)-(.)|(.)", text, re.DOTALL):
        if single:
            members.add(single)
        elif first > last or not (first + last).isascii():
            raise GlobError(f'the pattern "{pattern}" has a range {first}-{last}; ranges go up, as in a-z, A-Z, 0-9')
        else:
            members.update(map(chr, range(ord(first), ord(last) + 1)))
    if not members:
        raise GlobError(f'the pattern "{pattern}" has an empty []')
    return frozenset(members)


def select_files(patterns: Sequence[str], paths: Iterable[str], root: str = "") -> tuple[str, ...]:
    """Those of `paths` (relative to the workspace, `/` between parts) that the globs choose, in the order given.

    As @actions/glob: `*`, `?`, `[]`, `**`, a later pattern wins, `!` takes out, lines that begin with `#` are remarks,
    and a pattern that names a folder chooses everything below it. A pattern may have several lines. `root` is the
    absolute path of the workspace: patterns may begin with it. Raises GlobError.
    """
    lines = [line.strip() for pattern in patterns for line in pattern.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    rules = [_glob_rule(line, root.rstrip("/")) for line in _bounded(lines)]
    return tuple(path for path in paths if _decide(rules, path))


def _glob_rule(line: str, root: str) -> _Rule:
    body = line
    chooses = True
    while body.startswith("!"):
        chooses = not chooses
        body = body[1:].strip()
    if root and (body == root or body.startswith(root + "/")):
        body = body[len(root) :] or "/"
    parts = [part for part in body.split("/") if part]
    if parts and parts[0] == ".":
        parts = parts[1:]
    if "." in parts or ".." in parts or body.startswith("~") or not body:
        raise GlobError(
            f'the pattern "{line}" cannot be used: it must stay in the workspace, without "..", "." and "~"'
        )
    return _Rule(chooses, Matcher(_glob_parts(parts, body.endswith("/"))))


def _glob_parts(segments: list[str], folders_only: bool) -> Iterator[Part]:
    """The last part may be a folder, which means all that is in it; with a `/` behind it, it is one."""
    if not segments:
        yield Wild.ANY
        return
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        if segment == "**":
            yield Wild.ANY if last else Wild.FOLDERS
            continue
        yield from _segment_parts(segment)
        if not last:
            yield Char(frozenset("/"))
    if segments[-1] != "**":
        yield Wild.INSIDE if folders_only else Wild.BELOW


_GLOB_TOKEN = re.compile(
    r"\\(?P<escaped>.)|(?P<stars>\*+)|(?P<any>\?)|\[(?P<not>[!^]?)(?P<set>(?:\\.|[^\]\\])+)\]|(?P<char>.)", re.DOTALL
)


def _segment_parts(segment: str) -> Iterator[Part]:
    for token in _GLOB_TOKEN.finditer(segment):
        if token["stars"]:
            yield Wild.NAME
        elif token["any"]:
            yield Char(frozenset(), inverted=True)
        elif token["set"]:
            yield Char(_members(re.sub(r"\\(.)", r"\1", token["set"]), segment), inverted=bool(token["not"]))
        else:
            yield Char(frozenset(token["escaped"] or token["char"]))
