"""Deploy keys, tried against a real sshd."""

import getpass
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mainstay.git.keys import Access, KeyPair, Pinned, make_key, ssh_command
from mainstay.git.mirror import Mirror
from mainstay.git.process import GitError
from tests.git.conftest import Origin

pytestmark = pytest.mark.anyio

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


@dataclass(frozen=True)
class Sshd:
    folder: Path
    port: int
    user: str
    host_key: Path

    def url(self, path: Path) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}{path}"

    def allow(self, key: KeyPair) -> None:
        (self.folder / "authorized_keys").write_text(key.public + "\n")


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    if SSHD is None:
        pytest.skip("there is no sshd on this machine; the package is called openssh-server")
    folder = tmp_path / "sshd"
    folder.mkdir(mode=0o700)
    host_key = folder / "host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host_key)], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "config"
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {host_key}\nPidFile none\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nPermitRootLogin yes\n"
        f"SetEnv PATH={os.environ['PATH']}\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True) if os.geteuid() == 0 else None
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=log, stdin=subprocess.DEVNULL)
    try:
        for _ in range(2000):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if server.poll() is not None:
                pytest.skip(f"sshd does not start here: {(folder / 'log').read_text()[-300:]}")
        yield Sshd(folder, port, getpass.getuser(), host_key)
    finally:
        server.terminate()
        server.wait()


def test_a_key_has_one_public_line_and_a_private_half_that_ssh_reads(tmp_path: Path) -> None:
    pair = make_key("mainstay demo\nevil")
    assert pair.public.startswith("ssh-ed25519 AAAA")
    assert pair.public.endswith(" mainstay demo evil")
    assert "\n" not in pair.public
    assert "PRIVATE" not in repr(pair)
    file = tmp_path / "key"
    file.write_bytes(pair.private)
    file.chmod(0o600)
    derived = subprocess.run(["ssh-keygen", "-y", "-f", str(file)], check=True, capture_output=True, text=True).stdout
    assert derived.split()[:2] == pair.public.split()[:2]


def test_the_private_half_is_in_a_private_file_only_while_it_is_used(tmp_path: Path) -> None:
    access = Access(make_key("x").private, tmp_path / "known hosts")
    assert "PRIVATE" not in repr(access)
    with access.environment() as env:
        words = env["GIT_SSH_COMMAND"].split()
        key_file = Path(words[words.index("-i") + 1])
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        assert stat.S_IMODE(key_file.parent.stat().st_mode) == 0o700
        assert "PRIVATE" not in str(env)
    assert not key_file.parent.exists()


def test_ssh_is_told_to_use_that_key_and_nothing_else(tmp_path: Path) -> None:
    command = ssh_command(tmp_path / "key", tmp_path / "a b")
    for words in ("-F /dev/null", "IdentitiesOnly=yes", "IdentityAgent=none", "BatchMode=yes", "accept-new"):
        assert words in command
    assert "-F" not in ssh_command(None, tmp_path / "known_hosts")


async def test_a_repository_over_ssh_is_read_with_its_key(origin: Origin, sshd: Sshd, tmp_path: Path) -> None:
    sha = origin.commit()
    origin.push()
    key = make_key("demo")
    sshd.allow(key)
    known_hosts = tmp_path / "known hosts %h"
    access = Access(key.private, known_hosts)
    mirror = Mirror(tmp_path / "mirror.git")
    await mirror.create()
    listed = await mirror.remote_refs(sshd.url(origin.path), access, head=True)
    assert (listed.refs, listed.head) == ({"refs/heads/main": sha}, "refs/heads/main")
    assert known_hosts.read_text().count("ssh-ed25519") == 1
    await mirror.fetch(sshd.url(origin.path), dict(listed.refs), access)
    assert await mirror.paths(sha) == ["file"]
    await mirror.close()


async def test_a_host_that_was_judged_is_called_where_it_was_and_known_by_its_name(
    origin: Origin, sshd: Sshd, tmp_path: Path
) -> None:
    sha = origin.commit()
    origin.push()
    key = make_key("demo")
    sshd.allow(key)
    known_hosts = tmp_path / "known_hosts"
    access = Access(key.private, known_hosts, Pinned("forge.invalid", sshd.port, ("127.0.0.1",)))
    url = f"ssh://{sshd.user}@forge.invalid:{sshd.port}{origin.path}"
    assert (await Mirror(tmp_path / "m.git").remote_refs(url, access)).refs == {"refs/heads/main": sha}
    assert known_hosts.read_text().startswith(f"[forge.invalid]:{sshd.port} ")


async def test_another_key_is_refused_and_nobody_is_asked(origin: Origin, sshd: Sshd, tmp_path: Path) -> None:
    sshd.allow(make_key("right"))
    access = Access(make_key("wrong").private, tmp_path / "known_hosts")
    with pytest.raises(GitError, match="Permission denied"):
        await Mirror(tmp_path / "m.git").remote_refs(sshd.url(origin.path), access)


async def test_a_host_whose_key_changed_is_refused(origin: Origin, sshd: Sshd, tmp_path: Path) -> None:
    key = make_key("demo")
    sshd.allow(key)
    line = make_key("another host").public
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {line}\n")
    with pytest.raises(GitError, match="Host key verification failed"):
        await Mirror(tmp_path / "m.git").remote_refs(sshd.url(origin.path), Access(key.private, known_hosts))


async def test_a_host_that_is_not_there_is_said_in_words(sshd: Sshd, tmp_path: Path) -> None:
    access = Access(make_key("x").private, tmp_path / "known_hosts")
    with pytest.raises(GitError, match=r"[Cc]onnection refused|refused"):
        await Mirror(tmp_path / "m.git").remote_refs(replace(sshd, port=1).url(tmp_path), access)
