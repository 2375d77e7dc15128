"""Getting an image: its progress in the log, tried again while its registry cannot be reached."""

import asyncio
import base64
import hashlib
import re
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from mainstay.runner.containers.engine import ContainerRefused, Engine, EngineFailed, environment

WAITS_S: Final = (2.0, 8.0, 20.0)
"""Between one try and the next."""
PULL_S: Final = 1800.0
FRESH_S: Final = 900.0
"""An image that was looked up this recently is not looked up again: registries count, and a build has many jobs."""
MISSING: Final = re.compile(
    r"not found|manifest unknown|name unknown|no such (image|manifest)|does not exist|\bdenied\b|"
    r"unauthorized|authentication required|invalid (username|reference)|incorrect username|repository name must be|"
    r"no matching manifest|forbidden|no image found",
    re.IGNORECASE,
)
"""What a registry says when trying again does not help."""
AWAY: Final = re.compile(
    r"no such host|connection refused|time-?out|timed out|temporary failure|unreachable|\btls\b|x509|"
    r"too ?many ?requests|\b50[0234]\b|\beof\b|reset by peer|server misbehaving|no route to host",
    re.IGNORECASE,
)
"""What says that it could not be asked, whatever else is said in the same line."""
HUB: Final = "docker.io"
HUB_KEY: Final = "https://index.docker.io/v1/"

Say = Callable[[str], Awaitable[None]]
_fresh: dict[tuple[str, str, str], float] = {}


async def pull(engine: Engine, image: str, credentials: Mapping[str, str], say: Say) -> str:
    """See to it that the image is here; the name by which it is. Raises ContainerRefused (there is none), EngineFailed
    (nobody answers).
    """
    written, image = image, full_name(engine.kind, image)
    # With the credentials: what one job was given with them, another without has to ask for itself.
    key, now = (engine.kind, image, _known_as(credentials)), asyncio.get_running_loop().time()
    there = await _is_here(engine, image)
    if not there and image != written and await _is_here(engine, written):
        return written
    if there and (image.startswith("localhost/") or "@sha256:" in image or now - _fresh.get(key, -1e9) < FRESH_S):
        return image
    with tempfile.TemporaryDirectory(prefix="mainstay-pull-") as folder:
        words, env = _signed_in(engine, image, credentials, Path(folder))
        for wait_s in (*WAITS_S, None) if not there else (None,):
            told = await _once(engine, (*words, image), env, say)
            if told is None:
                _fresh[key] = now
                return image
            if is_missing(told, image):
                raise ContainerRefused(f"the image {image} cannot be had: {told}")
            if wait_s is not None:
                await say(f"Its registry does not answer; the next try is in {wait_s:g} s")
                await asyncio.sleep(wait_s)
    if not there:
        raise EngineFailed(f"the image {image} could not be fetched: {told}")
    await say(f"The registry of {image} does not answer; the copy that is here is used")
    return image


def full_name(kind: str, image: str) -> str:
    """The name with its registry where podman would not know which is meant: workflow files are written for docker."""
    first, mark, _ = image.partition("/")
    if kind != "podman" or registry_of(image) != HUB or first == HUB:
        return image
    return f"{HUB}/{image}" if mark else f"{HUB}/library/{image}"


async def _is_here(engine: Engine, image: str) -> bool:
    return (await engine.ask("image", "inspect", "--format", "{{.Id}}", image)).code == 0


def _known_as(credentials: Mapping[str, str]) -> str:
    return hashlib.sha256(msgspec.json.encode(sorted(credentials.items()))).hexdigest() if credentials else ""


def is_missing(told: str, image: str) -> bool:
    """Whether the registry says that there is no such image, or not for us; else it may be asked again."""
    words = told
    for name in (image, image.partition("@")[0], bare := _untagged(image), bare.rpartition("/")[2]):
        words = words.replace(name, "")  # it may hold any word
    return MISSING.search(words) is not None and AWAY.search(words) is None


def _untagged(image: str) -> str:
    """A name without its tag and digest; a colon before a slash belongs to the registry's port."""
    name = image.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


async def _once(engine: Engine, words: tuple[str, ...], env: Mapping[str, str], say: Say) -> str | None:
    """Pull it; what was said when it failed, None when it did not."""
    pipe = asyncio.subprocess.PIPE
    process = await engine.start("pull", *words, env=env, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    last: list[str] = []
    try:
        async with asyncio.timeout(PULL_S):
            assert process.stdout is not None
            while line := await _line(process.stdout):
                if line.strip():
                    # With a mark before it: what a registry says must not be taken for a command to us.
                    await say(f"| {line}")
                    last = [*last[-2:], line.strip()]
            code = await process.wait()
    except TimeoutError:
        return f"it took longer than {PULL_S / 60:.0f} min"
    finally:
        if process.returncode is None:
            process.kill()
            await asyncio.shield(process.wait())
    return None if code == 0 else " ".join(last[-1:])[-500:] or f"{engine.kind} pull ended with {code}"


async def _line(stream: asyncio.StreamReader) -> str:
    try:
        raw = await stream.readline()
    except ValueError:  # longer than the stream's limit: the rest comes as lines of its own
        raw = await stream.read(1 << 16)
    text = raw.decode("utf-8", "replace")
    return text if not text or text.strip() == "" else text.rstrip("\r\n")[:2000]


def _signed_in(
    engine: Engine, image: str, credentials: Mapping[str, str], folder: Path
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Options and environment that give the password by a file of this pull alone."""
    if not credentials:
        return (), {}
    user, password = credentials.get("username", ""), credentials.get("password", "")
    if not user or not password:
        raise ContainerRefused(f"the credentials for {image} are empty: are the secrets they name given to this job?")
    auth = {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
    registry = registry_of(image)
    auths = {registry: auth} | ({HUB_KEY: auth} if registry == HUB else {})
    file = folder / "config.json"
    file.write_bytes(msgspec.json.encode({"auths": auths}))
    file.chmod(0o600)
    if engine.kind == "podman":
        return ("--authfile", str(file)), {}
    return (), {**environment(), "DOCKER_CONFIG": str(folder)}


def registry_of(image: str) -> str:
    """The host an image comes from: the first part when it looks like one."""
    first, mark, _ = image.partition("/")
    return first if mark and ("." in first or ":" in first or first == "localhost") else HUB
