"""Where the server may be sent: a channel, or the address of a repository, must not become a way to knock on doors
that only this machine reaches.

A name is looked up here and the connection made to the very address that was judged, so a name that changes its address
in between wins nothing. "How far messages reach" in docs/decisions says why private networks are within reach unless a
setting says otherwise.
"""

import contextlib
import ipaddress
import socket
import sys
import threading
from collections.abc import Iterator
from enum import StrEnum
from functools import cache

from mainstay.model.errors import BadInput, Unavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Reach(StrEnum):
    """How far that may reach which people add."""

    INTERNET = "internet"
    """Public addresses only."""
    NETWORK = "network"
    """Those of private networks too."""
    MACHINE = "machine"
    """This machine as well."""


def within(address: Address, reach: Reach) -> bool:
    """Whether an address is within reach. Link-local ones never are: clouds tell secrets there."""
    inner = _inner(address)
    if inner is not None:
        return within(inner, reach)
    if address.is_unspecified or address.is_multicast or address.is_link_local:
        return False
    if address.is_loopback:
        return reach == Reach.MACHINE
    if address.is_reserved:
        return False
    return address.is_global or reach != Reach.INTERNET


def _inner(address: Address) -> Address | None:
    """The address of version 4 that one of version 6 stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def addresses(host: str, port: int, reach: Reach) -> list[str]:
    """The addresses of a host, all within reach. Raises BadInput when one is not, Unavailable when there are none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"the name {host[:200]} is not known: {error}") from None
    ips = list(dict.fromkeys(str(each[4][0]) for each in found))
    for ip in ips:
        if not within(ipaddress.ip_address(ip.partition("%")[0]), reach):
            at = "" if host == ip else f"at {ip}, "
            raise BadInput(
                f"{host[:200]} is {at}where nothing that people add may lead (MAINSTAY_REACH is {reach}: "
                "`internet` for public addresses, `network` for private ones too, `machine` for this machine as well)"
            )
    return ips


_held = threading.local()


@contextlib.contextmanager
def held(reach: Reach) -> Iterator[None]:
    """While the block lasts this thread connects to nothing out of reach, whoever looked the name up.

    For libraries that look names up by themselves: between our judging and theirs a name may change its address.
    """
    _watch_connections()
    _held.reach = reach
    try:
        yield
    finally:
        _held.reach = None


@cache
def _watch_connections() -> None:
    # Once and for good: Python lets nobody take such a watch away.
    sys.addaudithook(_connecting)


def _connecting(event: str, args: tuple[object, ...]) -> None:
    if event != "socket.connect" or (reach := getattr(_held, "reach", None)) is None:
        return
    place = args[1]
    if not isinstance(place, tuple):
        raise PermissionError("a message is sent to no socket of this machine")
    ip = str(place[0]).partition("%")[0]
    if not within(ipaddress.ip_address(ip), reach):
        raise PermissionError(f"{ip} is out of reach (MAINSTAY_REACH is {reach})")
