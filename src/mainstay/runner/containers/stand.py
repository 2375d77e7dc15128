"""All containers of one job: its network, its services, and the one it runs in. `open` once, then `close`."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec

from mainstay.model.plan import Json, Service
from mainstay.runner.containers import detect, inside, services
from mainstay.runner.containers.engine import ContainerRefused, Engine, EngineFailed
from mainstay.runner.containers.inside import Inside
from mainstay.runner.containers.pull import Say, pull
from mainstay.runner.containers.requests import Mount, read_image, read_ports, read_volumes
from mainstay.runner.containers.services import Order
from mainstay.runner.containers.watch import JOB, OWNER, Watch, remove, watch
from mainstay.runner.executors import JobPlace
from mainstay.runner.limits import JobLimits
from mainstay.workflow.container_options import Options, read_options

IDLE: Final = "while :; do sleep 86400 & wait; done"
"""What a job's container does by itself: wait, and bury what its steps leave behind."""
LOOK: Final = f"""for name in {" ".join(inside.LOOKED_FOR)}; do command -v $name; done
for tool; do command -v "${{tool##*/}}" >/dev/null || {{ "$tool" --version >/dev/null 2>&1 && echo "$tool"; }}; done
id -u"""
"""Prints which programs there are: the image's, and of those that are shown to it what runs there and it lacks."""
ITS_OWN: Final = frozenset({"HOME", "HOSTNAME", "TERM", "container"})
"""Variables of a container that say nothing of its image."""
RECLAIM: Final = 'find "$@" -xdev ! -user "$(stat -c %u "$1")" -exec chown -h --reference="$1" {} + 2>/dev/null; exit 0'

Text = Callable[[str], Awaitable[str]]
"""Evaluates a template."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a job asks for, its expressions evaluated."""

    container: Service | None
    services: Mapping[str, Service]


