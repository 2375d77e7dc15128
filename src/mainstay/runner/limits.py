"""What a job may use of the machine: a control group per job where the system lets us make one, else rlimits.

Detection happens once and nothing here fails a job: where a limit cannot be enforced, `Groups.words` says so. Groups
are made below the runner's own, so that what limits the runner limits its jobs too.
"""

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Rlimits: TypeAlias = Mapping[str, int]
"""Name without `RLIMIT_` (`DATA`, `NPROC`, `FSIZE`, `CORE`, `NOFILE`) to its value; soft and hard alike."""

WANTED = ("memory", "pids")
SHELTER = "all"
"""The group of all jobs that have none of their own."""
FLOOR_BYTES = 64 << 20
"""No limit of ours is below this: the keeper lives under it too."""
ABANDONED_S = 60.0
"""An empty group of another runner's that is older was left by one that was killed."""
REMOVE_S = 2.0
"""How long ended processes may take to leave a group."""


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What one job may use. None: no limit of ours."""

    memory_bytes: int | None = None
    """Of all its processes together (with rlimits only: of each process by itself)."""
    processes: int | None = None
    """Processes and threads at one time."""
    file_bytes: int | None = None
    """Of any one file it writes."""
    open_files: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A job's control group. Without one on this system every method is a no-op and `join` is empty."""

    limits: JobLimits = JobLimits()
    folders: tuple[Path, ...] = ()

    @property
    def join(self) -> tuple[str, ...]:
        """Files the keeper writes `0` to at its start: it and all its children belong to the group then."""
        return tuple(str(folder / "cgroup.procs") for folder in self.folders)

    def take(self, pid: int) -> None:
        """Move a process into the group. What it starts from now on belongs to it too."""
        for file in self.join:
            _write(Path(file), str(pid))

    def excess(self) -> str | None:
        """Which limit was hit, in words ("killed: over its memory limit of 512 MiB"); None: none was."""
        for folder in self.folders:
            killed = _count(folder / "memory.events", "oom_kill") or _count(folder / "memory.oom_control", "oom_kill")
            if killed and self.limits.memory_bytes:
                return f"killed: over its memory limit of {_size(self.limits.memory_bytes)}"
        for folder in self.folders:
            if _count(folder / "pids.events", "max") and self.limits.processes:
                return f"it could not start more processes: over its limit of {self.limits.processes}"
        return None

    def remove(self) -> bool:
        """Kill what is still in the group and remove it. False: something in it would not die (yet).

        After `Keeper.end` nothing is in it and this takes well under a millisecond.
        """
        removed = [_remove(folder) for folder in self.folders]  # each is to be tried
        for folder in self.folders:
            _rmdir(folder.parent)  # gone with the last job in it, so that a runner that is killed leaves little
        return all(removed)


@dataclass(frozen=True, slots=True)
class Groups:
    """What this system offers, found once at the runner's start."""

    kind: str
    """`cgroup v2`, `cgroup v1` or `rlimits`."""
    words: str
    """What is enforced and how, for `hello`, logs and `doctor`."""
    memory: Path | None = None
    """Where groups that limit memory are made. With cgroup v2 both are the same folder."""
    pids: Path | None = None
    shared: str = ""
    """With cgroup v2: the controllers that these folders pass on to the groups in them."""

    @staticmethod
    def detect(name: str) -> "Groups":
        """Look once. `name` (letters, digits, `-`) tells this runner's groups from another's; old ones are removed."""
        for look in (_version2, _version1):
            found = look(f"mainstay-{name}")
            if found:
                return found
        return Groups(
            "rlimits",
            "no control group can be made here: memory is limited for each process by itself, "
            "and the number of processes for the runner's user as a whole (for root: not at all)",
        )

    def open(self, job: str, limits: JobLimits) -> Group:
        """A group for one job with its limits set; an empty one where there is nothing to limit or no way to."""
        settings: dict[Path, dict[str, str]] = {}
        if limits.memory_bytes and self.memory:
            top = str(max(limits.memory_bytes, FLOOR_BYTES))
            names = ("memory.max",) if self.kind == "cgroup v2" else ("memory.limit_in_bytes",)
            settings[self.memory / job] = dict.fromkeys(names, top)
            settings[self.memory / job]["memory.swap.max" if self.kind == "cgroup v2" else "memory.swappiness"] = "0"
        if limits.processes and self.pids:
            settings.setdefault(self.pids / job, {})["pids.max"] = str(limits.processes + 1)  # and the keeper
        made = [folder for folder, values in settings.items() if self._make_job(folder, values)]
        return Group(limits, tuple(made))

    def shelter(self, processes: int) -> Group:
        """The group that the zygote is to be put into, so that whatever a job starts is in it unless it has its own.

        It keeps a job that forks for ever from taking the machine, at no cost per job. `processes`: of all together.
        """
        if self.pids is None or not self._make_job(self.pids / SHELTER, {"pids.max": str(processes)}):
            return Group()
        return Group(JobLimits(processes=processes), (self.pids / SHELTER,))

    def _make_job(self, folder: Path, values: Mapping[str, str]) -> bool:
        above = _sharing(self.shared)
        # More than once: the folder above may go in between, with another job that ends.
        return any(_make(folder.parent, above) and _make(folder, values) for _ in range(3))

    def close(self) -> None:
        """At the runner's end: leave no groups behind."""
        for base in filter(None, {self.memory, self.pids}):
            _clear(base)

    def rlimits(self, limits: JobLimits) -> Rlimits:
        """What is to be set on the steps' processes, given what the group enforces already."""
        values = {"CORE": 0}
        if limits.file_bytes is not None:
            values["FSIZE"] = limits.file_bytes
        if limits.open_files is not None:
            values["NOFILE"] = limits.open_files
        if limits.memory_bytes and not self.memory:
            values["DATA"] = max(limits.memory_bytes, FLOOR_BYTES)
        if limits.processes and not self.pids and os.getuid():
            values["NPROC"] = limits.processes + _own_processes()
        return values


