"""Where the address of a repository may lead that somebody gave who does not administer everything.

Whoever may set an address makes the server call there, from inside the network. So it is read strictly (what we take
for the host must be what git takes for it), its place is judged as that of messages is, and git is kept at the very
addresses that were judged.
"""

import ipaddress
import re
from urllib.request import getproxies_environment, proxy_bypass

from mainstay.git.keys import Pinned
from mainstay.git.process import redact
from mainstay.model.errors import BadInput, Unavailable
from mainstay.notify import reach
from mainstay.notify.reach import Reach

_USER = r"(?:[A-Za-z0-9._~%!$&'()*+,;=-]+(?::[A-Za-z0-9._~%!$&'()*+,;=-]*)?@)?"
_HOST = r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]+\])"
_URL = re.compile(rf"(?P<scheme>https?|ssh)://{_USER}{_HOST}(?::(?P<port>[0-9]{{1,5}}))?/[!-~]*", re.IGNORECASE)
_SCP = re.compile(rf"(?:[A-Za-z0-9._+-]+@)?{_HOST}:(?!//|:)[!-~]+")
PORTS = {"http": 80, "https": 443, "ssh": 22}


def judge(url: str, reaching: Reach) -> Pinned:
    """The place of an address, all of it within reach. Blocks.

    Raises BadInput for what leads elsewhere or cannot be judged, Unavailable for a name that is not known.
    """
    found = _URL.fullmatch(url) or _SCP.fullmatch(url)
    if found is None:
        raise BadInput(
            f"{redact(url)[:200]!r} cannot be judged: only an administrator of all repositories gives an address that "
            "is not plainly https://HOST/PATH, http://HOST/PATH, ssh://USER@HOST/PATH or USER@HOST:PATH"
        )
    parts = found.groupdict()
    scheme = (parts.get("scheme") or "ssh").lower()
    host, port = _host(parts["host"]), int(parts.get("port") or PORTS[scheme])
    if not 0 < port < 65536:
        raise BadInput(f"{port} is no port")
    try:
        return Pinned(host, port, tuple(reach.addresses(host, port, reaching)))
    except Unavailable:
        if not _by_proxy(scheme, host):
            raise
        return Pinned(host, port, ())  # names are known to the proxy alone, which is the operator's own door


def by_ssh(url: str) -> bool:
    """Whether an address that was judged is reached by ssh."""
    return not url.lower().startswith(("http://", "https://"))


def _host(text: str) -> str:
    if not text.startswith("["):
        return text
    try:
        return str(ipaddress.IPv6Address(text[1:-1]))
    except ValueError:
        raise BadInput(f"{text[:60]!r} is no address of version 6") from None


def _by_proxy(scheme: str, host: str) -> bool:
    proxies = getproxies_environment()
    return scheme != "ssh" and (scheme in proxies or "all" in proxies) and not proxy_bypass(host)
