"""Who is speaking: tokens to identities, remembered for a short while so that hot paths need no query."""

import contextlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mainstay.engine.clock import Clock
from mainstay.flow import permit
from mainstay.model.errors import Gone, Unavailable
from mainstay.model.person import Actor, Grants, Scope
from mainstay.store import audit, people, runners, tokens
from mainstay.store.database import Database, Tx

REMEMBER_S = 30.0
USED_EVERY_S = 300.0
MAX_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a token belongs to, and what may be done with it."""

    kind: str
    """`api`, `session` (of a browser), `signin` (a link that signs in once) or `runner`."""
    id: int
    """The token's."""
    name: str
    """The person's; the token's own when it belongs to the server."""
    person_id: int | None = None
    grants: Grants = field(default_factory=Grants)
    token: str | None = None
    """What an API token is called."""
    scope: Scope = Scope.ADMIN
    limited: bool = False
    """It carries less than its person may: a token with a scope or for some repositories, or a session of one."""
    address: str | None = None
    """Where this request came from."""

    @property
    def actor(self) -> Actor:
        """The same as engine, story and audit trail know it."""
        return Actor(self.name, self.person_id, self.token, self.address)


class Access:
    """Looks tokens up by their hash."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._remembered: dict[str, tuple[float, Identity]] = {}
        self._runners: set[tuple[int, int]] = set()
        self._public: tuple[float, frozenset[int]] | None = None
        self._changes = 0
        """How often something was revoked, so that what was read before is not remembered after it."""
        self._stop = database.on_wake(self._forget)

    def _forget(self, topic: str) -> None:
        if topic in ("tokens", "runners", "*"):
            self._changes += 1
            self._remembered.clear()
            self._runners.clear()
            self._public = None

    async def authenticate(self, token: str) -> Identity | None:
        """The identity of a live token, or None."""
        if not token.startswith("mst_") or len(token) > 200:
            return None
        key = tokens.hash_of(token)
        now = self._clock.monotonic()
        known = self._remembered.get(key)
        if known is not None and known[0] > now:
            return known[1]
        changes = self._changes
        found = await self._database.read(_identity, token, self._clock.now())
        if found is None:
            self._remembered.pop(key, None)
            return None
        identity, used_at, ends_at = found
        await self._used(identity.id, used_at)
        left_s = REMEMBER_S if ends_at is None else (ends_at - self._clock.now()).total_seconds()
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
        if changes == self._changes:
            self._remembered[key] = (now + min(REMEMBER_S, left_s), identity)
        return identity

    async def _used(self, token_id: int, used_at: datetime | None) -> None:
        """Keep now and then when a token was used last; where nothing can be written, reading goes on."""
        now = self._clock.now()
        if used_at is None or (now - used_at).total_seconds() > USED_EVERY_S:
            with contextlib.suppress(Unavailable):
                await self._database.write(tokens.touch, token_id, now)

    async def public(self) -> frozenset[int]:
        """The repositories that everybody may read."""
        now = self._clock.monotonic()
        if self._public is not None and self._public[0] > now:
            return self._public[1]
        changes = self._changes
        found = await self._database.read(people.public)
        if changes == self._changes:
            self._public = (now + REMEMBER_S, found)
        return found

    async def check_runner(self, token_id: int, runner_id: int) -> None:
        """Refuse a token that may not speak for a runner. Raises Gone."""
        pair = (token_id, runner_id)
        if pair in self._runners:
            return
        changes = self._changes
        if not await self._database.read(runners.owned_by, runner_id, token_id):
            raise Gone(f"runner {runner_id} was removed, or belongs to another token; say hello")
        if len(self._runners) >= MAX_REMEMBERED:
            self._runners.clear()
        if changes == self._changes:
            self._runners.add(pair)

    async def new_token(self, kind: str, name: str, actor: Actor | None = None) -> str:
        """Make a token of the server's own and keep its hash."""
        token = tokens.new_token(kind)
        await self._database.write(_add, kind, name, token, actor, self._clock.now())
        return token

    def close(self) -> None:
        """Hear nothing more."""
        self._stop()


def _identity(tx: Tx, token: str, now: datetime) -> tuple[Identity, datetime | None, datetime | None] | None:
    """Who it is, when the token was used last, when it ends."""
    row = tokens.find(tx, token, now)
    identity = None if row is None else _of_row(tx, row)
    return None if identity is None else (identity, row.used_at, row.expires_at)


def _of_row(tx: Tx, row: Any) -> Identity | None:
    if row.kind not in ("api", "session"):
        return Identity(row.kind, row.id, row.name)
    named = row.name if row.kind == "api" else None
    scope = Scope(row.scope)
    limited = scope is not Scope.ADMIN or row.repositories is not None
    if row.person_id is None:
        grants = permit.limited(permit.EVERYTHING, scope, row.repositories)
        return Identity(row.kind, row.id, row.name, None, grants, named, scope, limited)
    person = people.find(tx, row.person_id)
    if person is None:
        return None
    grants = permit.limited(people.grants_of(tx, person), scope, row.repositories)
    return Identity(row.kind, row.id, person.name, person.id, grants, named, scope, limited)


def _add(tx: Tx, kind: str, name: str, token: str, actor: Actor | None, now: datetime) -> int:
    if actor is not None:
        audit.add(tx, actor, "token.create", f"{kind} token {name}", now)
    return tokens.add(tx, kind, name, token, now)
