"""Which environments a tox configuration has for tests, as far as its text tells: names, Python versions, what is not a
test.
"""

import configparser
import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mainstay.workflow.files import Files

MOST: Final = 200
"""A list of more environments than this is left to one run of tox."""
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\Z")
PYTHON: Final = re.compile(r"(?P<kind>py|pypy|cpython|graalpy)?(?P<version>\d(?:\.?\d+)?(?:\.\d+)?)?(?P<free>t?)\Z")
"""A factor that names an interpreter, as tox has it."""
TESTING: Final = frozenset({"test", "tests", "testing", "unit", "unittest", "unittests", "pytest", "integration"})
OTHERWISE: Final = frozenset(
    re.findall(
        r"\S+",
        """
        lint linting linter linters style format formatting fmt black ruff isort flake8 pep8 pylint pycodestyle
        codestyle mypy pyright ty typing types type typecheck doc docs documentation linkcheck spelling
        pre-commit precommit pre build package packaging pkg release publish dist manifest check-manifest twine
        changelog news bandit safety audit security clean dev devenv report
        """,
    )
)
"""Factors of environments that look after style, types, documentation and packages."""
TEST_COMMAND: Final = re.compile(
    r"\b(?:pytest|py\.test|unittest|nosetests|trial|stestr|zope-testrunner|runtests|green|ward|manage\.py test)\b"
)


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment of the list that tox runs by itself."""

    name: str
    python: str | None = None
    """As `actions/setup-python` takes it; None: whichever Python there is."""


@dataclass(frozen=True, slots=True)
class Environments:
    """What tox runs by itself, divided. No `tests`: the text does not tell, or tests are not what it is for."""

    base: str
    """How `-x` names the base of all environments in this file's format."""
    tests: tuple[Environment, ...] = ()
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Written:
    """A configuration as written, whatever its format."""

    base: str
    names: tuple[str, ...] | None
    """None: not to be told from the text."""
    own: Mapping[str, str] = field(default_factory=dict)
    """What environments say of themselves: by name, the text."""


def environments(files: Files, present: frozenset[str], pyproject: Mapping[str, Any]) -> Environments | None:
    """The environments of a repository's tox configuration; None: it has none."""
    written = _written(files, present, pyproject)
    if written is None:
        return None
    names = written.names if written.names != () else ("py",)
    if names is None or len(names) > MOST or not all(NAME.match(name) for name in names):
        return Environments(written.base)
    tests = [name for name in names if _is_test(name, written.own)]
    others = tuple(name for name in names if name not in tests)
    return Environments(written.base, tuple(Environment(name, _python(name)) for name in tests), others)


def _written(files: Files, present: frozenset[str], pyproject: Mapping[str, Any]) -> _Written | None:
    """In the order in which tox looks: tox.ini, setup.cfg, pyproject.toml, tox.toml."""
    if "tox.ini" in present:
        found = _of_ini(_text(files, "tox.ini"), "tox")
        if found is not None:
            return found
    if "setup.cfg" in present:
        found = _of_ini(_text(files, "setup.cfg"), "tox:tox")
        if found is not None:
            return found
    tools = pyproject.get("tool")
    table = tools.get("tox") if isinstance(tools, dict) else None
    if isinstance(table, dict):
        legacy = table.get("legacy_tox_ini")
        if isinstance(legacy, str):
            return _of_ini(legacy, "tox") or _Written("testenv", ())
        return _of_toml(table)
    if "tox.toml" in present:
        try:
            return _of_toml(tomllib.loads(_text(files, "tox.toml")))
        except (ValueError, RecursionError):
            return _Written("env_run_base", None)
    return None


def _text(files: Files, path: str) -> str:
    return (files.read(path) or b"").decode("utf-8", "replace")


