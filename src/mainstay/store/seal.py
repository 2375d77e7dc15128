"""Secrets at rest: sealed with a key that is never in the database, so a copy of the database alone tells nothing.

A sealed value is: format (1 byte), key number (1 byte), nonce (12 bytes), ciphertext and tag of AES-256-GCM. The
context (what the secret is for) is authenticated too, so a sealed value moved to another row does not open there.

The key file holds a line `NUMBER BASE64` per key. The last one seals; all of them open. To rotate, append a line.
"""

import base64
import binascii
import os
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from mainstay.model.errors import MainstayError

FORMAT = 1
KEY_BYTES = 32
NONCE_BYTES = 12
HEAD_BYTES = 2 + NONCE_BYTES


class CannotOpen(MainstayError):
    """A sealed value that does not open with the keys that are here."""

    code = "cannot-open"


class Seal:
    """Seals and opens secrets. Both are quick enough (microseconds) to be called in the event loop."""

    def __init__(self, keys: Mapping[int, bytes], where: str = "the sealing key") -> None:
        """`keys` by number, 32 bytes each; the last one given seals."""
        if not keys or any(len(key) != KEY_BYTES or not 0 <= number <= 255 for number, key in keys.items()):
            raise MainstayError(f"Cannot use {where}: keys have 32 bytes and a number from 0 to 255, one at least.")
        self._keys = dict(keys)
        self._current = list(keys)[-1]
        self._where = where

    @classmethod
    def from_file(cls, path: Path) -> "Seal":
        """The keys of a file, which is made (mode 0600) with a random key if it is not there.

        When several start at once, all end up with the same file.
        """
        if not path.exists():
            _make(path)
        if path.stat().st_mode & 0o077:
            raise MainstayError(f"Cannot use the sealing key {path}: others may read it. Run: chmod 600 {path}")
        return cls.from_text(path.read_text(), f"the sealing key {path}")

    @classmethod
    def from_text(cls, text: str, where: str = "the sealing key") -> "Seal":
        """The keys of a key file's text; for servers that are given it in a setting instead of a file."""
        return cls(_keys(text, where), where)

    def seal(self, secret: bytes, context: str) -> bytes:
        """`context` says what it is for, in words that will be the same when it is opened."""
        head = bytes((FORMAT, self._current)) + secrets.token_bytes(NONCE_BYTES)
        return head + _cipher(self._keys[self._current]).encrypt(head[2:], secret, head[:2] + context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Raises `CannotOpen` when it was changed, was sealed for something else, or the key is not here."""
        head, body = sealed[:HEAD_BYTES], sealed[HEAD_BYTES:]
        if len(head) < HEAD_BYTES or head[0] != FORMAT:
            raise CannotOpen(f"Cannot open the sealed {context}: it is not a sealed value of a form known here.")
        key = self._keys.get(head[1])
        if key is None:
            raise CannotOpen(f"Cannot open the sealed {context}: key {head[1]} is not in {self._where}. Put it back.")
        # Imported here and in `_cipher` because most processes never seal anything, and it costs 20 ms and 5 MB.
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        try:
            return _cipher(key).decrypt(head[2:], body, head[:2] + context.encode())
        except InvalidTag as error:
            raise CannotOpen(
                f"Cannot open the sealed {context}: it was sealed with another key than the one in {self._where}, for"
                " something else, or was changed. Put the right key back, or make the secret anew."
            ) from error


def _keys(text: str, where: str) -> dict[int, bytes]:
    """The keys of a key file by number, in its order."""
    keys: dict[int, bytes] = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            number, _, encoded = line.strip().partition(" ")
            try:
                keys[int(number)] = base64.b64decode(encoded, validate=True)
            except (ValueError, binascii.Error) as error:
                raise MainstayError(f"Cannot use {where}: a line is not `NUMBER BASE64`.") from error
    return keys


def add_key(path: Path) -> None:
    """Append a new key to a key file, safe from a power cut: from now on it seals, and the others still open."""
    text = path.read_text()
    used = set(_keys(text, f"the sealing key {path}"))
    number = next((each for each in (*range(max(used) + 1, 256), *range(256)) if each not in used), None)
    if number is None:
        raise MainstayError(f"Cannot add a key to {path}: it has 256 already. Forget the old ones first.")
    _replace(path, f"{text.rstrip()}\n{number} {base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}\n")


def keep_newest_key(path: Path) -> None:
    """Take all keys but the last one out of a key file."""
    lines = path.read_text().splitlines()
    kept = [line for line in lines if line.startswith("#")]
    newest = [line for line in lines if line.strip() and not line.startswith("#")][-1]
    _replace(path, "\n".join([*kept, newest]) + "\n")


def _replace(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    _sync_folder(path.parent)


class _Cipher(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...


def _cipher(key: bytes) -> _Cipher:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    return AESGCM(key)


def _make(path: Path) -> None:
    """Write a file with a new key; a file that someone else has made meanwhile wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # Mode 0600 from the start.
    try:
        with os.fdopen(handle, "w") as file:
            key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
            file.write(f"# Opens the secrets in Mainstay's database. Without it they are lost: keep a copy.\n1 {key}\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
        _sync_folder(path.parent)
    finally:
        os.unlink(temporary)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
