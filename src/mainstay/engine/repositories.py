"""Repositories as people add, change and remove them: names, addresses, deploy keys, mirrors."""

import asyncio
import contextlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from mainstay.engine import reaching
from mainstay.engine.clock import Clock
from mainstay.engine.mirrors import Mirrors
from mainstay.git.keys import Access, make_key
from mainstay.git.names import is_prefix
from mainstay.git.source import local_path
from mainstay.model.errors import BadInput, Unavailable
from mainstay.model.events import Event, EventKind
from mainstay.model.person import Actor
from mainstay.model.repository import CommitPolicy, Repository
from mainstay.notify.reach import Reach
from mainstay.store import audit, events, repositories
from mainstay.store.database import Database, Tx
from mainstay.store.seal import Seal

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
CHANGEABLE = frozenset({"url", "branches", "commits", "poll_s", "supersede", "public", "paused", "bisect", "judged"})
MAX_PATTERNS = 100
WATCHED = "repositories"
"""The topic of what is watched: every server looks at the list anew."""


class Repositories:
    """What is watched."""

    def __init__(self, database: Database, seal: Seal, clock: Clock, data: Path, reach: Reach = Reach.NETWORK) -> None:
        """`reach`: how far addresses may lead that somebody gave who does not administer everything."""
        self._reach = reach
        self._database = database
        self._seal = seal
        self._clock = clock
        self.known_hosts = data / "known_hosts"
        self.mirrors = Mirrors(data / "mirrors")

    async def close(self) -> None:
        """End the git programs of all mirrors."""
        await self.mirrors.close()

    async def by_name(self, name: str) -> Repository:
        """One repository. Raises NotFound."""
        return await self._database.read(repositories.by_name, name)

    async def get(self, repository_id: int) -> Repository:
        """One repository. Raises NotFound."""
        return await self._database.read(repositories.get, repository_id)

    async def all_of(self) -> list[Repository]:
        """Every repository."""
        return await self._database.read(repositories.all_of)

    async def add(
        self,
        actor: Actor,
        name: str,
        url: str | None,
        branches: Sequence[str],
        commits: CommitPolicy,
        poll_s: float,
        supersede: bool,
        since: str | None,
    ) -> Repository:
        """Store a repository to be watched. Raises BadInput, Conflict."""
        if not NAME.fullmatch(name) or name.endswith(".git"):
            raise BadInput(
                f"{name[:120]!r} is no name for a repository: letters, digits, '.', '_' and '-', at most 100, "
                "beginning with a letter, a digit or '_', not ending with .git"
            )
        if since is not None and not is_prefix(since):
            raise BadInput(f"{since[:80]!r} is no commit to begin after: give its id, or 7 or more of its first digits")
        new = Repository(
            0, name, _address(url), _patterns(branches), CommitPolicy(commits), supersede, _poll(poll_s), since=since
        )
        return await self._database.write(_add, actor, new, self._clock.now())

    async def change(self, actor: Actor, name: str, values: Mapping[str, object]) -> Repository:
        """Change how a repository is watched. Raises BadInput for what cannot be changed."""
        unknown = sorted(set(values) - CHANGEABLE)
        if unknown:
            raise BadInput(f"{unknown[0][:80]!r} cannot be set; {', '.join(sorted(CHANGEABLE))} can")
        checked = dict(values)
        if "url" in checked:
            checked["url"] = _address(_text_or_none(checked["url"]))
            if checked["url"] is not None and checked.get("judged"):
                with contextlib.suppress(Unavailable):  # of a name that nobody knows now the next look tells
                    await asyncio.to_thread(reaching.judge, str(checked["url"]), self._reach)
        if "branches" in checked:
            checked["branches"] = list(_patterns(checked["branches"]))  # type: ignore[arg-type]
        if "commits" in checked:
            checked["commits"] = CommitPolicy(str(checked["commits"])).value
        if "poll_s" in checked:
            checked["poll_s"] = _poll(float(checked["poll_s"]))  # type: ignore[arg-type]
        now = self._clock.now()
        if "paused" in checked:
            paused = bool(checked.pop("paused"))
            checked |= {"paused_at": now if paused else None, "paused_by": actor.name if paused else None}
        return await self._database.write(_change, actor, name, checked, now)

    async def remove(self, actor: Actor, name: str) -> Repository:
        """Stop watching a repository."""
        return await self._database.write(_remove, actor, name, self._clock.now())

    async def key(self, actor: Actor, name: str) -> str:
        """The public half of its deploy key; the pair is made when it is first asked for."""
        repository = await self.by_name(name)
        if repository.key_public is None:
            pair = make_key(f"mainstay {name}")
            sealed = self._seal.seal(pair.private, repositories.key_context(repository.id))
            await self._database.write(_set_key, actor, repository.id, pair.public, sealed, self._clock.now())
            repository = await self.by_name(name)
        return repository.key_public or ""

    async def access(self, repository: Repository) -> Access:
        """How git gets at its remote: over ssh with its own deploy key, else the server's own identities.

        Of an address that is judged the place is, and the server's identities are not lent to it. Raises BadInput,
        Unavailable.
        """
        pinned = None
        if repository.judged and repository.url is not None:
            pinned = await asyncio.to_thread(reaching.judge, repository.url, self._reach)
        sealed = await self._database.read(repositories.sealed_key, repository.id)
        if sealed is None:
            if pinned is not None and reaching.by_ssh(repository.url or ""):
                raise BadInput(
                    f"{repository.name} has no deploy key, and its address was not given by an administrator of all "
                    f"repositories, so the server's own ssh identities are not used for it: let "
                    f"`mainstay repo key {repository.name}` make one and give it to the forge"
                )
            return Access(None, self.known_hosts, pinned)
        private = self._seal.open(sealed, repositories.key_context(repository.id))
        return Access(private, self.known_hosts, pinned)


