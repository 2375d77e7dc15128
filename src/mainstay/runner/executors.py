"""Where a job's steps run: plainly on the machine, or in a bubblewrap sandbox. Both only rewrite the command."""

import glob
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from mainstay.model.errors import BadInput

TRIAL_S: Final = 10.0
HOMES: Final = (Path("/root"), Path("/home"))
PRIVATE: Final = (Path("/tmp"), Path("/var/tmp"), Path("/run"), Path("/mnt"), Path("/media"))  # noqa: S108
"""What a sandbox has empty and of its own: other people's files, and sockets to programs that could do more."""
SECRET: Final = (
    "/etc/shadow*",
    "/etc/gshadow*",
    "/etc/ssh/ssh_host_*_key",
    "/etc/ssl/private",
    "/etc/sudoers*",
    "/etc/krb5.keytab",
)
"""Readable to a runner that is root, and nobody's business in a job."""
SYSTEM_RUN: Final = ("/run/systemd/resolve", "/run/resolvconf", "/run/nscd", "/run/NetworkManager")
"""What names are looked up by, where /etc/resolv.conf points into /run."""


@dataclass(frozen=True, slots=True)
class Command:
    """What the keeper is to start."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    guarded: bool = False
    """Its first process is a sandbox, not the step itself (see `Keeper.run`)."""


@dataclass(frozen=True, slots=True)
class JobPlace:
    """The folders of one job, all absolute and made before the first step."""

    work: Path
    """The work tree: writable."""
    home: Path
    """$HOME: writable, this job's own."""
    temp: Path
    """$TMPDIR: writable, this job's own; in a sandbox it is also what /tmp and /var/tmp show."""
    writable: tuple[Path, ...] = ()
    """More that the job may write: its folder of environment files, shared caches."""
    readable: tuple[Path, ...] = ()
    """What it may read though it lies in a hidden place: the git mirror, interpreters under a home, step scripts."""
    network: bool = True


class Executor(Protocol):
    """One way to run steps."""

    @property
    def name(self) -> str:
        """`process`, `bubblewrap`."""

    def wrap(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, place: JobPlace) -> Command:
        """The command that runs `argv` in `cwd` (inside `place.work`) with exactly `env`, plus HOME and TMPDIR."""


@dataclass(frozen=True, slots=True)
class ProcessExecutor:
    """Plainly, as the runner's user: clean, but no protection from what the job does."""

    name: str = "process"

    def wrap(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, place: JobPlace) -> Command:
        """Only HOME and TMPDIR are set."""
        return Command(tuple(argv), {**env, **_own(place)}, cwd)


@dataclass(frozen=True, slots=True)
class BubblewrapExecutor:
    """In namespaces of its own: the system read-only, other homes and the runner's data hidden, own pids and /tmp.

    Each step has a sandbox of its own over the same folders, so what a step leaves in the background ends with it.
    """

    program: str
    hidden: tuple[Path, ...]
    """Folders no job may see."""
    needed: tuple[Path, ...] = ()
    """Inside hidden places, but every job may read it: interpreters, uv."""
    name: str = "bubblewrap"
    _base: tuple[str, ...] = field(default=(), repr=False)

    def wrap(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, place: JobPlace) -> Command:
        """`bwrap OPTIONS -- argv`; the environment goes through as it is. `cwd` is entered inside."""
        words = [*(self._base or self.base())]
        words += ["--bind", str(place.temp), "/tmp", "--bind", str(place.temp), "/var/tmp"]  # noqa: S108
        for path in (*self.needed, *place.readable):
            words += ["--ro-bind-try", str(path), str(path)]
        for path in (place.home, place.temp, *place.writable, place.work):
            words += ["--bind", str(path), str(path)]
        if not place.network:
            words.append("--unshare-net")
        words += ["--chdir", str(cwd), "--", *argv]
        return Command(tuple(words), {**env, **_own(place)}, Path("/"), guarded=True)

    def base(self) -> tuple[str, ...]:
        """The options that are the same for every job."""
        words = [self.program, "--die-with-parent", "--new-session", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
        words += ["--hostname", "mainstay", "--cap-drop", "ALL", "--ro-bind", "/", "/", "--proc", "/proc"]
        words += ["--dev", "/dev"]
        secret = [Path(found) for pattern in SECRET for found in glob.glob(pattern)]
        for path in (*HOMES, *PRIVATE, *secret, *self.hidden):
            if path.is_dir() and not path.is_symlink():
                words += ["--tmpfs", str(path)]
            elif path.is_file():
                words += ["--ro-bind", "/dev/null", str(path)]
        for name in SYSTEM_RUN:
            words += ["--ro-bind-try", name, name]
        return tuple(words)

    def trial(self) -> str | None:
        """Why it does not work here; None: it does."""
        try:
            done = subprocess.run(
                [*self.base(), "--", "/bin/sh", "-c", "exit 42"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TRIAL_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{self.program} could not be tried: {error}"
        if done.returncode == 42:
            return None
        return done.stderr.decode("utf-8", "replace").strip() or f"it ended with {done.returncode}"


def detect(wanted: str | None, hidden: Sequence[Path]) -> Executor:
    """The wanted executor, else bubblewrap where it really works (tried once, about 10 ms, blocking), else process.

    `hidden`: folders no job may see (the runner's data, the server's data). Raises BadInput when `wanted` is
    not known or does not work here, with the reason.
    """
    if wanted not in (None, "process", "bubblewrap"):
        raise BadInput(f"there is no executor {wanted!r}: use process, bubblewrap or container")
    if wanted == "process":
        return ProcessExecutor()
    program = shutil.which("bwrap") if sys.platform == "linux" else None
    if program is None:
        reason: str | None = "the program bwrap was not found; install the system's package bubblewrap"
    else:
        places = tuple(path.resolve() for path in hidden)
        draft = BubblewrapExecutor(program, places, needed_paths(places))
        reason = draft.trial()
        if reason is None:
            return BubblewrapExecutor(program, draft.hidden, draft.needed, _base=draft.base())
    if wanted == "bubblewrap":
        raise BadInput(f"the executor bubblewrap does not work here: {reason}")
    return ProcessExecutor()


def needed_paths(hidden: Sequence[Path]) -> tuple[Path, ...]:
    """What jobs need of places that a sandbox hides: this interpreter with its packages, and uv.

    Interpreters side by side (pyenv's `versions`, uv's `python`) are shown with it, by their common folder.
    """
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(sysconfig.get_path("purelib"))}
    base = Path(sys.base_prefix).resolve()
    if base.parent.name in ("versions", "python"):
        found.add(base.parent)
    for home in {Path.home(), Path(os.environ.get("HOME", "/nonexistent"))}:
        found |= {home / ".pyenv", home / ".local/share/uv/python", home / ".local/bin"}
    # pyenv may lie in another home than ours: a shim on PATH is of no use without the rest of it.
    for entry in map(Path, os.environ.get("PATH", "").split(os.pathsep)):
        if entry.name in ("shims", "bin") and (entry.parent / "libexec" / "pyenv").exists():
            found.add(entry.parent)
    for program in ("uv", "python3", "git"):
        place = shutil.which(program)
        if place:
            found |= {Path(place).parent, Path(place).resolve().parent}
    covered = (*HOMES, *PRIVATE, *hidden)
    return tuple(sorted(path for path in found if path.is_dir() and any(path.is_relative_to(top) for top in covered)))


def _own(place: JobPlace) -> dict[str, str]:
    return {"HOME": str(place.home), "TMPDIR": str(place.temp)}