def _of_ini(text: str, section: str) -> _Written | None:
    """None: nothing of it is about tox."""
    parser = configparser.RawConfigParser(strict=False, interpolation=None, allow_no_value=True, delimiters=("=",))
    try:
        parser.read_string(text)
    except configparser.Error:
        told = re.search(rf"^\[(?:{re.escape(section)}|testenv\b)", text, re.MULTILINE)
        return _Written("testenv", None) if told else None
    own = {
        each.strip(): "\n".join(value or "" for key, value in parser.items(name) if key.startswith("commands"))
        for name in parser.sections()
        if name.startswith("testenv:") and "commands" in parser[name]
        for each in _expanded(name.removeprefix("testenv:")) or ()
    }
    if not any(name == section or re.match(r"testenv\b", name) for name in parser.sections()):
        return None
    listed = ""
    if parser.has_section(section):
        listed = parser.get(section, "env_list", fallback="") or parser.get(section, "envlist", fallback="") or ""
    return _Written("testenv", _expanded(listed), own)


def _of_toml(table: Mapping[str, Any]) -> _Written:
    listed, given = table.get("env_list", []), table.get("env", {})
    named = given if isinstance(given, dict) else {}
    own = {name: str(each["commands"]) for name, each in named.items() if isinstance(each, dict) and "commands" in each}
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        return _Written("env_run_base", None, own)  # `{product = [...]}`, or nonsense
    names = [name for each in listed for name in _expanded(each) or (" ",)]
    return _Written("env_run_base", tuple(dict.fromkeys(names)), own)


def _expanded(text: str) -> tuple[str, ...] | None:
    """The names of a list with commas, lines and braces: `py{39,310}-{a,b}`. None: its text alone does not tell."""
    text = re.sub(r"(?m)(?:^|\s)#.*$", "", text)
    if re.search(r"\{[^}]*[:\[/]", text):  # {env:LIST}, {[section]key}, {posargs}
        return None
    names: dict[str, None] = {}
    for line in text.splitlines():
        for entry in re.split(r",(?![^{]*\})", line):
            for name in itertools.islice(_products(entry.strip()), MOST + 1) if entry.strip() else ():
                names[name] = None
                if len(names) > MOST:
                    return None
    return tuple(names)


def _products(entry: str) -> Iterator[str]:
    parts = re.split(r"\{([^{}]*)\}", entry)
    choices = [
        [part] if number % 2 == 0 else [one for each in part.split(",") for one in _range(each.strip())]
        for number, part in enumerate(parts)
    ]
    return ("".join(choice) for choice in itertools.product(*choices))


def _range(text: str) -> list[str]:
    """`10-13` is 10, 11, 12, 13."""
    found = re.fullmatch(r"(\d{1,4})-(\d{1,4})", text)
    if found is None or not 0 <= int(found[2]) - int(found[1]) <= MOST:
        return [text]
    return [str(number) for number in range(int(found[1]), int(found[2]) + 1)]


def _is_test(name: str, own: Mapping[str, str]) -> bool:
    """By its factors; where those do not tell, by its commands: without any of its own it has those of the base."""
    factors = name.lower().split("-")
    if not OTHERWISE.isdisjoint((*factors, name.lower())):
        return False
    if any(_interpreter(factor) or factor in TESTING for factor in factors):
        return True
    return name not in own or TEST_COMMAND.search(own[name]) is not None


def _interpreter(factor: str) -> re.Match[str] | None:
    found = PYTHON.match(factor)
    # A number alone may be the version of anything: tox takes it for Python's when it looks like one.
    told = found and (found["kind"] or re.match(r"[23]\.\d", found["version"] or ""))
    return found if told else None


def _python(name: str) -> str | None:
    for factor in name.lower().split("-"):
        found = _interpreter(factor)
        if found is None or not found["version"]:
            continue
        digits = found["version"]
        version = digits if "." in digits or len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
        if version in ("2", "3"):
            return f"{version}.x" if found["kind"] in ("py", "cpython", None) else f"{found['kind']}{version}"
        return f"{found['kind'] if found['kind'] in ('pypy', 'graalpy') else ''}{version}{found['free']}"
    return None