def _address(url: str | None) -> str | None:
    """Check where a repository is said to live."""
    if url is None:
        return None
    if len(url) > 4096:
        raise BadInput("the address is longer than 4096 characters")
    path = local_path(url)
    return url if path is None or url.startswith("file:") else str(path)


def _patterns(branches: Sequence[str]) -> tuple[str, ...]:
    patterns = tuple(branches) or ("*",)
    if len(patterns) > MAX_PATTERNS or any(not 0 < len(pattern) <= 1024 for pattern in patterns):
        raise BadInput(f"branch patterns are 1 to 1024 characters long, and there are at most {MAX_PATTERNS}")
    return patterns


def _poll(poll_s: float) -> float:
    if not 1 <= poll_s <= 86_400:
        raise BadInput(f"a repository is polled every 1 to 86400 seconds, not every {poll_s}")
    return float(poll_s)


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value)


def _add(tx: Tx, actor: Actor, new: Repository, now: datetime) -> Repository:
    added = repositories.add(tx, new, now)
    _tell(tx, EventKind.REPOSITORY_ADDED, added, actor, f"added by {actor}", now)
    where = added.address or "here"
    audit.add(tx, actor, "repository.add", added.name, now, detail=where, repository_id=added.id)
    return added


def _change(tx: Tx, actor: Actor, name: str, values: dict[str, object], now: datetime) -> Repository:
    before = repositories.by_name(tx, name)
    if before.paused_at is not None and values.get("paused_at") is not None:
        del values["paused_at"], values["paused_by"]  # it is paused already, since then and by whoever did it
    changed = repositories.change(tx, before.id, **values)
    told = "; ".join(
        f"{key}: {_shown(before, key)} -> {_shown(changed, key)}" for key in sorted(values) if key != "judged"
    )
    audit.add(tx, actor, "repository.set", name, now, detail=told, repository_id=before.id)
    what = ", ".join(sorted(values.keys() - {"judged"}))
    _tell(tx, EventKind.REPOSITORY_CHANGED, changed, actor, f"{what} set by {actor}", now)
    return changed


def _shown(repository: Repository, key: str) -> str:
    """A setting in words, without a password in it."""
    value = repository.address if key == "url" else getattr(repository, key)
    return " ".join(value) if isinstance(value, tuple) else str(value)


def _remove(tx: Tx, actor: Actor, name: str, now: datetime) -> Repository:
    removed = repositories.by_name(tx, name)
    _tell(tx, EventKind.REPOSITORY_REMOVED, removed, actor, f"removed by {actor}", now)
    audit.add(tx, actor, "repository.remove", name, now, repository_id=removed.id)
    repositories.remove(tx, removed, now)
    return removed


def _set_key(tx: Tx, actor: Actor, repository_id: int, public: str, sealed: bytes, now: datetime) -> None:
    repositories.set_key(tx, repository_id, public, sealed)
    repository = repositories.get(tx, repository_id)
    _tell(tx, EventKind.REPOSITORY_CHANGED, repository, actor, f"deploy key made for {actor}", now)
    audit.add(tx, actor, "repository.key", repository.name, now, detail="made", repository_id=repository_id)


def _tell(tx: Tx, kind: EventKind, repository: Repository, actor: Actor, cause: str, now: datetime) -> None:
    details = {"name": repository.name}
    events.add(tx, [Event(kind, now, cause, repository_id=repository.id, actor=actor.name, details=details)])
    tx.wake(WATCHED)
