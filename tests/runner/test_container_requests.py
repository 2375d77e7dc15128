"""Ports, volumes, images and commands of containers, as they are read; no engine is needed."""

import asyncio
from pathlib import Path

import pytest

from mainstay.runner.containers.engine import Answer, ContainerRefused, Engine
from mainstay.runner.containers.inside import command, programs
from mainstay.runner.containers.pull import full_name, is_missing, pull, registry_of
from mainstay.runner.containers.requests import read_image, read_ports, read_volumes
from mainstay.runner.containers.services import Order, _words


def test_ports_are_published_on_this_machine_only() -> None:
    ports = read_ports(["80", "8080:80", "53:53/udp", "127.0.0.1:1:2", "0:9"])
    assert [port.option for port in ports] == [
        "127.0.0.1::80/tcp",
        "127.0.0.1:8080:80/tcp",
        "127.0.0.1:53:53/udp",
        "127.0.0.1:1:2/tcp",
        "127.0.0.1::9/tcp",
    ]


@pytest.mark.parametrize("text", ["", "x", "80:", "0", "70000", "70000:80", "0.0.0.0:80:80", "1-5:1-5", "80/sctp"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ContainerRefused, match="is no port"):
        read_ports([text])


def test_volumes_are_the_jobs_own(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    own = [tmp_path / "work"]
    mounts = read_volumes(["/a", "data:/b", f"{tmp_path}/work:/c:ro"], own, "job-1", everything=False)
    assert [mount.words[1] for mount in mounts] == [
        "type=volume,dst=/a",
        "type=volume,src=job-1-data,dst=/b",
        f"type=bind,src={tmp_path}/work,dst=/c,readonly",
    ]


@pytest.mark.parametrize("source", ["/etc", "/var/run/docker.sock", "{own}/..", "{own}/link", "../x", "."])
def test_folders_of_the_machine_are_refused(source: str, tmp_path: Path) -> None:
    own = tmp_path / "work"
    own.mkdir()
    (own / "link").symlink_to("/etc")
    with pytest.raises(ContainerRefused, match="shows a folder of the runner's machine"):
        read_volumes([f"{source.format(own=own)}:/x"], [own], "job-1", everything=False)


def test_a_path_with_a_comma_cannot_smuggle_an_option() -> None:
    (mount,) = read_volumes(["data:/x,src=/etc"], [], "job-1", everything=False)
    with pytest.raises(ContainerRefused, match="comma"):
        assert mount.words


@pytest.mark.parametrize(
    "text", ["", "--privileged", "a b", "a\nb", "$(x)", "-v", "docker-archive:/x.tar", "dir:x", "OCI:/x"]
)
def test_what_is_no_image_is_refused(text: str) -> None:
    with pytest.raises(ContainerRefused, match="is no name of an image"):
        read_image(text)


def test_an_image_called_docker_is_one() -> None:
    assert read_image("docker:27-dind") == "docker:27-dind"
    assert read_image("docker://dir/oci:1") == "dir/oci:1"


def test_a_job_cannot_hide_a_container_from_its_removal(tmp_path: Path) -> None:
    order = Order("n", "alpine", "n", labels=("mainstay.job=1",), aliases=(), options=("--label=mainstay.job=2",))
    words = _words(Engine("podman", "podman"), order, tmp_path)
    assert words.index("mainstay.job=1") > words.index("--label=mainstay.job=2")


def test_an_image_fetched_with_credentials_is_asked_for_again_without(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def ask(_: Engine, *words: str, **__: object) -> Answer:
        return Answer(0, "", "")

    async def once(_: Engine, words: tuple[str, ...], *__: object) -> str | None:
        asked.append("with" if "--authfile" in words else "without")
        return None if "--authfile" in words else "denied: requested access to the resource is denied"

    async def say(_: str) -> None:
        pass

    monkeypatch.setattr(Engine, "ask", ask)
    monkeypatch.setattr("mainstay.runner.containers.pull._once", once)
    engine, image = Engine("podman", "podman"), "ghcr.io/me/private:1"

    async def twice_and_without() -> None:
        for _ in range(2):
            await pull(engine, image, {"username": "me", "password": "secret"}, say)
        await pull(engine, image, {}, say)

    with pytest.raises(ContainerRefused, match="cannot be had"):
        asyncio.run(twice_and_without())
    assert asked == ["with", "without"]


def test_podman_is_told_the_registry_that_docker_would_ask() -> None:
    assert full_name("podman", "postgres:18") == "docker.io/library/postgres:18"
    assert full_name("podman", "postgis/postgis@sha256:00") == "docker.io/postgis/postgis@sha256:00"
    assert full_name("podman", "docker.io/library/redis") == "docker.io/library/redis"
    assert full_name("podman", "ghcr.io/a/b:1") == "ghcr.io/a/b:1"
    assert full_name("podman", "localhost/mine") == "localhost/mine"
    assert full_name("docker", "postgres:18") == "postgres:18"


def test_an_image_that_was_made_here_is_used_under_its_short_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(_: Engine, *words: str, **__: object) -> Answer:
        return Answer(0 if words[-1] == "mine:1" else 125, "", "")

    async def say(_: str) -> None:
        pass

    monkeypatch.setattr(Engine, "ask", ask)
    assert asyncio.run(pull(Engine("podman", "podman"), "mine:1", {}, say)) == "mine:1"


def test_the_registry_is_the_first_part_when_it_looks_like_a_host() -> None:
    assert registry_of("postgres:18") == registry_of("me/mine") == "docker.io"
    assert registry_of("ghcr.io/a/b:1") == "ghcr.io"
    assert registry_of("localhost:5000/a") == "localhost:5000"


def test_a_command_becomes_a_script_that_no_value_can_leave() -> None:
    script = command(["sh", "-c", "it's"], {"A": "x'; rm -rf / #\n", "odd-name": "1"}, Path("/w"), Path("/p")).decode()
    assert "export A='x'\\''; rm -rf / #\n'" in script
    assert script.endswith("exec env 'odd-name=1' 'sh' '-c' 'it'\\''s'\n")
    assert programs("/bin/sh\nsh: builtin\n/usr/bin/python3\n0\n") == {"sh": "/bin/sh", "python3": "/usr/bin/python3"}


@pytest.mark.parametrize(
    ("told", "missing"),
    [
        ("pull access denied for eof-tls, repository does not exist or may require 'docker login'", True),
        ("reading manifest latest in docker.io/library/eof-tls: requested access to the resource is denied", True),
        ("manifest for eof-tls:500 not found: manifest unknown: manifest unknown", True),
        ("unauthorized: incorrect username or password", True),
        ('Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host', False),
        ('Get "https://x/v2/": dial tcp 127.0.0.1:9: connect: connection refused', False),
        ("toomanyrequests: You have reached your pull rate limit", False),
        ("received unexpected HTTP status: 503 Service Unavailable", False),
        ("net/http: TLS handshake timeout", False),
    ],
)
def test_an_image_that_is_not_there_is_told_from_a_registry_that_is_away(told: str, missing: bool) -> None:
    assert is_missing(told, "eof-tls:500") is missing
