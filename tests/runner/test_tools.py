"""What jobs find on their PATH behind the machine's own programs."""

import os
import subprocess
from pathlib import Path

import pytest

from mainstay.runner import tools

UV = """\
#!/bin/sh
if [ "$1 $2" = "python find" ]; then
  for last in "$@"; do :; done
  [ "$last" = 3.12 ] && echo /somewhere/python3.12 && exit 0
  exit 2
fi
echo "uv $* [$UV_PYTHON]"
"""


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tools, with a uv of the test and a pyenv that has two patches of one version."""
    for name in ("uv", "uvx"):
        program = tmp_path / "real" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(UV)
        program.chmod(0o755)
    for version in ("3.12.1", "3.12.10", "3.9.18", "pypy3.10-7.3", "3.13-dev"):
        folder = tmp_path / "pyenv" / "versions" / version / "bin"
        folder.mkdir(parents=True)
        (folder / f"python{'.'.join(version.split('.')[:2])}").touch()
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(tools, "find_uv", lambda: tmp_path / "real" / "uv")
    (tmp_path / "tools").mkdir()
    tools.offer(tmp_path / "tools")
    tools.offer(tmp_path / "tools")  # a second start of the runner
    return tmp_path / "tools"


def called(folder: Path, *words: str, **env: str) -> str:
    temp = folder.parent / "temp"
    temp.mkdir(exist_ok=True)
    done = subprocess.run(
        [folder / words[0], *words[1:]],
        cwd=folder.parent,
        env={"PATH": os.environ["PATH"], "RUNNER_TEMP": str(temp), **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return (done.stdout + done.stderr).strip()


def test_the_newest_interpreter_of_each_version_is_there(offered: Path) -> None:
    found = {path.name for path in offered.iterdir()}
    assert {name for name in found if name.startswith("python")} == {"python3.12", "python3.9"}
    assert {"pipx", "uv", "uvx"} <= found
    assert offered.joinpath("python3.12").readlink().parts[-3] == "3.12.10"


def test_an_interpreter_that_is_here_is_not_installed_but_preferred(offered: Path) -> None:
    assert called(offered, "uv", "sync") == "uv sync []"
    assert called(offered, "uv", "python", "install", "3.12") == "Python 3.12 is on this machine: /somewhere/python3.12"
    assert called(offered, "uv", "sync") == "uv sync [/somewhere/python3.12]"
    assert called(offered, "uvx", "tox", "--x y") == "uv tox --x y [/somewhere/python3.12]"
    assert called(offered, "uv", "sync", UV_PYTHON="3.9") == "uv sync [3.9]"
    (offered.parent / ".python-version").write_text("3.9\n")
    assert called(offered, "uv", "sync") == "uv sync []"


def test_what_is_not_here_and_what_has_options_is_uvs_own_business(offered: Path) -> None:
    assert called(offered, "uv", "python", "install", "3.14").endswith("uv python install 3.14 []")
    both = called(offered, "uv", "python", "install", "3.12", "3.14")
    assert both.startswith("uv python install 3.14 []")
    assert "Python 3.12 is on this machine" in both
    assert called(offered, "uv", "python", "install", "--reinstall", "3.12").startswith("uv python install --reinstall")
    assert called(offered, "uv", "sync") == "uv sync []"


def test_pipx_is_spoken_by_uv(offered: Path) -> None:
    assert called(offered, "pipx", "run", "--spec", "a[b]==1", "c", "-d") == "uv tool run --from a[b]==1 c -d []"
    assert called(offered, "pipx", "run", "build", "a b") == "uv tool run build a b []"
    assert called(offered, "pipx", "install", "tox") == "uv tool install tox []"
    with pytest.raises(subprocess.CalledProcessError):
        called(offered, "pipx", "nope")
