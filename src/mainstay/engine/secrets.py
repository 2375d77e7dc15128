"""Secrets, variables and environments as people set them. A value goes in sealed and comes out only for a job."""

import secrets as random
from collections.abc import Callable

from mainstay.engine.clock import Clock
from mainstay.model.errors import BadInput, Conflict, NotFound
from mainstay.model.events import Event, EventKind
from mainstay.model.person import Actor
from mainstay.model.secret import (
    Place,
    Secret,
    Variable,
    checked_environment,
    checked_name,
    checked_value,
)
from mainstay.store import audit, events, repositories, variables
from mainstay.store import secrets as store
from mainstay.store.database import Database, Tx
from mainstay.store.seal import Seal
from mainstay.store.secrets import context_of, webhook_context
from mainstay.workflow.masks import Masker

MAX_AT_PLACE = 500
"""Secrets, and variables, of one place."""

DONE = {"set": "set", "remove": "removed", "make-secret": "secret made", "remove-secret": "secret removed"}
"""What was done, in words."""


class Secrets:
    """What people set for their jobs."""

    def __init__(self, database: Database, seal: Seal, clock: Clock) -> None:
        self._database = database
        self._seal = seal
        self._clock = clock

    async def put(self, actor: Actor, repository: str | None, environment: str | None, name: str, value: str) -> Secret:
        """Set a secret. `repository` None: for all. Raises BadInput for what cannot be kept or hidden, NotFound."""
        name, environment = checked_name(name, "secret"), checked_environment(environment)
        checked_value(value, "secret")
        refused = Masker().add(value)
        if refused is not None:
            raise BadInput(f"the secret {name} is refused: {refused}")

        def write(tx: Tx) -> Secret:
            place, now = _place(tx, repository, environment), self._clock.now()
            if not store.has(tx, place, name) and store.count_at(tx, place) >= MAX_AT_PLACE:
                raise Conflict(f"there are {MAX_AT_PLACE} secrets here already; remove one first")
            sealed = self._seal.seal(value.encode(), context_of(place, name))
            store.put(tx, place, name, sealed, actor.name, now)
            self._tell(tx, place, actor, "secret.set", repository, name)
            return Secret(name, place, actor.name, now)

        return await self._database.write(write)

    async def remove(self, actor: Actor, repository: str | None, environment: str | None, name: str) -> None:
        """Raises NotFound when it is not set there."""
        await self._remove(actor, repository, environment, "secret", checked_name(name, "secret"), store.remove)

    async def listed(self, repository: str | None) -> list[Secret]:
        """Names with places: of a repository, its environments and of all repositories. None: only the latter."""
        return await self._database.read(lambda tx: store.listed(tx, _place(tx, repository, None).repository_id))

    async def put_variable(
        self, actor: Actor, repository: str | None, environment: str | None, name: str, value: str
    ) -> Variable:
        """Set a variable. Raises BadInput, NotFound."""
        name, environment = checked_name(name, "variable"), checked_environment(environment)
        checked_value(value, "variable")

        def write(tx: Tx) -> Variable:
            place = _place(tx, repository, environment)
            if not variables.has(tx, place, name) and variables.count_at(tx, place) >= MAX_AT_PLACE:
                raise Conflict(f"there are {MAX_AT_PLACE} variables here already; remove one first")
            variable = Variable(name, place, value, actor.name, self._clock.now())
            variables.put(tx, variable)
            self._tell(tx, place, actor, "variable.set", repository, name)
            return variable

        return await self._database.write(write)

    async def remove_variable(self, actor: Actor, repository: str | None, environment: str | None, name: str) -> None:
        """Raises NotFound when it is not set there."""
        await self._remove(actor, repository, environment, "variable", checked_name(name, "variable"), variables.remove)

    async def listed_variables(self, repository: str | None) -> list[Variable]:
        """As `listed`."""
        return await self._database.read(lambda tx: variables.listed(tx, _place(tx, repository, None).repository_id))

    async def make_webhook_secret(self, actor: Actor, repository: str) -> str:
        """A new secret for a repository's webhooks, in place of an earlier one; given this once."""
        secret = random.token_urlsafe(32)

        def write(tx: Tx) -> None:
            found = repositories.by_name(tx, repository)
            sealed = self._seal.seal(secret.encode(), webhook_context(found.id))
            store.put_webhook(tx, found.id, sealed, actor.name, self._clock.now())
            self._tell(tx, Place(found.id), actor, "webhook.make-secret", repository)

        await self._database.write(write)
        return secret

    async def remove_webhook_secret(self, actor: Actor, repository: str) -> None:
        """From now on the repository's webhooks need only what the server asks of all. Raises NotFound."""

        def write(tx: Tx) -> None:
            found = repositories.by_name(tx, repository)
            if not store.remove_webhook(tx, found.id):
                raise NotFound(f"{repository} has no webhook secret of its own")
            self._tell(tx, Place(found.id), actor, "webhook.remove-secret", repository)

        await self._database.write(write)

    async def webhook_secret(self, repository_id: int) -> str | None:
        """To check a webhook with; None where the repository has none of its own. Raises CannotOpen."""
        row = await self._database.read(store.webhook, repository_id)
        return None if row is None else self._seal.open(row.sealed, webhook_context(repository_id)).decode()

    async def _remove(
        self,
        actor: Actor,
        repository: str | None,
        environment: str | None,
        what: str,
        name: str,
        remove: Callable[[Tx, Place, str], bool],
    ) -> None:
        environment = checked_environment(environment)

        def write(tx: Tx) -> None:
            place = _place(tx, repository, environment)
            if not remove(tx, place, name):
                raise NotFound(f"there is no {what} {name} {_where(repository, environment)}")
            self._tell(tx, place, actor, f"{what}.remove", repository, name)

        await self._database.write(write)

    def _tell(
        self, tx: Tx, place: Place, actor: Actor, action: str, repository: str | None, name: str | None = None
    ) -> None:
        """Into the story and the audit trail; `action` is `THING.VERB`."""
        thing, _, verb = action.partition(".")
        where = f"environment {place.environment}" if place.environment else ""
        now = self._clock.now()
        subject = " ".join(each for each in (repository or "all repositories", name) if each)
        audit.add(tx, actor, action, subject, now, detail=where, repository_id=place.repository_id)
        words = " ".join(
            each for each in (thing, name, DONE[verb], f"by {actor}", where and f"for the {where}") if each
        )
        kind = EventKind.REPOSITORY_CHANGED if place.repository_id is not None else EventKind.SERVER_CHANGED
        events.add(tx, [Event(kind, now, words, repository_id=place.repository_id, actor=actor.name)])


def _place(tx: Tx, repository: str | None, environment: str | None) -> Place:
    """The place that is meant. Raises NotFound, BadInput."""
    if repository is None:
        if environment is not None:
            raise BadInput("an environment belongs to a repository; name the repository too")
        return Place()
    return Place(repositories.by_name(tx, repository).id, environment)


def _where(repository: str | None, environment: str | None) -> str:
    if repository is None:
        return "for all repositories"
    return f"in {repository}" + (f", environment {environment}" if environment else "")
