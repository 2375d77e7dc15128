"""The two distributions: both build, and the small one works alone, without what only the server needs."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVER_ONLY = {"fastapi", "starlette", "sqlalchemy", "asyncpg", "uvicorn", "click", "cryptography", "obstore", "jinja2"}

pytestmark = [pytest.mark.slow, pytest.mark.system]


def run(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both wheels by the name of their distribution."""
    out = tmp_path_factory.mktemp("wheels")
    build = (sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--no-build-isolation", "--out-dir", out)
    for project in (ROOT, ROOT / "packages" / "runner"):
        run(*build, "--python", sys.executable, project)
    return {wheel.name.partition("-")[0]: wheel for wheel in out.glob("*.whl")}


def test_the_whole_distribution_holds_everything_that_is_no_python(wheels: dict[str, Path]) -> None:
    held = set(zipfile.ZipFile(wheels["mainstay"]).namelist())
    source = ROOT / "src"
    data = {
        file.relative_to(source).as_posix()
        for file in (source / "mainstay").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert data <= held


def test_the_small_distribution_works_alone(wheels: dict[str, Path], tmp_path: Path) -> None:
    environment = tmp_path / "alone"
    uv = (sys.executable, "-m", "uv")
    run(*uv, "venv", "--quiet", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    run(*uv, "pip", "install", "--quiet", "--python", python, wheels["mainstay_runner"])
    installed = {line.partition("==")[0].lower() for line in run(*uv, "pip", "freeze", "--python", python).splitlines()}
    assert not installed & SERVER_ONLY
    assert len(installed) <= 6
    assert "--server" in run(environment / "bin" / "mainstay-runner", "--help")
