"""Passwords: hashed with argon2id in a thread, a few at a time, so that signing in costs the server little."""

import asyncio
from functools import cache
from typing import Protocol

from mainstay.model.errors import BadInput

SHORTEST, LONGEST = 10, 1000
AT_ONCE = 2
"""Each takes 19 MiB of memory and one core while it runs."""
COMMON = frozenset(
    {"password", "passwort", "1234567890", "12345678", "qwertyuiop", "letmein", "iloveyou", "administrator", "mainstay"}
)


class Passwords:
    """Hashes and verifies."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def hashed(self, password: str) -> str:
        """The hash to be kept."""
        async with self._turns:
            return await asyncio.to_thread(_hash, password)

    async def fits(self, kept: str | None, password: str) -> bool:
        """Whether it is the password. Without a kept hash the same work is done, so that time tells nothing."""
        async with self._turns:
            return await asyncio.to_thread(_verify, kept, password)


def checked(password: str, name: str) -> str:
    """A password that may be set. Raises BadInput with the reason."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise BadInput(f"a password has {SHORTEST} to {LONGEST} characters; several words make a good one")
    plain = password.lower().strip("0123456789!.-_ ")
    if name.lower() in (password.lower(), plain) or plain in COMMON or len(set(password)) < 4:
        raise BadInput("this password is among the first that anybody would try; several words make a good one")
    return password


class _Hasher(Protocol):
    def hash(self, password: str) -> str: ...
    def verify(self, hash: str, password: str) -> bool: ...  # noqa: A002 - the library's word


@cache
def _hasher() -> _Hasher:
    # Imported here and in `_verify`: most processes never see a password, and it costs 15 ms.
    from argon2 import PasswordHasher  # noqa: PLC0415

    return PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)


def _hash(password: str) -> str:
    return _hasher().hash(password)


@cache
def _nobodys() -> str:
    """The hash that stands in for those whom nobody knows."""
    return _hash("nobody")


def _verify(kept: str | None, password: str) -> bool:
    from argon2.exceptions import Argon2Error, InvalidHashError  # noqa: PLC0415

    try:
        _hasher().verify(kept or _nobodys(), password[:LONGEST])
    except (Argon2Error, InvalidHashError):
        return False
    return kept is not None
