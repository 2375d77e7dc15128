"""`mainstay up` as people start it: the sample, the files for the client commands, the end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from mainstay.cli.sample_commits import COMMITS

pytestmark = pytest.mark.system
MAINSTAY = (sys.executable, "-m", "mainstay.cli.main")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "MAINSTAY_DATA": str(tmp_path / "data")}


@pytest.fixture
def up(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A running `mainstay up` with one runner."""
    command = [*MAINSTAY, "up", "--port", "0", "--runners", "1", "--executor", "process"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    yield process
    process.send_signal(signal.SIGTERM)  # not killed: its local runner would outlive it, as it should
    process.communicate(timeout=60)


def client(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MAINSTAY, *arguments], capture_output=True, text=True, env=environment, timeout=60)


def test_up_once_tests_every_commit_of_the_sample_and_ends_with_0(environment: dict[str, str]) -> None:
    ran = client(environment, "up", "--once", "--port", "0", "--runners", "1:2")
    assert ran.returncode == 0, ran.stderr
    verdicts = [line for line in ran.stdout.splitlines() if line.startswith(("✓", "✗"))]
    assert len(verdicts) == len(COMMITS)
    assert [line for line in verdicts if line.startswith("✗")] == [
        line for line in verdicts if "Change is given in the fewest coins" in line
    ]


def test_up_leaves_its_address_and_token_for_the_client_commands_and_takes_the_address_away_at_its_end(
    up: subprocess.Popen[str], environment: dict[str, str]
) -> None:
    data = Path(environment["MAINSTAY_DATA"])
    assert up.stdout is not None
    first = up.stdout.readline()
    assert first.startswith("Mainstay is up at http://127.0.0.1:")
    assert (data / "url").read_text().strip() == first.removeprefix("Mainstay is up at ").strip()
    assert [(data / name).stat().st_mode & 0o777 for name in ("url", "token")] == [0o600, 0o600]
    assert client(environment, "repo", "list").returncode == 0
    up.send_signal(signal.SIGTERM)
    assert up.wait(30) == 0
    assert not (data / "url").exists()
    assert client(environment, "repo", "list").returncode == 3


def test_a_second_server_on_the_same_data_folder_is_refused_in_words(
    up: subprocess.Popen[str], environment: dict[str, str]
) -> None:
    assert up.stdout is not None
    up.stdout.readline()
    second = client(environment, "up", "--port", "0")
    assert second.returncode == 3
    assert "another Mainstay server uses the data folder" in second.stderr


def test_with_an_address_for_others_nobody_reads_before_signing_in(environment: dict[str, str]) -> None:
    # A proxy on the same machine makes everybody come from the loopback address.
    command = [*MAINSTAY, "server", "--port", "0", "--public-url", "https://ci.example.org"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("Mainstay is up at ").strip()
        with pytest.raises(HTTPError, match="401"):
            urlopen(f"{url}/")
    finally:
        process.terminate()
        process.communicate(timeout=60)
