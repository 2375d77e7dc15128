"""Who is speaking: tokens to identities, remembered for a short while so that hot paths need no query."""

from dataclasses import dataclass
from datetime import datetime

from mainstay.engine.clock import Clock
from mainstay.model.errors import Gone
from mainstay.store import runners, tokens
from mainstay.store.database import Database, Tx

REMEMBER_S = 30.0
MAX_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a token belongs to. `kind`: `api` (may do everything for now) or `runner`."""

    kind: str
    id: int
    name: str


class Access:
    """Looks tokens up by their hash."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._remembered: dict[str, tuple[float, Identity]] = {}
        self._runners: set[tuple[int, int]] = set()
        self._stop = database.on_wake(self._forget)

    def _forget(self, topic: str) -> None:
        if topic in ("tokens", "runners", "*"):
            self._remembered.clear()
            self._runners.clear()

    async def authenticate(self, token: str) -> Identity | None:
        """The identity of a live token, or None."""
        if not token.startswith("mst_") or len(token) > 200:
            return None
        key = tokens.hash_of(token)
        now = self._clock.monotonic()
        known = self._remembered.get(key)
        if known is not None and known[0] > now:
            return known[1]
        row = await self._database.read(tokens.find, token, self._clock.now())
        if row is None:
            self._remembered.pop(key, None)
            return None
        identity = Identity(row.kind, row.id, row.name)
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = (now + REMEMBER_S, identity)
        return identity

    async def check_runner(self, token_id: int, runner_id: int) -> None:
        """Refuse a token that may not speak for a runner. Raises Gone."""
        pair = (token_id, runner_id)
        if pair in self._runners:
            return
        if not await self._database.read(runners.owned_by, runner_id, token_id):
            raise Gone(f"runner {runner_id} was removed, or belongs to another token; say hello")
        if len(self._runners) >= MAX_REMEMBERED:
            self._runners.clear()
        self._runners.add(pair)

    async def new_token(self, kind: str, name: str) -> str:
        """Make a token and keep its hash."""
        token = tokens.new_token(kind)
        await self._database.write(_add, kind, name, token, self._clock.now())
        return token

    def close(self) -> None:
        """Hear nothing more."""
        self._stop()


def _add(tx: Tx, kind: str, name: str, token: str, now: datetime) -> int:
    return tokens.add(tx, kind, name, token, now)