def _version2(name: str) -> Groups | None:
    """Our own group in the unified hierarchy, when it was delegated to us and nobody else lives in it."""
    own = _own_group("cgroup2", None)
    if own is None or not os.access(own / "cgroup.subtree_control", os.W_OK):
        return None
    offered = set(WANTED) & set(_read(own / "cgroup.controllers").split())
    if not offered:
        return None
    order = " ".join(f"+{controller}" for controller in sorted(offered))
    base, leaf = own / name, own / f"{name}-self"
    if not _clear(base):
        return None
    moved = False
    if not _write(own / "cgroup.subtree_control", order):
        # A group with processes of its own cannot share out its controllers: move into a leaf, if we are alone here.
        if _read(own / "cgroup.procs").split() != [str(os.getpid())] or not _make(leaf, {}):
            return None
        moved = _write(leaf / "cgroup.procs", "0")
        if not moved or not _write(own / "cgroup.subtree_control", order):
            _write(own / "cgroup.procs", "0")
            _remove(leaf)
            return None
    if not _make(base, _sharing(order)):
        return None
    _rmdir(base)
    memory, pids = (base if one in offered else None for one in WANTED)
    return Groups("cgroup v2", _words("cgroup v2", offered), memory, pids, order)


def _version1(name: str) -> Groups | None:
    """A group below ours in each old hierarchy that lets us."""
    bases: dict[str, Path | None] = dict.fromkeys(WANTED)
    for controller in WANTED:
        own = _own_group("cgroup", controller)
        if own is not None and os.access(own, os.W_OK) and _clear(own / name) and _make(own / name, {}):
            _rmdir(own / name)
            bases[controller] = own / name
    offered = {controller for controller, base in bases.items() if base}
    return Groups("cgroup v1", _words("cgroup v1", offered), bases["memory"], bases["pids"]) if offered else None


def _words(kind: str, offered: set[str]) -> str:
    lacking = [one for one in WANTED if one not in offered]
    limited = " and ".join("memory" if one == "memory" else "processes" for one in WANTED if one in offered)
    return f"{limited} of a job as a whole by {kind}" + (f"; not offered here: {', '.join(lacking)}" if lacking else "")


def _own_group(kind: str, controller: str | None) -> Path | None:
    """The folder of the group this process is in, by the mounts it sees. `controller` None: the unified one."""
    mount = None
    for line in _read(Path("/proc/self/mountinfo")).splitlines():
        before, _, after = line.partition(" - ")
        fstype, _, options = after.split(" ", 2)
        if fstype == kind and (controller is None or controller in options.split(",")):
            root, mount = before.split(" ")[3:5]
            break
    if mount is None:
        return None
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" if controller is None else controller in controllers.split(","):
            inside = path.removeprefix(root) if root != "/" else path
            folder = Path(mount) / inside.strip("/")
            return folder if folder.is_dir() else None
    return None


def _clear(base: Path) -> bool:
    """Remove groups an earlier run of this runner left, with what still runs in them; and empty ones of others."""
    for other in base.parent.glob("mainstay-*"):
        with contextlib.suppress(OSError):
            if other != base and time.time() - other.stat().st_mtime > ABANDONED_S:
                for folder in (*filter(Path.is_dir, other.iterdir()), other):
                    _rmdir(folder)
    removed = [_remove(old) for old in base.iterdir() if old.is_dir()] if base.is_dir() else []
    _rmdir(base)
    return all(removed)


def _sharing(controllers: str) -> dict[str, str]:
    return {"cgroup.subtree_control": controllers} if controllers else {}


def _rmdir(folder: Path) -> None:
    """Remove a group if nothing is in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _make(folder: Path, values: Mapping[str, str]) -> bool:
    """A group with these settings. One that cannot be set is not kept, except swap: not every kernel counts it."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return False
    taken = [_write(folder / name, value) or "swap" in name for name, value in values.items()]
    if all(taken):
        return True
    _remove(folder)
    return False


def _remove(folder: Path) -> bool:
    until = time.monotonic() + REMOVE_S
    while True:
        _rmdir(folder)
        if not folder.is_dir():
            return True
        pids = [int(pid) for pid in _read(folder / "cgroup.procs").split()]
        if not _write(folder / "cgroup.kill", "1"):
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in pids:
                    with contextlib.suppress(OSError):
                        os.kill(pid, number)
        if time.monotonic() > until:
            return False
        time.sleep(0.002)


def _count(file: Path, name: str) -> int:
    for line in _read(file).splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _write(file: Path, text: str) -> bool:
    """To a file of the kernel's, which is never made by us; whether it took it."""
    try:
        descriptor = os.open(file, os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(descriptor, text.encode())
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _own_processes() -> int:
    """How many processes this user has: RLIMIT_NPROC counts them all, wherever they come from."""
    count = 0
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            count += entry.name.isdigit() and entry.stat().st_uid == os.getuid()
    return count


def _size(size_bytes: int) -> str:
    mebi = size_bytes / (1 << 20)
    return f"{mebi / 1024:g} GiB" if mebi >= 1024 and mebi % 1024 == 0 else f"{mebi:.0f} MiB"
