"""What a server needs to send anything: its mail server, its own address, how far it may reach."""

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from mainstay.model.errors import BadInput
from mainstay.notify.mail import MailServer, mail_server
from mainstay.notify.reach import Reach

SENDER = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,188}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Outlet:
    """Settings of everything that goes out."""

    address: str = "http://127.0.0.1:8080"
    """The server's URL as readers reach it; links begin with it."""
    mail: MailServer | None = None
    """None: no mail is sent."""
    sender: str = "mainstay@localhost"
    author_domains: tuple[str, ...] = ()
    """Domains at which authors of commits are written to although they have no account."""
    reach: Reach = Reach.NETWORK

    @property
    def instance(self) -> str:
        """A short word that tells this server's messages from another's."""
        return hashlib.sha256(self.address.encode()).hexdigest()[:8]


def outlet(
    address: str,
    smtp: str | None = None,
    password: str | None = None,
    sender: str | None = None,
    author_domains: str | None = None,
    reach: str | None = None,
) -> Outlet:
    """Settings as people write them. Raises BadInput."""
    from_ = sender or f"mainstay@{urlsplit(address).hostname or 'localhost'}"
    if sender and not SENDER.fullmatch(sender):
        raise BadInput(f"MAINSTAY_MAIL_FROM is {sender[:200]!r}, which is no plain mail address")
    try:
        reaching = Reach(reach or Reach.NETWORK)
    except ValueError:
        raise BadInput(f"MAINSTAY_REACH is {reach!r}; it is one of {', '.join(Reach)}") from None
    domains = tuple(domain.lower().lstrip("@") for domain in re.split(r"[,\s]+", author_domains or "") if domain)
    server = mail_server(smtp, password) if smtp else None
    return Outlet(address.rstrip("/"), server, from_, domains, reaching)
