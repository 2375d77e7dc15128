"""How long to wait before the next try: quick at first, so that a server that restarts is found again at once."""

import random
import time

FIRST_S = 0.05
MOST_S = 5.0


class Backoff:
    """Waits that grow with how long nothing has worked: about a quarter of it, up to five seconds."""

    def __init__(self, first_s: float = FIRST_S, most_s: float = MOST_S) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._since: float | None = None

    @property
    def failing(self) -> bool:
        """Whether the last try failed."""
        return self._since is not None

    def worked(self) -> None:
        """The next failure is the first one again."""
        self._since = None

    def failed(self) -> float:
        """How long to wait now, in seconds."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        wait = min(max((now - self._since) / 4, self._first_s), self._most_s)
        return wait * random.uniform(0.7, 1.3)  # noqa: S311  (jitter)
