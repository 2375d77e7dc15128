"""Ports, volumes, images and commands of containers, as they are read; no engine is needed."""

from pathlib import Path

import pytest

from mainstay.runner.containers.engine import ContainerRefused
from mainstay.runner.containers.inside import command, programs
from mainstay.runner.containers.pull import is_missing, registry_of
from mainstay.runner.containers.requests import read_image, read_ports, read_volumes


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


@pytest.mark.parametrize("text", ["", "--privileged", "a b", "a\nb", "$(x)", "-v"])
def test_what_is_no_image_is_refused(text: str) -> None:
    with pytest.raises(ContainerRefused, match="is no name of an image"):
        read_image(text)


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
