"""How people come in: with a password, a link, a token; what a browser is given for it. Guessing is slowed down."""

from dataclasses import dataclass
from datetime import datetime

from mainstay.engine.access import Identity
from mainstay.engine.accounts import NAME, checked_name
from mainstay.engine.clock import Clock
from mainstay.engine.passwords import Passwords, checked
from mainstay.flow import throttle
from mainstay.model.errors import BadInput, Conflict, NotAllowed
from mainstay.model.person import Actor, Person, Role
from mainstay.store import audit, people, sessions, throttles, tokens
from mainstay.store.database import Database, Tx
from mainstay.store.sessions import Opener


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a browser is given."""

    session: str
    device: str | None = None
    """To be kept for a year: with it nobody else's wrong guesses make this browser wait."""


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A sign-in that did not come about."""

    wait_s: float
    """0: name and password do not go together; else: ask again after so many seconds."""


class SigningIn:
    """Opens and ends sessions."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.passwords = Passwords()

    async def by_password(
        self, name: str, password: str, opener: Opener, device: str | None = None
    ) -> SignedIn | TurnedAway:
        """Sign in by name and password. A failure is counted before the password is looked at, so that many at once
        are counted too; it takes the same time whether or not there is somebody of that name."""
        name = name.strip().lower() if NAME.fullmatch(name.strip()) else "?"  # nobody is called that
        tried = await self._database.write(_try, name, opener, device, self._clock.now())
        if tried.wait_s > 0:
            return TurnedAway(tried.wait_s)
        right = await self.passwords.fits(tried.kept, password)
        if not right or tried.person_id is None:
            await self._database.write(_failed, name, opener, self._clock.now())
            return TurnedAway(0.0)
        signed = SignedIn(tokens.new_token("session"), None if tried.device else tokens.new_token("device"))
        await self._database.write(_succeeded, name, tried, signed, opener, self._clock.now())
        return signed

    async def invited(self, link: str) -> str | None:
        """For whom a link was made; None: it is the operator's, or leads nowhere (any more)."""
        if not link.startswith("mst_signin_") or len(link) > 200:
            return None
        row = await self._database.read(tokens.find, link, self._clock.now())
        return None if row is None or row.kind != "signin" or row.person_id is None else str(row.name)

    async def by_link(self, link: str, opener: Opener) -> str | None:
        """The session that a sign-in link gives; None when it was used before or is too old."""
        if not link.startswith("mst_signin_") or len(link) > 200:
            return None
        session = tokens.new_token("session")
        opened = await self._database.write(_by_link, link, session, opener, self._clock.now())
        return session if opened else None

    async def by_token(self, token: str, opener: Opener) -> str | None:
        """A session that may what an API token may, as long as that lives; None: it is not known (any more)."""
        if not token.startswith("mst_") or len(token) > 200:
            return None
        session = tokens.new_token("session")
        opened = await self._database.write(_by_token, token, session, opener, self._clock.now())
        return session if opened else None

    async def operator_link(self, name: str) -> str:
        """A link for whoever reads the server's terminal; good once and for half an hour."""
        link = tokens.new_token("signin")
        await self._database.write(sessions.add_link, name, link, self._clock.now())
        return link

    async def wanting(self, identity: Identity) -> str | None:
        """What somebody who has just come in should do first: `admin` (make an account), `password`; None: nothing."""
        return await self._database.read(_wanting, identity)

    async def make_first(self, identity: Identity, name: str, password: str, opener: Opener) -> SignedIn:
        """Make the first administrator out of the operator's session. Raises BadInput, Conflict, NotAllowed."""
        name = checked_name(name)
        checked(password, name)
        if identity.person_id is not None or identity.token is not None:
            raise NotAllowed("only the link that the server prints makes the first administrator")
        kept = await self.passwords.hashed(password)
        signed = SignedIn(tokens.new_token("session"), tokens.new_token("device"))
        await self._database.write(_make_first, identity, name, kept, signed, opener, self._clock.now())
        return signed

    async def set_password(self, identity: Identity, old: str | None, new: str, opener: Opener) -> SignedIn:
        """Set one's own password; all other sessions end and this one is replaced.

        `old` is needed where there is a password, but for somebody who came by an invitation. Raises BadInput.
        """
        if identity.person_id is None:
            raise BadInput("this session belongs to the server and not to a person; it has no password")
        if identity.limited:
            raise NotAllowed("this session was opened with a token that may not do everything; sign in otherwise")
        checked(new, identity.name)
        invited = await self._database.read(tokens.came_by_link, identity.id)
        if not invited:
            kept = await self._database.read(people.password_of, identity.name)
            key = f"device {identity.id}"
            await self._database.write(_slow_down, key, self._clock.now())
            if kept is not None and kept[1] is not None and not await self.passwords.fits(kept[1], old or ""):
                raise BadInput("the present password is another one")
            await self._database.write(throttles.forget, [key])
        hashed = await self.passwords.hashed(new)
        signed = SignedIn(tokens.new_token("session"), tokens.new_token("device"))
        await self._database.write(_set_password, identity, hashed, signed, opener, self._clock.now())
        return signed

    async def sign_out(self, identity: Identity) -> None:
        """The session is worth nothing from now on."""
        await self._database.write(_sign_out, identity, self._clock.now())

    async def end_token(self, token: str) -> None:
        """The same for a session that is known by its token only; one that is not known is none."""
        await self._database.write(_end_token, token, self._clock.now())


