"""Where repositories live, and where data can go: our own git server, a private one by ssh, a backup elsewhere."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.stand import Project, git, stand, until

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "repositories")


def test_a_push_to_our_own_git_server_is_answered_when_its_build_is_stored(tmp_path: Path, project: Project) -> None:
    """`repo add NAME` without a URL; people push to it with their token and clone from it."""
    with stand(tmp_path) as here:
        here.serve()
        here.cli("repo", "add", "mine")
        url = here.url.replace("//", f"//any:{here.token}@") + "/git/mine.git"
        git(project.clone, "remote", "set-url", "origin", url)
        project.workflow("echo pushed")
        for number in range(3):
            commit = project.commit(str(number))
            project.push("HEAD:main")
            assert [build["commit"] for build in here.builds(commit=commit)] == [commit], "stored before git returned"
        here.runner("r1", "--executor", "process")
        assert here.verdict(commit)["state"] == "passed"
        git(tmp_path, "clone", "-q", "-b", "main", url, "cloned")
        assert git(tmp_path / "cloned", "rev-parse", "HEAD") == commit
        wrong = here.url.replace("//", "//any:nonsense@") + "/git/mine.git"
        for command in (("push", wrong, "HEAD:main"), ("ls-remote", wrong)):
            with pytest.raises(AssertionError, match=r"Authentication failed|could not read|401|403"):
                git(project.clone, *command)


class Sshd:
    """A real sshd on loopback that lets one key read one repository."""

    def __init__(self, folder: Path, program: str) -> None:
        self.folder = folder
        folder.mkdir()
        self.program = program
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.authorized = folder / "authorized_keys"
        self.authorized.touch()

    def start(self) -> None:
        """With a new host key each time."""
        (self.folder / "host").unlink(missing_ok=True)
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "host")]
        subprocess.run(key, check=True, stdin=subprocess.DEVNULL)
        config = self.folder / "config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self.authorized}\nStrictModes no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen([self.program, "-D", "-e", "-f", str(config)], stdout=log, stderr=log)
        until(self._answers, "sshd to answer")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        done = subprocess.run(["ssh-keyscan", "-p", str(self.port), "127.0.0.1"], capture_output=True, check=False)
        return bool(done.stdout)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None or shutil.which("ssh-keyscan") is None:
        pytest.skip("the program sshd is not here (package openssh-server)")
    made = Sshd(tmp_path / "sshd", program)
    made.start()
    yield made
    made.stop()


def test_a_private_repository_is_read_with_its_own_deploy_key(tmp_path: Path, project: Project, sshd: Sshd) -> None:
    """Without the key the error is shown; with it every push is tested; a host that changed its key is refused."""
    project.workflow("echo private")
    first = project.commit("first")
    project.push()
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    with stand(tmp_path) as here:
        here.serve()
        here.runner("r1", "--executor", "process")
        here.cli("repo", "add", "private", f"ssh://{user}@127.0.0.1:{sshd.port}{project.bare}", "--poll", "1")
        public = here.cli("repo", "key", "private").stdout.strip()
        assert public.startswith("ssh-ed25519 ")

        def error() -> str | None:
            found: str | None = here.call("GET", "/repositories/private")["error"]
            return found

        assert "denied" in until(error, "the refusal to be shown").lower()
        sshd.authorized.write_text(f"restrict {public}\n")
        assert here.verdict(first)["state"] == "passed"
        until(lambda: error() is None, "the error to go")
        second = project.commit("second")
        project.push()
        assert here.verdict(second)["state"] == "passed"
        assert here.cli("repo", "key", "private").stdout.strip() == public
        assert not list(here.data.rglob("*key-*")), "the private half lies in no file"
        sshd.stop()
        sshd.start()
        third = project.commit("third")
        project.push()
        assert "host key" in until(error, "the changed host key to be refused").lower()
        assert not here.builds(commit=third)


# -- safekeeping -------------------------------------------------------------------------------------------------------

SUITE = """import unittest

class T(unittest.TestCase):
    def test_one(self):
        print("one")

    def test_two(self):
        self.fail("two")
"""


def test_a_backup_of_a_live_server_brings_everything_back_elsewhere(tmp_path: Path, project: Project) -> None:
    """Builds, logs and tests; and the restored server goes on testing, and takes the same token."""
    project.write({"tests/test_t.py": SUITE})
    first = project.commit("first")
    project.push()
    with stand(tmp_path) as here:
        here.serve()
        here.runner("r1", "--executor", "process")
        here.watch(project)
        before = here.verdict(first)
        log = here.log(before)
        assert before["jobs"][0]["tests"] == {"passed": 1, "failed": 1, "error": 0, "skipped": 0}
        later = [project.commit(str(number)) for number in range(5)]
        project.push()
        file = tmp_path / "backup.tar.zst"
        here.cli("backup", str(file))
        for commit in later:
            here.verdict(commit)
        token, runner_token = here.token, here.runner_token
    folder = tmp_path / "elsewhere"
    with stand(folder) as there:
        there.cli("restore", str(file))
        there.serve()
        there.runner_token = runner_token
        after = there.build(before["id"])
        for each in (before, after):
            each.pop("url")
        assert after == before
        assert there.log(after) == log
        assert there.call("GET", "/repositories/demo/tests")["items"]
        assert there.raw("GET", "/api/v1/builds", None, Authorization=f"Bearer {token}")[0] == 200
        there.runner("r1", "--executor", "process")  # what it ran when the backup was made it has lost
        newest = project.commit("newest")
        project.push()
        assert there.verdict(newest)["state"] == "failed"
        assert {there.verdict(commit)["state"] for commit in later} == {"failed"}
