"""A secret from the command line to a job and back: what is stored of it anywhere is sealed or hidden."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from mainstay.store.zstd import decompress
from tests.system.stand import Project, Stand, stand, until

pytestmark = pytest.mark.system

SECRET = "p4ss w0rd/+=&<x>-of-production"
KEY = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA7bq9\nZWxsbyB3b3JsZA==\n-----END KEY-----\n"
FORMS = (SECRET, quote(SECRET, safe=""), base64.b64encode(SECRET.encode()).decode()[:-4], *KEY.splitlines())

WORKFLOW = """
name: deploy
on: push
permissions: {contents: read}
jobs:
  plain:
    runs-on: ubuntu-latest
    steps:
      - run: test -z "${{ secrets.PASSWORD }}" && test "${{ vars.REGION }}" = eu
      - run: test -n "${{ secrets.GITHUB_TOKEN }}"
  production:
    needs: plain
    runs-on: ubuntu-latest
    environment: production
    steps:
      - name: "with ${{ secrets.password }}"
        env: {S: "${{ secrets.password }}", K: "${{ secrets.KEY }}"}
        run: |
          test "${{ vars.REGION }}" = us
          echo "plain $S" && printf %s "$S" | base64 -w0 && echo && printf 'u:%s' "$S" | base64 -w0 && echo
          python3 -c 'import os, urllib.parse; print(urllib.parse.quote(os.environ["S"], safe=""))'
          printf %s "${S:0:6}"; sleep 0.3; printf '%s\\n' "${S:6}"
          printf %s "$K" | while IFS= read -r line; do echo "> $line"; done
          echo "::warning title=$S::look at $S"
          echo "# $S" >> "$GITHUB_STEP_SUMMARY"
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Stand]:
    with stand(tmp_path) as made:
        yield made.up("1:1")


def give(here: Stand, value: str, *words: str) -> None:
    """Set a secret as people do: the value comes through a pipe."""
    command = [sys.executable, "-m", "mainstay.cli.main", "secret", "set", *words, "--data", str(here.data)]
    subprocess.run(command, input=value.encode(), check=True, capture_output=True)


def test_a_secret_is_nowhere_to_be_read(here: Stand, tmp_path: Path) -> None:
    project = Project(tmp_path / "repositories")
    project.write({".mainstay/deploy.yml": WORKFLOW})
    first = project.commit("first")
    here.call("POST", "/repositories", {"name": "demo", "url": str(project.bare)})
    give(here, SECRET + "\n", "demo", "PASSWORD", "--environment", "production")
    give(here, KEY, "demo", "KEY")
    here.call("PUT", "/repositories/demo/variables/REGION", {"value": "eu"})
    here.call("PUT", "/repositories/demo/variables/REGION", {"value": "us", "environment": "Production"})
    project.push()
    build = here.verdict(first)
    assert build["state"] == "passed", build
    job = build["jobs"][1]
    assert job["attempts"][0]["steps"][0]["name"] == "with ***"
    assert (job["environment"], job["permissions"]) == ("production", {"contents": "read"})
    shown = here.log(build, 1).decode()
    assert "plain ***" in shown
    shown += here.raw("GET", f"/builds/{build['id']}")[1].decode() + str(build)
    shown += str(here.call("GET", f"/builds/{build['id']}/why"))
    assert "look at ***" in shown
    notice = "the secret PASSWORD is mentioned and not set"
    page = here.raw("GET", f"/builds/{build['id']}")[1].decode()
    assert notice in page
    assert "environment production" in page
    assert "permissions contents: read" in here.cli("show", "demo#1").stdout
    used = {each["name"]: each["used_at"] for each in here.call("GET", "/repositories/demo/secrets")["items"]}
    assert None not in used.values()
    here.cli("backup", str(tmp_path / "backup.tar.zst"))
    told = shown.encode() + decompress((tmp_path / "backup.tar.zst").read_bytes(), 1 << 30)
    assert b"REGION" in told
    assert not [form for form in FORMS if form.encode() in told]
    # The runner throws a job's folders away when its end is stored already.
    until(lambda: not [form for form in FORMS if form.encode() in kept(here.data)], "the runner to have tidied up")


def kept(folder: Path) -> bytes:
    """All bytes in the files of a folder, some of which may just be going."""
    everything = b""
    for place, _, names in os.walk(folder):  # which passes over folders that are gone
        for name in names:
            path = Path(place, name)
            with suppress(FileNotFoundError):
                if path.is_file():
                    everything += path.read_bytes()
    return everything
