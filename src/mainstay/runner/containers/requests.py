"""What a workflow file says of ports, volumes and images, as arguments; pure, but for looking where a path leads."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mainstay.runner.containers.engine import ContainerRefused

PORT: Final = re.compile(r"(?:(?:127\.0\.0\.1|localhost):)?(?:(\d{0,5}):)?(\d{1,5})(?:/(tcp|udp))?\Z")
IMAGE: Final = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9._/:@\[\]-]{0,499}\Z")
ELSEWHERE: Final = re.compile(
    r"(containers-storage|dir|docker-archive|docker-daemon|oci|oci-archive|ostree|sif|tarball):|docker:/", re.IGNORECASE
)
"""Names by which podman would read an image from a file of the machine instead of a registry."""
VOLUME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")
PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a service, and where on the machine it is to be reached."""

    container: int
    host: int | None
    """None: any that is free."""
    protocol: str = "tcp"

    @property
    def option(self) -> str:
        """For `--publish`: on this machine only, for a service in a test has no password worth the name."""
        host = "" if self.host is None else str(self.host)
        return f"127.0.0.1:{host}:{self.container}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class Mount:
    """Something of the machine, or a volume, within a container."""

    target: str
    source: Path | None = None
    """A folder or file of the machine."""
    volume: str | None = None
    """A volume's name; neither this nor `source`: a nameless one."""
    readonly: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """Options."""
        for path in (self.source or "", self.target):
            if "," in str(path):
                raise ContainerRefused(f"a path with a comma cannot be shown to a container: {path}")
        end = ",readonly" if self.readonly else ""
        if self.source is not None:
            return "--mount", f"type=bind,src={self.source},dst={self.target}{end}"
        name = f"src={self.volume}," if self.volume else ""
        return "--mount", f"type=volume,{name}dst={self.target}{end}"


def read_image(text: str) -> str:
    """An image's name. Raises ContainerRefused."""
    name = text.strip().removeprefix("docker://")
    if not IMAGE.match(name) or ELSEWHERE.match(name):
        raise ContainerRefused(f"{text[:200]!r} is no name of an image")
    return name


def read_ports(texts: Iterable[str]) -> tuple[Port, ...]:
    """`80`, `8080:80`, `53:53/udp`. Raises ContainerRefused."""
    ports = []
    for text in texts:
        found = PORT.match(text.strip())
        if not found or not 0 < int(found[2]) < 65536 or int(found[1] or 0) > 65535:
            raise ContainerRefused(f"{text[:100]!r} is no port: write CONTAINER, HOST:CONTAINER, or either with /udp")
        host = int(found[1]) if found[1] and int(found[1]) else None
        ports.append(Port(int(found[2]), host, found[3] or "tcp"))
    return tuple(ports)


def read_volumes(texts: Iterable[str], own: Sequence[Path], prefix: str, *, everything: bool) -> tuple[Mount, ...]:
    """`/inside`, `NAME:/inside`, `/of/the/machine:/inside`, each with `:ro` or not.

    `own`: the job's own folders, of which it may show what it likes. `prefix` makes a volume's name the job's own.
    `everything`: the runner's owner lets jobs show any folder. Raises ContainerRefused.
    """
    mounts = []
    for text in texts:
        source, target, mode = _parts(text)
        if not target.startswith("/"):
            raise ContainerRefused(f"the volume {text[:200]!r} leads nowhere: the path inside begins with /")
        readonly = mode == "ro"
        if source is None:
            mounts.append(Mount(target, readonly=readonly))
        elif VOLUME.match(source):
            mounts.append(Mount(target, volume=f"{prefix}-{source}", readonly=readonly))
        else:
            mounts.append(Mount(target, source=_of_machine(text, Path(source), own, everything), readonly=readonly))
    return tuple(mounts)


def _parts(text: str) -> tuple[str | None, str, str]:
    parts = text.strip().split(":")
    if len(parts) == 1:
        return None, parts[0], ""
    if len(parts) == 2:
        return parts[0], parts[1], ""
    if len(parts) == 3:
        modes = parts[2].split(",")
        return parts[0], parts[1], "ro" if "ro" in modes else ""
    raise ContainerRefused(f"the volume {text[:200]!r} cannot be read: write SOURCE:TARGET or SOURCE:TARGET:ro")


def _of_machine(text: str, source: Path, own: Sequence[Path], everything: bool) -> Path:
    real = source.resolve()
    inside = any(real.is_relative_to(folder.resolve()) for folder in own)
    if not source.is_absolute() or not (inside or everything):
        raise ContainerRefused(
            f"the volume {text[:200]!r} shows a folder of the runner's machine, which this runner does not allow; "
            "folders of the job itself (github.workspace, runner.temp) and named volumes are allowed"
        )
    if not real.exists():
        raise ContainerRefused(f"the volume {text[:200]!r} cannot be shown: there is no {source}")
    return real
