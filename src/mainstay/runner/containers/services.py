"""The services of a job: started, waited for until they are healthy, their logs kept."""

import asyncio
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from mainstay.model.plan import Service
from mainstay.runner.containers.engine import Answer, ContainerRefused, Engine, EngineFailed
from mainstay.runner.containers.pull import Say
from mainstay.runner.containers.requests import PLAIN_NAME, Mount, Port

HEALTH_S: Final = 600.0
"""The longest a service may take to become healthy, whatever its own health check says."""
POLL_S: Final = 1.0
TAKEN: Final = re.compile(r"address already in use|port is already allocated|ports? are not available", re.IGNORECASE)
TAKEN_S: Final = 300.0
"""How long a job waits for a port of the machine that another one has."""
LOG_BYTES: Final = 256 << 10
"""As much of a service's log goes into the job's, from its end."""
PROCESSES: Final = 8192
AWAY: Final = re.compile(r"cannot connect|connection refused|is the docker daemon running|no space left", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Order:
    """A container to be started, everything in it decided."""

    name: str
    image: str
    network: str
    labels: tuple[str, ...]
    aliases: tuple[str, ...]
    mounts: tuple[Mount, ...] = ()
    ports: tuple[Port, ...] = ()
    env: Mapping[str, str] | None = None
    options: tuple[str, ...] = ()
    hosts: Mapping[str, str] | None = None
    """Names it is to know, to addresses."""
    entrypoint: str = ""
    command: tuple[str, ...] = ()
    what: str = "container"
    """What it is called in messages."""


async def start(engine: Engine, order: Order, say: Say) -> str:
    """Start it; its id. Raises ContainerRefused, EngineFailed."""
    until = asyncio.get_running_loop().time() + TAKEN_S
    with tempfile.TemporaryDirectory(prefix="mainstay-env-") as folder:
        words = ("run", "--detach", *_words(engine, order, Path(folder)))
        told = False
        while True:
            answer = await engine.ask(*words)
            if answer.code == 0:
                return answer.out.strip().splitlines()[-1]
            await engine.ask(*engine.removal([order.name]))
            if not TAKEN.search(answer.err) or asyncio.get_running_loop().time() > until:
                raise _failure(order, answer)
            if not told:
                await say(f"Another job has a port that {order.what} wants; waiting for it: {answer.words}")
                told = True
            await asyncio.sleep(2 * POLL_S)


def _failure(order: Order, answer: Answer) -> EngineFailed | ContainerRefused:
    words = f"{order.what} could not be started from {order.image}: {answer.words}"
    return EngineFailed(words) if AWAY.search(answer.err) else ContainerRefused(words)


def _words(engine: Engine, order: Order, folder: Path) -> list[str]:
    words = ["--name", order.name, "--network", order.network, "--pull", "never", *engine.extra]
    for alias in order.aliases:
        words += ["--network-alias", alias]
    for name, address in (order.hosts or {}).items():
        words += ["--add-host", f"{name}:{address}"]
    for mount in order.mounts:
        words += mount.words
    for port in order.ports:
        words += ["--publish", port.option]
    if order.env:
        words += ["--env-file", str(_env_file(order, folder))]
    if engine.limits and not any(option.startswith("--pids-limit") for option in order.options):
        words += ["--pids-limit", str(PROCESSES)]
    if Path("/sys/fs/selinux/enforce").exists():
        words += ["--security-opt", "label=disable"]  # relabelling the caches would take longer than most jobs
    words += order.options
    for label in order.labels:  # behind the options: the last one holds, and by them everything is found and removed
        words += ["--label", label]
    if order.entrypoint:
        words += ["--entrypoint", order.entrypoint]
    return [*words, order.image, *order.command]


def _env_file(order: Order, folder: Path) -> Path:
    """Values go by a file: an argument list is for all to read, and the program itself would obey LD_PRELOAD."""
    file = folder / "env"
    for name, value in (order.env or {}).items():
        if not re.fullmatch(r"[^\s=#][^\s=]*", name) or "\n" in value or "\r" in value or "\0" in value:
            raise ContainerRefused(
                f"env of {order.what}: {name[:100]} has several lines, which an engine cannot be told"
            )
    file.write_text("".join(f"{name}={value}\n" for name, value in (order.env or {}).items()), errors="surrogateescape")
    file.chmod(0o600)
    return file


def words_of(text: str, what: str) -> tuple[str, ...]:
    """A command line as its words. Raises ContainerRefused."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ContainerRefused(f"{what}: {text[:200]!r} cannot be read: {error}") from None


async def healthy(engine: Engine, name: str, key: str, say: Say) -> None:
    """Wait until it is, when its image or options say how to tell. Raises ContainerRefused with what is wrong."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    state, check = await _seen(engine, name)
    limit_s = min(HEALTH_S, _patience_s(check)) if check and engine.kind == "podman" else HEALTH_S
    while True:
        if not state.get("Running", False) and state.get("Status") not in ("created", "initialized", "starting"):
            if state.get("ExitCode", 0) == 0 and not check:
                return  # it was not meant to stay
            raise ContainerRefused(f"the service {key} ended by itself, with exit code {state.get('ExitCode')}")
        if not check:
            return
        word = await _health(engine, name, state)
        if word == "healthy":
            await say(f"{key} is healthy after {loop.time() - began:.1f} s")
            return
        if word == "unhealthy" or loop.time() - began > limit_s:
            raise ContainerRefused(f"the service {key} did not become healthy within {loop.time() - began:.0f} s")
        await asyncio.sleep(POLL_S)
        state, check = await _seen(engine, name)


async def _seen(engine: Engine, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Its state and its health check, as the engine has them."""
    text = await engine.do("inspect", "--format", "{{json .State}}\n{{json .Config.Healthcheck}}", name)
    try:
        state, check = (msgspec.json.decode(line) for line in text.splitlines()[:2])
    except (ValueError, msgspec.MsgspecError):
        raise EngineFailed(f"{engine.kind} inspect answered {text[:200]!r}") from None
    check = check or {}
    return state, {} if (check.get("Test") or ["NONE"])[0] == "NONE" else check


async def _health(engine: Engine, name: str, state: Mapping[str, Any]) -> str:
    """Podman leaves its checks to systemd's timers, which are not everywhere: there we run the check ourselves."""
    if engine.kind == "podman":
        return "healthy" if (await engine.ask("healthcheck", "run", name)).code == 0 else "starting"
    return str((state.get("Health") or {}).get("Status") or "starting")


def _patience_s(check: Mapping[str, Any]) -> float:
    """After how long the engine itself would call it unhealthy."""
    second = 1_000_000_000
    interval, limit = (check.get(key) or 30 * second for key in ("Interval", "Timeout"))
    retries = check.get("Retries") or 3
    return float((check.get("StartPeriod") or 0) / second + retries * (interval + min(limit, interval)) / second) + 5.0


async def log_of(engine: Engine, name: str, say: Say) -> None:
    """Its log, or the end of a long one, put into the job's. Raises EngineFailed when the engine is gone."""
    pipe = asyncio.subprocess.PIPE
    process = await engine.start("logs", name, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    kept, seen = b"", 0
    assert process.stdout is not None
    while data := await process.stdout.read(1 << 16):
        seen += len(data)
        kept = (kept + data)[-LOG_BYTES:]
    await process.wait()
    lines = kept.decode("utf-8", "replace").splitlines() or ["(it printed nothing)"]
    if seen > len(kept):
        lines.insert(0, f"({seen - len(kept):,} bytes before this are left out; {LOG_BYTES >> 10} KiB are kept)")
    # With a mark before it: what a service prints must not be taken for a command to us.
    await say("\n".join(f"| {line}" for line in lines))


async def ports_of(engine: Engine, name: str, ports: Sequence[Port]) -> dict[str, str]:
    """Where each port is to be reached: by the port inside, as text, as the `job` context has it."""
    found: dict[str, str] = {}
    if not ports:
        return found
    for line in (await engine.do("port", name)).splitlines():
        inside, _, outside = line.partition(" -> ")
        number = inside.partition("/")[0].strip()
        found.setdefault(number, outside.rpartition(":")[2].strip())
    return found


def named(service: Service, key: str, names: Sequence[str]) -> tuple[str, ...]:
    """What others in the network call it. Raises ContainerRefused."""
    for name in (key, *names):
        if not PLAIN_NAME.match(name):
            raise ContainerRefused(f"{name[:100]!r} cannot be the name of a service from {service.image}")
    return tuple(dict.fromkeys((key, *names)))
