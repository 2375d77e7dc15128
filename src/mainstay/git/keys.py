"""Deploy keys, and how ssh is told to use one key and nothing else."""

import contextlib
import os
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CONNECT_TIMEOUT_S = 15
SSH_PORT = 22
PINNED_PROTOCOLS = "http:https:ssh"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A deploy key. The private half is to be sealed before it is stored."""

    private: bytes
    """OpenSSH's format, not encrypted."""
    public: str
    """One line, as it is pasted into a forge's settings."""

    def __repr__(self) -> str:
        return f"KeyPair({self.public!r})"


@dataclass(frozen=True, slots=True)
class Pinned:
    """The only place where a remote may be: the addresses that were judged are those that are called."""

    host: str
    """As it stands in the url, without brackets."""
    port: int
    addresses: tuple[str, ...]
    """Empty: a proxy looks the name up."""

    @property
    def config(self) -> dict[str, str]:
        """What keeps git there over http: no redirect is followed (git 2.37 and newer also look no name up again)."""
        config = {"http.followRedirects": "false"}
        if self.addresses and ":" not in self.host:
            addresses = ",".join(f"[{each}]" if ":" in each else each for each in self.addresses)
            config["http.curloptResolve"] = f"{self.host}:{self.port}:{addresses}"
        return config

    @property
    def options(self) -> list[str]:
        """What keeps ssh there. The host's key is looked up under its name, as it is without us."""
        if not self.addresses:
            return []
        alias = self.host if self.port == SSH_PORT else f"[{self.host}]:{self.port}"
        return [f"HostName={self.addresses[0]}", f"HostKeyAlias={alias}"]


@dataclass(frozen=True, slots=True)
class Access:
    """How to get at a remote repository over ssh: with this key, and these hosts known."""

    private: bytes | None
    """None: with the identities of the user that the server runs as."""
    known_hosts: Path
    """Grows by each host at its first contact; a host whose key has changed since is refused."""
    pinned: Pinned | None = None

    def __repr__(self) -> str:
        return f"Access(known_hosts={self.known_hosts!r})"

    @property
    def config(self) -> dict[str, str]:
        """Settings of git for this remote."""
        return {} if self.pinned is None else self.pinned.config

    @contextlib.contextmanager
    def environment(self) -> Iterator[dict[str, str]]:
        """What git's environment must hold. The private half is in a file (0600) only while this is open."""
        if self.private is None:
            yield self._by(None)
            return
        with tempfile.TemporaryDirectory(prefix="mainstay-key-") as folder:  # 0700
            key_file = Path(folder) / "key"
            descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(self.private)
            yield self._by(key_file)

    def _by(self, key_file: Path | None) -> dict[str, str]:
        command = ssh_command(key_file, self.known_hosts, self.pinned)
        env = {"GIT_SSH_COMMAND": command, "GIT_SSH_VARIANT": "ssh"}
        return env if self.pinned is None else env | {"GIT_ALLOW_PROTOCOL": PINNED_PROTOCOLS}


def make_key(comment: str) -> KeyPair:
    """A new ed25519 key. `comment` (one word or several) ends the public half's line."""
    # Imported here: 7 MB, and keys are made seldom.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return KeyPair(private, f"{public} {' '.join(comment.split())}".rstrip())


def ssh_command(key_file: Path | None, known_hosts: Path, pinned: Pinned | None = None) -> str:
    """The value of GIT_SSH_COMMAND: that key alone, no configuration, no agent, no questions, hosts pinned.

    Without a key the server's own identities are used (its user's ~/.ssh and agent), hosts pinned all the same.
    """
    options = [
        "BatchMode=yes",
        "StrictHostKeyChecking=accept-new",
        f"UserKnownHostsFile={_quoted(known_hosts)}",
        f"ConnectTimeout={CONNECT_TIMEOUT_S}",
        "ServerAliveInterval=15",
        "ServerAliveCountMax=4",
        "ForwardAgent=no",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "ControlMaster=no",
        "ControlPath=none",
    ]
    words = ["ssh"]
    if key_file is not None:
        words += ["-F", "/dev/null", "-i", str(key_file)]
        options += ["GlobalKnownHostsFile=/dev/null", "IdentitiesOnly=yes", "IdentityAgent=none"]
        options += ["PreferredAuthentications=publickey"]
    if pinned is not None:
        options += pinned.options
    for option in options:
        words += ["-o", option]
    return shlex.join(words)


def _quoted(path: Path) -> str:
    """A path as ssh reads it in an option: blanks would end it, and % begins a token."""
    return '"' + str(path).replace("%", "%%").replace('"', '\\"') + '"'
