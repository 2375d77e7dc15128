"""Rules about imports and programs that import-linter cannot say. The layers themselves stand in pyproject.toml."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
FILES = sorted(SOURCE.rglob("*.py"))
MAY_START_PROGRAMS = ("mainstay/git/", "mainstay/runner/", "mainstay/agent/", "mainstay/engine/fleet.py")
STARTERS = {
    "subprocess": {"*"},
    "multiprocessing": {"*"},
    "pty": {"*"},
    "os": {"system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp", "execv", "execve", "execvp", "execvpe"},
    "asyncio": {"create_subprocess_exec", "create_subprocess_shell"},
}


def place(file: Path) -> str:
    return file.relative_to(SOURCE).as_posix()


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield ("." * node.level + (node.module or ""), node.lineno)


def started(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """What in a file can start a program: the module or the function, and its line."""
    for name, line in imported(tree):
        if name.partition(".")[0] in STARTERS and STARTERS[name.partition(".")[0]] == {"*"}:
            yield name, line
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in STARTERS.get(node.value.id, set()):
                yield f"{node.value.id}.{node.attr}", node.lineno
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name in STARTERS.get(node.module or "", set()):
                    yield f"{node.module}.{alias.name}", node.lineno


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.AST]:
    return {place(file): ast.parse(file.read_text("utf-8")) for file in FILES}


def test_the_model_imports_the_standard_library_only(trees: dict[str, ast.AST]) -> None:
    allowed = sys.stdlib_module_names
    strangers = [
        f"{file}:{line} imports {name}"
        for file, tree in trees.items()
        if file.startswith("mainstay/model/")
        for name, line in imported(tree)
        if not name.startswith("mainstay.model") and name.partition(".")[0] not in allowed
    ]
    assert strangers == []


def test_only_git_runner_agent_and_fleet_start_programs(trees: dict[str, ast.AST]) -> None:
    strangers = [
        f"{file}:{line} uses {name}"
        for file, tree in trees.items()
        if not file.startswith(MAY_START_PROGRAMS)
        for name, line in started(tree)
    ]
    assert strangers == []


def test_no_import_hides_behind_type_checking(trees: dict[str, ast.AST]) -> None:
    hidden = [
        f"{file}:{node.lineno}"
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id == "TYPE_CHECKING")
        or (isinstance(node, ast.Attribute) and node.attr == "TYPE_CHECKING")
    ]
    assert hidden == []


def test_only_the_settings_read_the_environment_of_the_command_line(trees: dict[str, ast.AST]) -> None:
    readers = [
        f"{file}:{node.lineno}"
        for file, tree in trees.items()
        if file.startswith(
            ("mainstay/cli/", "mainstay/web/", "mainstay/store/", "mainstay/flow/", "mainstay/workflow/")
        )
        and file != "mainstay/cli/settings.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and node.attr in ("environ", "getenv", "environb")
    ]
    assert readers == []


def test_every_file_says_what_belongs_in_it() -> None:
    silent = [place(file) for file in FILES if not file.read_text("utf-8").startswith(('"""', "# ", "#!"))]
    assert silent == []
