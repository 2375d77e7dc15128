"""Version ranges of Python as `actions/setup-python` writes them: `3.12`, `3.x`, `>=3.9 <3.12`, `~3.11`, `pypy3.10`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from mainstay.runner.actions.call import ActionFailed, NotHere

Version: TypeAlias = tuple[int, int, int]

_ONE = re.compile(
    r"(>=|<=|>|<|==|=|~=|\^|~|!=)?\s*v?(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?((?:a|b|rc|-alpha|-beta|-rc)[\w.]*)?"
)
_EXACT = re.compile(r"(\d+)\.(\d+)\.(\d+)((?:a|b|rc)\d+)?\+?")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a workflow asks for."""

    text: str
    fits: Callable[[Version], bool]
    prereleases: bool = False
    freethreaded: bool = False


def parse(text: str) -> Wanted:
    """Raises ActionFailed for what is not available here, and why, and for what makes no sense."""
    asked = text.strip()
    lower = asked.lower()
    for name in ("pypy", "graalpy"):
        if lower.startswith(name):
            raise NotHere(f"{asked} is not available here: only CPython is; leave {name} out of the matrix")
    if lower in ("", "x", "*", "3", "3.x"):
        return Wanted(asked or "3.x", lambda version: version[0] == 3)
    development = lower.endswith("-dev")
    core = lower.removesuffix("-dev")
    freethreaded = bool(re.fullmatch(r"3\.\d+(?:\.\d+)?t", core))
    core = core.removesuffix("t") if freethreaded else core
    alternatives = [_all_of(part.strip(), asked) for part in core.split("||")]
    return Wanted(
        asked,
        lambda version: any(fits(version) for fits in alternatives),
        prereleases=development or bool(re.search(r"\d(?:a|b|rc)\d|-(?:alpha|beta|rc)|-0", core)),
        freethreaded=freethreaded,
    )


def exact(text: str) -> tuple[Version, bool] | None:
    """The version that an interpreter says it is, and whether it is a prerelease."""
    found = _EXACT.match(text.strip().removeprefix("Python "))
    return ((int(found[1]), int(found[2]), int(found[3])), bool(found[4])) if found else None


def _all_of(part: str, asked: str) -> Callable[[Version], bool]:
    hyphen = re.fullmatch(r"(\S+)\s+-\s+(\S+)", part)
    if hyphen:
        part = f">={hyphen[1]} <={hyphen[2]}"
    tests = []
    rest = part.replace(",", " ").strip()
    while rest:
        found = _ONE.match(rest)
        if not found:
            raise ActionFailed(
                f"{asked!r} is not a version of Python: write 3.12, 3.x, or a range such as '>=3.10 <3.13'"
            )
        tests.append(_one(found[1] or "", [_number(found[group]) for group in (2, 3, 4)]))
        rest = rest[found.end() :].lstrip()
    return lambda version: all(test(version) for test in tests)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _one(operator: str, parts: list[int | None]) -> Callable[[Version], bool]:
    given = [part for part in parts[: parts.index(None) if None in parts else 3] if part is not None]
    low: Version = (*given, 0, 0, 0)[:3]  # type: ignore[assignment]

    def begins(version: Version, length: int = len(given)) -> bool:
        return list(version[:length]) == given[:length]

    match operator:
        case "" | "=" | "==":
            return begins
        case "!=":
            return lambda version: not begins(version)
        case ">=":
            return lambda version: version >= low
        case ">":
            return lambda version: version > low and not begins(version)
        case "<":
            return lambda version: version < low
        case "<=":
            return lambda version: version <= low or begins(version)
        case "^":
            return lambda version: version >= low and begins(version, 1)
        case "~=":
            return lambda version: version >= low and begins(version, max(1, len(given) - 1))
        case _:  # ~
            return lambda version: version >= low and begins(version, min(2, len(given)))
