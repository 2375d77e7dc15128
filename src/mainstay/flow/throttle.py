"""How long the next sign-in waits after failed ones. Three counts together keep guessing slow and lock nobody out.

A *pair* is one name from one network: it slows down whoever guesses one person's password. An *address* is one network
with any names: it slows down whoever tries one password on many people. A *name* is one person from networks that never
signed this person in: it slows down many machines that guess together. A browser that has signed this person in before
is counted by itself, so nobody else's guesses reach it.
"""

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many failures are free, and how the wait grows after them."""

    free: int
    most_s: float
    """The longest wait."""
    forget_s: float = 24 * 3600.0
    """Failures so long ago count no more."""


PAIR = Allowance(5, 900.0)
ADDRESS = Allowance(30, 300.0)
NAME = Allowance(50, 30.0)
"""Short at its longest: a wait that others can cause must be bearable."""


def wait_s(allowance: Allowance, failures: int, since_s: float) -> float:
    """Seconds to wait still, `since_s` after the last of so many failures. It doubles with each, from one second on."""
    if failures < allowance.free or since_s >= allowance.forget_s:
        return 0.0
    return max(0.0, min(2.0 ** min(failures - allowance.free, 20), allowance.most_s) - since_s)


def network_of(address: str | None) -> str:
    """What of an address is counted: IPv4 whole, of IPv6 the 64 bits that one customer is given."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def counts_of(name: str, address: str | None, device: int | None) -> dict[str, Allowance]:
    """What a sign-in is counted by. `device`: the number of a browser that has signed this person in before."""
    if device is not None:
        return {f"device {device}": PAIR}
    network = network_of(address)
    return {f"pair {name} {network}": PAIR, f"address {network}": ADDRESS, f"name {name}": NAME}
