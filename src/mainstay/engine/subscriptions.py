"""What people ask to hear: their subscriptions, and which of them count for a report."""

from collections.abc import Sequence
from datetime import datetime

from mainstay.engine.channels import LANGUAGES, MAX_PATTERNS
from mainstay.flow import audience, permit
from mainstay.flow.audience import Wish
from mainstay.model.errors import BadInput, NotFound
from mainstay.model.person import Actor, Role
from mainstay.model.report import FOR_PEOPLE, ReportKind, Subscription
from mainstay.store import audit, channels, people, repositories, subscriptions
from mainstay.store.database import Tx

NO_ADDRESS = "there is no mail address in your account; an administrator can set one"
NO_PERSON = "this token belongs to the server and not to a person; use one of your own"
MAX_SUBSCRIPTIONS = 200


def subscribe(
    tx: Tx,
    actor: Actor,
    repository: str | None,
    branches: Sequence[str],
    kinds: Sequence[ReportKind],
    language: str,
    now: datetime,
) -> int:
    """Tell a person of a repository, or of all that they may see (None). Raises BadInput, NotFound."""
    person_id = _person_of(tx, actor)
    if language not in LANGUAGES:
        raise BadInput(f"there are no messages in {language[:40]!r}; there are {', '.join(LANGUAGES)}")
    if len(branches) > MAX_PATTERNS or any(not 0 < len(pattern) <= 1024 for pattern in branches):
        raise BadInput(f"branch patterns are 1 to 1024 characters long, and there are at most {MAX_PATTERNS}")
    if unknown := [kind for kind in kinds if kind not in FOR_PEOPLE]:
        raise BadInput(f"people are not told of {unknown[0]}; they are of {', '.join(FOR_PEOPLE)}")
    found = None if repository is None else _visible(tx, person_id, repository)
    if len(subscriptions.of_person(tx, person_id)) >= MAX_SUBSCRIPTIONS:
        raise BadInput(f"there are {MAX_SUBSCRIPTIONS} subscriptions already; take one back first")
    new = Subscription(0, person_id, found, repository, tuple(branches) or ("*",), tuple(kinds) or FOR_PEOPLE, language)
    made = subscriptions.add(tx, new, now)
    audit.add(tx, actor, "subscription.add", repository or "all repositories", now, repository_id=found)
    return made


def _person_of(tx: Tx, actor: Actor) -> int:
    if actor.person_id is None:
        raise BadInput(NO_PERSON)
    if audience.address_of(people.get(tx, actor.person_id).email or "") is None:
        raise BadInput(NO_ADDRESS)
    return actor.person_id


def _visible(tx: Tx, person_id: int, name: str) -> int:
    found = repositories.by_name(tx, name)
    if not permit.may(people.grants_of(tx, people.get(tx, person_id)), Role.READER, found.id):
        raise NotFound(f"there is no repository named {name[:100]!r}; `mainstay repo list` shows those there are")
    return found.id


def unsubscribe(tx: Tx, actor: Actor, subscription_id: int, now: datetime) -> None:
    """Take a subscription back. Raises NotFound."""
    if actor.person_id is None:
        raise NotFound(f"you have no subscription with the number {subscription_id}")
    gone = subscriptions.remove(tx, actor.person_id, subscription_id)
    where = gone.repository or "all repositories"
    audit.add(tx, actor, "subscription.remove", where, now, repository_id=gone.repository_id)


def write_again(tx: Tx, actor: Actor, address: str, now: datetime) -> None:
    """Take back all that an address refused."""
    channels.allow_all(tx, address)
    audit.add(tx, actor, "mail.allow", address, now, detail="of all repositories")


def stop(tx: Tx, address: str, repository_id: int | None, now: datetime) -> None:
    """Write to an address no more, as whoever reads it asked by a mail's link: of one repository, or at all (None)."""
    channels.refuse(tx, address, repository_id, now)
    what = "" if repository_id is not None else "of all repositories"
    audit.add(tx, Actor(address), "mail.stop", address, now, detail=what, repository_id=repository_id)


def take_up(tx: Tx, address: str, repository_id: int, now: datetime) -> None:
    """Write to it again, of this repository."""
    channels.allow(tx, address, repository_id)
    channels.allow(tx, address, None)
    audit.add(tx, Actor(address), "mail.allow", address, now, repository_id=repository_id)


def as_author(tx: Tx, actor: Actor, wanted: bool, now: datetime) -> None:
    """Tell a person when commits of theirs break a branch, or do not. What they asked for by itself stays."""
    person_id = _person_of(tx, actor)
    people.change(tx, person_id, told_as_author=wanted)
    audit.add(tx, actor, "author-mail.on" if wanted else "author-mail.off", actor.name, now)


def wishes(tx: Tx, repository_id: int) -> list[Wish]:
    """Who is to hear of a repository, as long as they may see it."""
    about = subscriptions.about(tx, repository_id)
    known = people.with_grants(tx, {asked.person_id for asked in about})
    found = []
    for asked in about:
        person, grants = known.get(asked.person_id, (None, None))
        address = audience.address_of(person.email or "") if person is not None else None
        if grants is not None and address and permit.may(grants, Role.READER, repository_id):
            found.append(Wish(address, asked))
    return found
