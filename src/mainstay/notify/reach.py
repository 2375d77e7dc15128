"""Where messages may go: a channel must not become a way to knock on doors that only this machine reaches.

A name is looked up here and the connection made to the very address that was judged, so a name that changes its address
in between wins nothing. "How far messages reach" in docs/decisions says why private networks are within reach unless a
setting says otherwise.
"""

import ipaddress
import socket
from enum import StrEnum

from mainstay.model.errors import BadInput, Unavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Reach(StrEnum):
    """How far channels that people add may reach."""

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
            raise BadInput(
                f"{host[:200]} is at {ip}, which messages may not be sent to from here (MAINSTAY_REACH is {reach}: "
                "`internet` for public addresses, `network` for private ones too, `machine` for this machine as well)"
            )
    return ips
