"""What a Python project's own files say about how to install it for its tests: extras, groups, requirement files."""

import ast
import configparser
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mainstay.model.plan import Problem
from mainstay.workflow.files import Files

TEST_NAMES = ("test", "tests", "testing")
DEV_NAME = "dev"
TEST_REQUIREMENTS = (
    "requirements-test.txt",
    "requirements-tests.txt",
    "requirements-testing.txt",
    "requirements_test.txt",
    "requirements_tests.txt",
    "test-requirements.txt",
    "test_requirements.txt",
    "requirements/test.txt",
    "requirements/tests.txt",
    "requirements/testing.txt",
    "tests/requirements.txt",
    "test/requirements.txt",
)
DEV_REQUIREMENTS = (
    "requirements-dev.txt",
    "requirements_dev.txt",
    "dev-requirements.txt",
    "dev_requirements.txt",
    "requirements/dev.txt",
)


@dataclass(frozen=True, slots=True)
class Project:
    """How to install a project so that its tests can run. Everything empty: there is nothing to install."""

    packaged: bool = False
    """`pip install -e .` works on it."""
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """Dependency groups of PEP 735."""
    requirement_files: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    """Requirements written out, for tables that no installer reads by itself (Poetry, PDM, Hatch, uv)."""
    python: str | None = None
    """A version specifier that uv does not find by itself."""
    source_folder: str | None = None
    """Put on the import path, because the code lies there and is not installed."""

    @property
    def installs(self) -> bool:
        return self.packaged or bool(self.extras or self.groups or self.requirement_files or self.requirements)


@dataclass(frozen=True, slots=True)
class _Offers:
    """What one kind of declaration offers: name of a set to the requirements in it, as far as they can be read."""

    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    spelt_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_project(files: Files, present: frozenset[str], pyproject: Mapping[str, Any]) -> Project:
    """What to install for the tests. `present`: tracked paths; `pyproject`: the read `pyproject.toml` ({}: none)."""
    setup_cfg = _ini(files.read("setup.cfg")) if "setup.cfg" in present else {}
    setup_py = _setup_call(files.read("setup.py")) if "setup.py" in present else {}
    packaged = _is_packaged(present, pyproject, setup_cfg)
    listed: tuple[str, ...] = ()
    declared = pyproject.get("project")
    if not packaged and isinstance(declared, dict):
        listed = _strings(declared.get("dependencies"))
    offers = _Offers(
        extras=_extras(pyproject, setup_cfg, setup_py),
        groups={_normal(name): _strings(items) for name, items in _table(pyproject, "dependency-groups").items()},
        spelt_out=_spelt_out(pyproject),
        files={path: _lines(files.read(path)) for path in (*TEST_REQUIREMENTS, *DEV_REQUIREMENTS) if path in present},
    )
    extras, groups, spelt_out, requirement_files = _choose(offers)
    if not packaged:
        # No build system, so nothing can be installed "with its extra": its requirements are named one by one.
        for name in extras:
            listed += offers.extras[name]
        extras = ()
        if "requirements.txt" in present:
            requirement_files = ("requirements.txt", *requirement_files)
    return Project(
        packaged=packaged,
        extras=extras,
        groups=groups,
        requirement_files=requirement_files,
        requirements=tuple(dict.fromkeys((*listed, *spelt_out))),
        python=_python(present, pyproject, setup_cfg, setup_py),
        source_folder="src" if not packaged and any(path.startswith("src/") for path in present) else None,
    )


def read_pyproject(files: Files, present: frozenset[str]) -> tuple[Mapping[str, Any], tuple[Problem, ...]]:
    """`pyproject.toml` as a mapping ({} when absent or broken) and what is wrong with it."""
    data = files.read("pyproject.toml") if "pyproject.toml" in present else None
    if data is None:
        return {}, ()
    try:
        return tomllib.loads(data.decode()), ()
    except (ValueError, RecursionError) as error:
        place = re.search(r"line (\d+), column (\d+)", str(error))
        return {}, (
            Problem(
                "warning",
                f"this file is not valid TOML and was left out of account: {error}",
                "pyproject.toml",
                line=int(place[1]) if place else None,
                column=int(place[2]) if place else None,
            ),
        )


