"""Sessions of people who signed in, and links that sign in once: both are rows of the tokens table with an end."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from mainstay.model.person import Scope
from mainstay.store import people, tokens
from mainstay.store.database import Tx

SESSION_DAYS = 30
LINK_MINUTES = 30
INVITATION_DAYS = 7
DEVICE_DAYS = 365


@dataclass(frozen=True, slots=True)
class Opener:
    """From where, and with what, a session is opened."""

    address: str | None = None
    agent: str | None = None


NOWHERE = Opener()


def open_session(
    tx: Tx,
    name: str,
    token: str,
    now: datetime,
    person_id: int | None = None,
    opener: Opener = NOWHERE,
    parent_id: int | None = None,
) -> None:
    """Keep a new session of a person (None: of the server's operator). `parent_id`: the link it was opened with."""
    until = now + timedelta(days=SESSION_DAYS)
    where, what = opener.address, opener.agent
    tokens.add(
        tx, "session", name, token, now, until, person_id=person_id, address=where, agent=what, parent_id=parent_id
    )
    if person_id is not None:
        people.seen(tx, person_id, now)


def open_with_token(tx: Tx, api_token: str, token: str, now: datetime, opener: Opener) -> str | None:
    """Keep a session that may no more than an API token, and ends with it; the token's name. None: it is not known."""
    row = tokens.find(tx, api_token, now)
    if row is None or row.kind != "api":
        return None
    until = now + timedelta(days=SESSION_DAYS)
    tokens.add(
        tx,
        "session",
        row.name,
        token,
        now,
        until if row.expires_at is None else min(until, row.expires_at),
        person_id=row.person_id,
        scope=Scope(row.scope),
        repositories=row.repositories,
        address=opener.address,
        agent=opener.agent,
        parent_id=row.id,
    )
    return str(row.name)


def add_link(tx: Tx, name: str, token: str, now: datetime, person_id: int | None = None) -> None:
    """Keep a new sign-in link: the operator's is good for half an hour, a person's for a week."""
    good = timedelta(minutes=LINK_MINUTES) if person_id is None else timedelta(days=INVITATION_DAYS)
    tokens.add(tx, "signin", name, token, now, now + good, person_id=person_id)


def use_link(tx: Tx, link: str, session: str, now: datetime, opener: Opener = NOWHERE) -> str | None:
    """Turn a sign-in link into a session, and give whose; None: it was used before, is too old or was never made."""
    row = tokens.use(tx, link, "signin", now)
    if row is None or (row.person_id is not None and people.find(tx, row.person_id) is None):
        return None
    open_session(tx, row.name, session, now, row.person_id, opener, None if row.person_id is None else row.id)
    return str(row.name)


def add_device(tx: Tx, person_id: int, token: str, opener: Opener, now: datetime) -> None:
    """Remember a browser that has signed a person in."""
    until = now + timedelta(days=DEVICE_DAYS)
    tokens.add(tx, "device", "browser", token, now, until, person_id=person_id, agent=opener.agent)


def device_of(tx: Tx, token: str, person_id: int, now: datetime) -> int | None:
    """The number of a browser that has signed this person in before; None: it has not."""
    row = tokens.find(tx, token, now)
    return row.id if row is not None and row.kind == "device" and row.person_id == person_id else None
