"""The link in each mail that ends it without signing in: sealed, so that only those who got the mail can use it."""

import base64
import binascii
from dataclasses import dataclass

import msgspec

from mainstay.model.errors import NotFound
from mainstay.store.seal import CannotOpen, Seal

CONTEXT = "link out of mail"
LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose link it is, and which repository it is about."""

    address: str
    repository_id: int


class WayOut:
    """Makes and reads such links."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def path(self, address: str, repository_id: int) -> str:
        """The link's path on this server."""
        body = msgspec.json.encode([address, repository_id])
        return "/mail/" + base64.urlsafe_b64encode(self._seal.seal(body, CONTEXT)).decode().rstrip("=")

    def reader(self, token: str) -> Reader:
        """Whom a link was made for. Raises NotFound."""
        try:
            if len(token) > LONGEST:
                raise ValueError(token)
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            address, repository_id = msgspec.json.decode(self._seal.open(sealed, CONTEXT), type=tuple[str, int])
        except (ValueError, binascii.Error, CannotOpen, msgspec.MsgspecError):
            raise NotFound("this link is not whole, or it is from another server; use the one in the mail") from None
        return Reader(address, repository_id)
