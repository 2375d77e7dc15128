"""The tutorial's commands, run in their order by a shell against a real Mainstay."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.system.stand import GIT_ENV, stand

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```shell\n(.*?)^```", re.MULTILINE | re.DOTALL)
START = "script/up\n"
ADDRESS = "127.0.0.1:8080"


def blocks() -> list[str]:
    return BLOCK.findall((ROOT / "docs" / "tutorial.md").read_text("utf-8"))


@pytest.mark.system
def test_every_command_of_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    first, *rest = blocks()
    assert first == START
    home = tmp_path / "home"
    with stand(tmp_path, "--sample") as place:
        # The reader's home, where script/up keeps its data.
        place.data = home / ".local" / "share" / "mainstay"
        place.up("1:2")
        script = "\n".join(f"echo '-- block {number}'\n{block}" for number, block in enumerate(rest, 2))
        environment = {
            **GIT_ENV,
            "HOME": str(home),
            "PYTHONPATH": str(ROOT / "src"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", script.replace(ADDRESS, place.url.removeprefix("http://"))],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
    said = done.stdout
    assert done.returncode == 0, said
    for words in ("not fit to ship", "it is the code", "passed  home@", "1 failed", "Wrote "):
        assert words in said, f"{words!r} is missing in:\n{said}"
