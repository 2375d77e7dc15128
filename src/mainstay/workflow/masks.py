"""Hides secret values in a stream of bytes."""

from collections.abc import Iterable


class Masker:
    """Replaces secrets by `***` in output that comes in chunks of any size.

    Hidden are the value, each line of a value of several lines, and its base64 and URL-encoded forms.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        """Values that are too short to hide are left out; see `add`."""
        raise NotImplementedError

    def add(self, value: str) -> str | None:
        """Hides `value` from the next byte given to `feed` on. Returns why not, in words, if it is too short."""
        raise NotImplementedError

    def feed(self, chunk: bytes) -> bytes:
        """What may be printed now. Bytes that may be the beginning of a secret are kept back."""
        raise NotImplementedError

    def flush(self) -> bytes:
        """The rest; afterwards the masker is as if nothing had been fed."""
        raise NotImplementedError