@dataclass(slots=True)
class Stand:
    """The containers of one job."""

    engine: Engine
    owner: str
    """The runner's folder."""
    attempt: int
    place: JobPlace
    scripts: Path
    files: Path
    pipe: Path
    tools: Mapping[Path, Path]
    """Programs of the machine that a container is shown as well: where, and which."""
    limits: JobLimits
    say: Say
    stopping: asyncio.Event
    everything: bool = False
    """The runner's owner lets jobs open the machine."""
    environment: dict[str, str] = field(default_factory=dict)
    """What the image sets, and the job for its container."""
    context: dict[str, Json] = field(default_factory=dict)
    """What the `job` context has of them."""
    shared: bool = False
    """The container's user is not root, so what it is to write has to be open to it."""
    _job: Inside | None = None
    _started: dict[str, str] = field(default_factory=dict)
    """Services that were started: by key, their container."""
    _watch: Watch | None = None
    _own: tuple[Path, ...] = ()
    _images: dict[str, str] = field(default_factory=dict)
    """By the names that the workflow writes: those by which the engine has them."""

    @property
    def name(self) -> str:
        """What the names of all of them begin with."""
        return f"mainstay-{self.owner[:8]}-{self.attempt}"

    @property
    def inside(self) -> Inside | None:
        """The container that the job runs in, if it does."""
        return self._job

    async def open(self, wish: Wish) -> None:
        """Make it all. Raises ContainerRefused (the workflow's fault), EngineFailed, OSError."""
        self._own = (self.place.work, self.place.home, self.place.temp, *self.place.writable)
        await self._fetch(wish)
        self._watch = await watch(self.engine, f"{self.owner}:{self.attempt}")
        internal = () if self.place.network else ("--internal",)
        await self.engine.do("network", "create", *internal, *self._labels(flat=True), self.name)
        self.context["services"] = {}
        for number, (key, service) in enumerate(wish.services.items(), 1):
            await self._service(number, key, service, mapped=wish.container is None)
        for key, name in self._started.items():
            await services.healthy(self.engine, name, key, self.say)
        if wish.container is not None:
            await self._container(wish.container)

    async def close(self) -> str | None:
        """End and remove everything, logs of services first. Why the job was too greedy, in words. Never raises."""
        excess = None
        with suppress(EngineFailed, OSError):
            excess = await self._excess()
            for key, name in self._started.items():
                await self.say(f"::group::Log of the service {key}")
                await services.log_of(self.engine, name, self.say)
                await self.say("::endgroup::")
        with suppress(EngineFailed, OSError):
            await remove(self.engine, f"{JOB}={self.owner}:{self.attempt}")
            if os.geteuid() and self._job is not None:
                await self._reclaim()
        if self._watch is not None:
            await self._watch.done()
        return excess

    async def kill(self) -> None:
        """End the container the job runs in, now. Never raises."""
        if self._job is not None:
            with suppress(EngineFailed):
                await self.engine.ask("kill", self._job.name)

    # Getting there.

    async def _fetch(self, wish: Wish) -> None:
        for service in (*wish.services.values(), *([wish.container] if wish.container else [])):
            image = read_image(service.image)
            await self.say(f"::group::Image {image}")
            try:
                self._images[image] = await pull(self.engine, image, service.credentials, self.say)
            finally:
                await self.say("::endgroup::")

    async def _service(self, number: int, key: str, service: Service, *, mapped: bool) -> None:
        options = self._options(service, f"the service {key}")
        ports = read_ports(service.ports)
        what = f"the service {key}"
        order = Order(
            name=f"{self.name}-{number}",
            image=self._images[read_image(service.image)],
            network=self.name,
            labels=self._labels(),
            aliases=services.named(service, key, options.names),
            mounts=read_volumes(service.volumes, self._own, self.name, everything=self.everything),
            ports=ports if mapped else (),
            env=service.env,
            options=options.words,
            entrypoint=service.entrypoint,
            command=services.words_of(service.command, f"command of {what}"),
            what=what,
        )
        await self._volumes(order.mounts)
        container = await services.start(self.engine, order, self.say)
        self._started[key] = order.name
        await self.say(f"{key}: {order.image}")
        found = await services.ports_of(self.engine, order.name, order.ports)
        # Within a container of the same network every port of a service is reached by its own number.
        reached = found or {str(port.container): str(port.container) for port in ports}
        self.context["services"][key] = {"id": container, "network": self.name, "ports": reached}

    async def _container(self, service: Service) -> None:
        options = self._options(service, "the job's container")
        folders = [Mount(str(path), source=path) for path in self._own]
        folders += [Mount(str(path), source=path, readonly=True) for path in (*self.place.readable, self.scripts)]
        folders += [Mount(str(where), source=real, readonly=True) for where, real in self.tools.items()]
        folders.append(Mount(str(self.pipe), source=self.pipe))
        order = Order(
            name=self.name,
            image=self._images[read_image(service.image)],
            network=self.name,
            labels=self._labels(),
            aliases=tuple(options.names),
            mounts=(
                *_outermost(folders),
                *read_volumes(service.volumes, self._own, self.name, everything=self.everything),
            ),
            ports=read_ports(service.ports),
            options=(*self._limited(options.words), "--workdir", str(self.place.work)),
            hosts=await self._addresses(),
            entrypoint="sh",
            command=("-c", IDLE),
            what="the job's container",
        )
        await self._volumes(order.mounts)
        container = await services.start(self.engine, order, self.say)
        self.context["container"] = {"id": container, "network": self.name}
        await self._look(order, service)

    async def _look(self, order: Order, service: Service) -> None:
        """What is in it."""
        told = await self.engine.ask("exec", order.name, "sh", "-c", LOOK, "sh", *map(str, self.tools))
        found = inside.programs(told.out)
        if "sh" not in found and "bash" not in found:
            raise ContainerRefused(f"the image {order.image} has no sh, which every step needs: {told.words}")
        self.shared = told.out.split()[-1:] != ["0"]
        if self.shared:
            for path in (*self._own[:3], *self.place.writable, self.pipe):
                with suppress(OSError):
                    path.chmod(0o777)
        raw = await self.engine.do("inspect", "--format", "{{json .Config.Env}}", order.name)
        pairs = (text.partition("=") for text in msgspec.json.decode(raw) or ())
        image = {name: value for name, _, value in pairs if name not in ITS_OWN}
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **image}
        self.environment.update(service.env)
        self._job = Inside(
            self.engine, order.name, self.place, self.pipe, self.scripts, self.files, found, self.stopping
        )

    async def _addresses(self) -> dict[str, str]:
        """Of the services, for engines whose networks know no names."""
        found = {}
        template = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        for key, name in self._started.items():
            address = (await self.engine.do("inspect", "--format", template, name)).split()
            if address:
                found[key] = address[0]
        return found

    async def _volumes(self, mounts: Sequence[Mount]) -> None:
        """Named volumes are the job's own, and go with it."""
        for mount in mounts:
            if mount.volume is not None:
                known = await self.engine.ask("volume", "inspect", mount.volume)
                if known.code:
                    await self.engine.do("volume", "create", *self._labels(flat=True), mount.volume)

    def _options(self, service: Service, what: str) -> Options:
        options = read_options(service.options, everything=self.everything)
        if options.refused:
            raise ContainerRefused(f"options of {what}: {'; '.join(options.refused)}")
        return options

    def _limited(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """The job's own limits come last, and so hold."""
        own: list[str] = []
        if self.engine.limits and self.limits.memory_bytes:
            own += [f"--memory={self.limits.memory_bytes}", f"--memory-swap={self.limits.memory_bytes}"]
        if self.engine.limits and self.limits.processes:
            own.append(f"--pids-limit={self.limits.processes}")
        return (*words, *own)

    def _labels(self, *, flat: bool = False) -> tuple[str, ...]:
        """Of everything that is made; `flat`: as options."""
        labels = (f"{JOB}={self.owner}:{self.attempt}", f"{OWNER}={self.owner}")
        return tuple(word for label in labels for word in ("--label", label)) if flat else labels

    # Leaving.

    async def _excess(self) -> str | None:
        if self._job is None or not self.limits.memory_bytes:
            return None
        killed = await self.engine.ask("inspect", "--format", "{{.State.OOMKilled}}", self._job.name)
        if killed.out.strip() != "true":
            return None
        return f"over the job's memory limit of {self.limits.memory_bytes >> 20} MiB"

    async def _reclaim(self) -> None:
        """What the container's root wrote becomes the runner's own again, or it could not be cleaned up."""
        words = ["run", "--rm", "--network", "none", "--user", "0", *self.engine.extra, *detect.machine_mounts()]
        for path in self._own:
            words += Mount(str(path), source=path).words
        shell = ("--entrypoint", "/bin/sh", detect.EMPTY, "-c", RECLAIM, "mainstay-reclaim")
        await self.engine.ask(*words, *shell, *map(str, (self.place.home, *self._own)), limit_s=600.0)


def _outermost(mounts: Sequence[Mount]) -> tuple[Mount, ...]:
    """Each place once, outer folders before inner ones."""
    kept: dict[str, Mount] = {}
    for mount in mounts:
        if mount.source is not None and mount.source.exists():
            kept.setdefault(mount.target, mount)
    return tuple(kept[target] for target in sorted(kept))


async def evaluated(service: Service, text: Text) -> Service | None:
    """With its templates evaluated by `text`; None when its image comes out empty: then there is to be none."""
    image = (await text(service.image)).strip()
    if not image:
        return None

    async def each(values: Sequence[str]) -> tuple[str, ...]:
        return tuple([found for value in values if (found := (await text(value)).strip())])

    async def pairs(values: Mapping[str, str]) -> dict[str, str]:
        return {name: await text(value) for name, value in values.items()}

    return replace(
        service,
        image=image,
        env=await pairs(service.env),
        ports=await each(service.ports),
        volumes=await each(service.volumes),
        options=await text(service.options),
        entrypoint=await text(service.entrypoint),
        command=await text(service.command),
        credentials=await pairs(service.credentials),
    )
