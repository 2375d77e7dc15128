"""Which engine works on this machine: found by really running something, as bubblewrap's trial does.

The trial needs no image from anywhere: an empty one is made, and the machine's own programs are shown to it. What it
shows is what jobs need: folders mounted, a pipe of the runner's reached from within, a network, limits.
"""

import hashlib
import io
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from mainstay.model.errors import BadInput
from mainstay.runner.containers.engine import Engine, environment

KINDS: Final = ("podman", "docker")
EMPTY: Final = "localhost/mainstay-empty:1"
"""An image with nothing in it: for the trial, and for what has to be done with a container's rights."""
TRIAL_S: Final = 30.0
SYSTEM: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "nix")
"""Folders of the machine's own programs."""
ANEW_S: Final = 600.0
"""After this long an engine that did not work is tried again."""


@dataclass(frozen=True, slots=True)
class Found:
    """What became of looking for one."""

    engine: Engine | None
    reason: str | None = None
    """Why there is none."""


def find(wanted: str | None = None) -> Found:
    """The wanted engine, else the first of podman and docker that works. Blocking: a second, the first time.

    What was found is remembered in the user's cache folder until the machine starts anew. Raises BadInput for an
    unknown name.
    """
    if wanted not in (None, "none", *KINDS):
        raise BadInput(f"there is no container engine {wanted!r}: use podman, docker or none")
    if wanted == "none":
        return Found(None, "this runner was told to use none")
    if sys.platform != "linux":
        return Found(None, "jobs in containers need Linux")
    reasons = []
    for kind in KINDS if wanted is None else (wanted,):
        program = shutil.which(kind)
        if program is None:
            reasons.append(f"{kind} is not installed")
            continue
        found = _remembered(program) or _remember(program, _try(kind, program))
        if found.engine is not None:
            return found
        reasons.append(f"{kind}: {found.reason}")
    return Found(None, "; ".join(reasons))


def machine_mounts() -> tuple[str, ...]:
    """Options that show the machine's own programs, read-only, to a container of the image EMPTY."""
    words: list[str] = []
    for name in SYSTEM:
        place = Path("/", name)
        if place.is_dir():
            words += ["--mount", f"type=bind,src={place.resolve()},dst=/{name},readonly"]
    return tuple(words)


def _try(kind: str, program: str) -> Found:
    """Every way that may work, the plain one first."""
    told = _run(program, "version", "--format", "{{.Client.Version}}")
    if told.returncode:
        return Found(None, _words(told))
    if kind == "docker" and b"podman" in _run(program, "--version").stdout.lower():
        kind = "podman"
    said = _run(program, "import", "-", EMPTY, stdin=_nothing())
    if said.returncode:
        return Found(None, _words(said))
    reason = ""
    for ahead, extra, limits in _ways(kind):
        draft = Engine(kind, program, ahead, extra, limits, told.stdout.decode("utf-8", "replace").strip())
        failure = _trial(draft)
        if failure is None:
            return Found(draft)
        reason = reason or failure
    return Found(None, reason)


def _ways(kind: str) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], bool]]:
    """A runner without the right to raise limits keeps its own; an old crun gives way to runc."""
    own: list[str] = []
    for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        most = resource.getrlimit(number)[1]
        most = most if most != resource.RLIM_INFINITY else 1 << 20
        # Short of our own limit: some kernels count the way there as a raise.
        own += ["--ulimit", f"{name}={min(most, 30_000)}:{min(most, 30_000)}"]
    runtimes: list[tuple[str, ...]] = [()]
    if kind == "podman" and shutil.which("runc"):
        runtimes.append(("--runtime", "runc"))
    for limits in (True, False):
        for ahead in runtimes:
            for extra in ((), tuple(own)):
                yield ahead, extra, limits


def _trial(engine: Engine) -> str | None:
    """Why it does not work; None: it does."""
    name = f"mainstay-trial-{os.getpid()}"
    shell = shutil.which("sh") or "/bin/sh"
    limits = ("--memory", "64m", "--pids-limit", "64") if engine.limits else ()
    with tempfile.TemporaryDirectory(prefix="mainstay-trial-") as folder:
        pipe = Path(folder, "pipe")
        os.mkfifo(pipe, 0o600)
        fd = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            made = _call(engine, "network", "create", name)
            if made.returncode:
                return _words(made)
            words = ["run", "--rm", "--name", name, "--network", name, *machine_mounts(), *engine.extra, *limits]
            words += ["--mount", f"type=bind,src={folder},dst={folder}", "--entrypoint", shell, EMPTY]
            done = _call(engine, *words, "-c", f'read word < /dev/null; echo works > "{pipe}"; exit 42')
            heard = b""
            with suppress(BlockingIOError):
                heard = os.read(fd, 100)
            if done.returncode != 42:
                return _words(done)
            return None if heard == b"works\n" else "what a container printed did not arrive"
        finally:
            os.close(fd)
            _call(engine, *engine.removal([name]))
            _call(engine, "network", "rm", name)


def _call(engine: Engine, *words: str) -> "subprocess.CompletedProcess[bytes]":
    return _run(*engine.argv(*words))


def _run(*argv: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(
            argv, input=stdin, capture_output=True, timeout=TRIAL_S, check=False, env=environment(), cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(argv, 125, b"", f"{argv[0]} could not be tried: {error}".encode())


def _words(done: "subprocess.CompletedProcess[bytes]") -> str:
    lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    told = [line for line in lines if "level=warning" not in line] or lines
    return told[-1].strip()[-400:] if told else f"it ended with {done.returncode}"


def _nothing() -> bytes:
    """An archive of one folder: what an image is made of that has no files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(folder)
    return buffer.getvalue()


# What was found last time.


class _Memory(msgspec.Struct, frozen=True):
    engine: Engine | None
    reason: str | None
    at: float


def _memory(program: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        boot = ""
    changed = os.stat(program).st_mtime_ns
    runtime = shutil.which("runc") or ""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # The machine's boot, the program and whose it is, and what the ways depend on: with any of them changed, try anew.
    parts = (boot, program, changed, runtime, limit, os.environ.get("DOCKER_HOST", ""), sys.prefix)
    name = hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:24]
    return cache / "mainstay" / f"engine-{name}.json"


def _remembered(program: str) -> Found | None:
    try:
        known = msgspec.json.decode(_memory(program).read_bytes(), type=_Memory)
    except (OSError, msgspec.MsgspecError):
        return None
    if known.engine is None:
        return Found(None, known.reason) if 0 <= time.time() - known.at < ANEW_S else None
    # The daemon may be another one by now, or gone; the image says that it is the one that was tried.
    there = _run(*known.engine.argv("image", "inspect", "--format", "{{.Id}}", EMPTY)).returncode == 0
    return Found(known.engine) if there else None


def _remember(program: str, found: Found) -> Found:
    with suppress(OSError):
        path = _memory(program)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_bytes(msgspec.json.encode(_Memory(found.engine, found.reason, time.time())))
        draft.replace(path)
    return found