def _choose(offers: _Offers) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The sets made for tests; those made for developers too, when none of the former names pytest."""
    extras = [name for name in offers.extras if _normal(name) in TEST_NAMES]
    groups = [name for name in offers.groups if name in TEST_NAMES]
    spelt_out = [name for name in offers.spelt_out if name in TEST_NAMES]
    files = [name for name in offers.files if name in TEST_REQUIREMENTS]
    chosen = [
        *(item for name in extras for item in offers.extras[name]),
        *(item for name in groups for item in offers.groups[name]),
        *(item for name in spelt_out for item in offers.spelt_out[name]),
        *(item for name in files for item in offers.files[name]),
    ]
    if not any(_normal(item).startswith("pytest") for item in chosen):
        extras += [name for name in offers.extras if _normal(name) == DEV_NAME]
        groups += [name for name in offers.groups if name == DEV_NAME]
        spelt_out += [name for name in offers.spelt_out if name == DEV_NAME]
        files += [name for name in offers.files if name in DEV_REQUIREMENTS]
    literal = tuple(item for name in spelt_out for item in offers.spelt_out[name])
    return tuple(extras), tuple(groups), literal, tuple(files)


def _is_packaged(
    present: frozenset[str], pyproject: Mapping[str, Any], setup_cfg: Mapping[str, Mapping[str, str]]
) -> bool:
    if "setup.py" in present or "build-system" in pyproject:
        return True
    return "pyproject.toml" not in present and "name" in setup_cfg.get("metadata", {})


def _extras(
    pyproject: Mapping[str, Any], setup_cfg: Mapping[str, Mapping[str, str]], setup_py: Mapping[str, Any]
) -> dict[str, tuple[str, ...]]:
    """Extra name, as it is written, to its requirements."""
    found: dict[str, tuple[str, ...]] = {}
    for name, text in setup_cfg.get("options.extras_require", {}).items():
        found[name] = tuple(line.strip() for line in re.split(r"[\n;]", text) if line.strip())
    for table in (setup_py.get("extras_require"), _table(pyproject, "tool", "poetry", "extras")):
        if isinstance(table, dict):
            found |= {str(name): _strings(items) for name, items in table.items()}
    for name, items in _table(pyproject, "project", "optional-dependencies").items():
        found[name] = _strings(items)
    return found


def _spelt_out(pyproject: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Named sets in tables of tools, as plain requirements."""
    found: dict[str, tuple[str, ...]] = {}

    def add(name: str, items: Iterable[str]) -> None:
        found[_normal(name)] = (*found.get(_normal(name), ()), *items)

    poetry = _table(pyproject, "tool", "poetry")
    add(DEV_NAME, _poetry(_table(poetry, "dev-dependencies")))
    for name, group in _table(poetry, "group").items():
        add(name, _poetry(_table(group, "dependencies")) if isinstance(group, dict) else ())
    for name, items in _table(pyproject, "tool", "pdm", "dev-dependencies").items():
        add(name, _strings(items))
    add(DEV_NAME, _strings(_table(pyproject, "tool", "uv").get("dev-dependencies")))
    for name, env in _table(pyproject, "tool", "hatch", "envs").items():
        if isinstance(env, dict):
            add("test" if name == "hatch-test" else name, _strings(env.get("dependencies")))
            add("test" if name == "hatch-test" else name, _strings(env.get("extra-dependencies")))
    return {name: items for name, items in found.items() if items}


def _poetry(table: Mapping[str, Any]) -> Iterable[str]:
    """Poetry's own way to write requirements, as the usual one. Paths and repositories, which need it, are left out."""
    for name, wanted in table.items():
        if name == "python":
            continue
        if isinstance(wanted, str):
            yield name + specifier(wanted)
        elif isinstance(wanted, dict) and isinstance(wanted.get("version"), str) and not wanted.get("optional"):
            extras = _strings(wanted.get("extras"))
            marker = f"; {wanted['markers']}" if isinstance(wanted.get("markers"), str) else ""
            yield name + (f"[{','.join(extras)}]" if extras else "") + specifier(wanted["version"]) + marker


def specifier(poetry: str) -> str:
    """A version constraint of Poetry (`^1.2`, `~1.2`, `1.2.*`, `*`) as one of PEP 440."""
    parts = []
    for part in poetry.split(","):
        part = part.strip()
        match = re.fullmatch(r"([\^~])\s*(\d+)((?:\.\d+)*)(.*)", part)
        if match:
            numbers = [int(number) for number in (match[2] + match[3]).split(".")]
            keep = 1 if len(numbers) == 1 else 2
            if match[1] == "^":
                keep = next((place for place, number in enumerate(numbers, 1) if number), len(numbers))
            upper = [*numbers[: keep - 1], numbers[keep - 1] + 1]
            parts.append(f">={match[2]}{match[3]}{match[4]},<{'.'.join(map(str, upper))}")
        elif re.match(r"\d", part):
            parts.append(f"=={part}")
        elif part not in ("", "*"):
            parts.append(part)
    return ",".join(parts)


def _python(
    present: frozenset[str],
    pyproject: Mapping[str, Any],
    setup_cfg: Mapping[str, Mapping[str, str]],
    setup_py: Mapping[str, Any],
) -> str | None:
    """uv reads `.python-version` and `project.requires-python` by itself; the older places it does not know."""
    if ".python-version" in present or "requires-python" in _table(pyproject, "project"):
        return None
    poetry = _table(pyproject, "tool", "poetry", "dependencies").get("python")
    wanted = specifier(poetry) if isinstance(poetry, str) else None
    for place in (setup_cfg.get("options", {}).get("python_requires"), setup_py.get("python_requires")):
        wanted = wanted or (place if isinstance(place, str) else None)
    if wanted is None or not re.fullmatch(r"[<>=!~0-9.,* ]+", wanted):
        return None
    return wanted.replace(" ", "")


def _ini(data: bytes | None) -> Mapping[str, Mapping[str, str]]:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string((data or b"").decode("utf-8", "replace"))
    except configparser.Error:
        return {}
    return {name: {key: value or "" for key, value in parser.items(name)} for name in parser.sections()}


def _setup_call(data: bytes | None) -> dict[str, Any]:
    """The literal arguments of the `setup(...)` call in a setup.py, without running it."""
    try:
        tree = ast.parse(data or b"")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    constants: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            constants[node.targets[0].id] = node.value
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "setup":
            found |= {word.arg: word.value for word in node.keywords if word.arg}
    values = {}
    for name in ("extras_require", "python_requires"):
        value = found.get(name)
        if isinstance(value, ast.Name):
            value = constants.get(value.id)
        if isinstance(value, ast.AST):
            values[name] = _literal(value)
    return values


def _literal(node: ast.AST) -> Any:
    """A literal; in a mapping, the values that are none become an empty list, so that at least its keys are known."""
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {key.value: _literal(value) for key, value in pairs if isinstance(key, ast.Constant)}
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return []


def _table(value: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    for part in path:
        inner = value.get(part)
        if not isinstance(inner, dict):
            return {}
        value = inner
    return value


def _strings(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list | tuple) else ()


def _lines(data: bytes | None) -> tuple[str, ...]:
    return tuple(line.strip() for line in (data or b"").decode("utf-8", "replace").splitlines())


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