@dataclass(frozen=True, slots=True)
class _Tried:
    """What is known of a sign-in before its password is looked at."""

    wait_s: float
    person_id: int | None = None
    kept: str | None = None
    device: int | None = None
    keys: tuple[str, ...] = ()


def _try(tx: Tx, name: str, opener: Opener, device_token: str | None, now: datetime) -> _Tried:
    known = people.password_of(tx, name)
    person_id, kept = known if known is not None else (None, None)
    device = sessions.device_of(tx, device_token, person_id, now) if device_token and person_id is not None else None
    allowances = throttle.counts_of(name, opener.address, device)
    counted = throttles.counted(tx, allowances)
    wait, failures = 0.0, {}
    for key, allowance in allowances.items():
        count, last = counted.get(key, (0, now))
        since = (now - last).total_seconds()
        wait = max(wait, throttle.wait_s(allowance, count, since))
        failures[key] = 1 if since >= allowance.forget_s else count + 1
    if wait > 0:
        return _Tried(wait)
    throttles.count(tx, failures, now)
    return _Tried(0.0, person_id, kept, device, tuple(allowances))


def _slow_down(tx: Tx, key: str, now: datetime) -> None:
    """Count a try of the present password within a session, and refuse it when there were too many."""
    count, last = throttles.counted(tx, [key]).get(key, (0, now))
    wait = throttle.wait_s(throttle.PAIR, count, (now - last).total_seconds())
    if wait > 0:
        raise Conflict(f"too many wrong passwords; try again in {wait:.0f} s")
    throttles.count(tx, {key: count + 1}, now)


def _failed(tx: Tx, name: str, opener: Opener, now: datetime) -> None:
    audit.add(tx, Actor(name, address=opener.address), "sign-in.fail", name, now)


def _succeeded(tx: Tx, name: str, tried: _Tried, signed: SignedIn, opener: Opener, now: datetime) -> None:
    # The count of an address with many names stays: one right password must not wash away guesses at others.
    throttles.forget(tx, [key for key in tried.keys if not key.startswith("address ")])
    assert tried.person_id is not None
    _open(tx, people.get(tx, tried.person_id), signed, opener, now)
    audit.add(tx, Actor(name, tried.person_id, address=opener.address), "sign-in", name, now, detail="by password")


def _by_link(tx: Tx, link: str, session: str, opener: Opener, now: datetime) -> bool:
    name = sessions.use_link(tx, link, session, now, opener)
    if name is not None:
        audit.add(tx, Actor(name, address=opener.address), "sign-in", name, now, detail="by a link that is good once")
    return name is not None


def _by_token(tx: Tx, token: str, session: str, opener: Opener, now: datetime) -> bool:
    name = sessions.open_with_token(tx, token, session, now, opener)
    if name is not None:
        audit.add(tx, Actor(name, token=name, address=opener.address), "sign-in", name, now, detail="by an API token")
    return name is not None


def _sign_out(tx: Tx, identity: Identity, now: datetime) -> None:
    audit.add(tx, identity.actor, "sign-out", identity.name, now)
    tokens.revoke(tx, identity.id, now)


def _open(tx: Tx, person: Person, signed: SignedIn, opener: Opener, now: datetime) -> None:
    sessions.open_session(tx, person.name, signed.session, now, person.id, opener)
    if signed.device is not None:
        sessions.add_device(tx, person.id, signed.device, opener, now)


def _wanting(tx: Tx, identity: Identity) -> str | None:
    if identity.person_id is None:
        return None if people.anybody(tx) else "admin"
    return "password" if tokens.came_by_link(tx, identity.id) else None


def _make_first(
    tx: Tx, identity: Identity, name: str, kept: str, signed: SignedIn, opener: Opener, now: datetime
) -> None:
    if people.anybody(tx):
        raise Conflict("there is an account already; sign in with it, or have an administrator add you")
    person = people.add(tx, name, now, role=Role.ADMIN.word, password=kept)
    actor = Actor(name, person.id, address=opener.address)
    audit.add(tx, actor, "person.add", name, now, detail="role: admin; the first one")
    tokens.revoke(tx, identity.id, now)
    _open(tx, person, signed, opener, now)


def _set_password(tx: Tx, identity: Identity, kept: str, signed: SignedIn, opener: Opener, now: datetime) -> None:
    assert identity.person_id is not None
    person = people.change(tx, identity.person_id, password=kept)
    tokens.revoke_all(tx, person.id, ("session", "signin", "device"), now)
    _open(tx, person, signed, opener, now)
    audit.add(tx, identity.actor, "password.set", person.name, now, detail="all other sessions ended")


def _end_token(tx: Tx, token: str, now: datetime) -> None:
    row = tokens.find(tx, token, now)
    if row is not None and row.kind == "session":
        tokens.revoke(tx, row.id, now)
