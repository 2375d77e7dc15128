"""Makes everything a runner needs before its first job, and takes it down again."""

import fcntl
import logging
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mainstay.model.errors import BadInput, Conflict
from mainstay.runner import environment, executors
from mainstay.runner.capture import Capture
from mainstay.runner.config import Config
from mainstay.runner.containers.engines import Engines
from mainstay.runner.containers.watch import OWNER, remove
from mainstay.runner.fetch import Fetcher
from mainstay.runner.journal import Journals
from mainstay.runner.keeper import Zygote, end_leftovers
from mainstay.runner.limits import Groups
from mainstay.runner.machine import Machine
from mainstay.runner.threads import Threads
from mainstay.runner.tools import offer
from mainstay.runner.trash import Trash
from mainstay.runner.trees import Trees

log = logging.getLogger(__name__)

THREADS_PER_JOB = 4
THREADS_BESIDE = 8


@dataclass(frozen=True, slots=True)
class Premises:
    """A runner's folder, locked, and what was made in it."""

    machine: Machine
    journals: Journals
    lock_fd: int


def lock(data: Path, server: str) -> int:
    """Make the runner's folder and see to it that nobody else uses it; say in the lock's file who does.

    Raises Conflict, OSError.
    """
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise Conflict(f"another runner is using {data}; give this one a folder of its own with --data") from None
    os.ftruncate(fd, 0)
    os.write(fd, msgspec.json.encode({"pid": os.getpid(), "server": server}))
    return fd


async def open_premises(config: Config, server: str) -> Premises:
    """Make it all. Raises MainstayError, OSError."""
    data = config.data.resolve()
    lock_fd = lock(data, server)
    anew = not (data / "jobs").exists()
    for name in ("jobs", "caches", "tools", "pipes"):
        (data / name).mkdir(exist_ok=True)
    owner = _identity(data)
    threads = Threads(THREADS_BESIDE + THREADS_PER_JOB * config.capacity)
    groups = Groups.detect(f"runner-{owner}")  # alone: with cgroup v2 we may have to move, and no child can follow
    zygote = Zygote()
    await zygote.start()  # early: it is forked from a process that is still small
    zygote.confine(groups.shelter(config.processes))
    leftovers = await threads.run(end_leftovers, owner)
    if leftovers:
        log.warning("ended %d processes that an earlier run had left", leftovers)
    mirrors = config.mirrors.resolve() if config.mirrors else None
    hidden = [data, *([mirrors.parent] if mirrors else [])]
    trees = Trees(data, mirrors, config.capacity)
    trash = Trash(data / "trash-jobs")
    trash.open()
    for folder in (data / "jobs").iterdir():
        trash.throw(folder)
    trash.soon()
    await trees.open()
    offer(data / "tools")
    contained = config.executor == "container"
    engines = Engines(threads, config.engine, config.image if contained else None, config.open_containers)
    await _sweep_containers(engines, owner, contained=contained, anew=anew)
    machine = Machine(
        name=config.name,
        owner=owner,
        server=server,
        jobs=data / "jobs",
        caches=data / "caches",
        tools=data / "tools",
        environment=environment.of_machine(os.environ),
        zygote=zygote,
        groups=groups,
        executor=await threads.run(executors.detect, None if contained else config.executor, hidden),
        engines=engines,
        trees=trees,
        fetch=Fetcher(server),
        capture=Capture(),
        pipes=data / "pipes",
        threads=threads,
        trash=trash,
    )
    return Premises(machine, Journals(data / "journal"), lock_fd)


async def close_premises(premises: Premises) -> None:
    """Take it down: processes first."""
    machine = premises.machine
    await machine.zygote.stop()
    await machine.trees.close()
    await machine.trash.close()
    machine.groups.close()
    machine.capture.stop()
    os.close(premises.lock_fd)


async def _sweep_containers(engines: Engines, owner: str, *, contained: bool, anew: bool) -> None:
    """End what an earlier run left in containers. Raises BadInput when they are needed and there is no engine."""
    if contained and (found := await engines.get()).engine is None:
        raise BadInput(f"the executor container does not work here: {found.reason}")
    if not anew:
        engine = (await engines.get()).engine
        if engine is not None:
            await remove(engine, f"{OWNER}={owner}")


def _identity(data: Path) -> str:
    """What tells this folder's processes from another's, through all restarts."""
    path = data / "id"
    try:
        known = path.read_text().strip()
    except FileNotFoundError:
        known = ""
    if not known.isalnum():
        known = secrets.token_hex(8)
        path.write_text(known + "\n")
    return known
