"""Signing in with OpenID Connect: the authorization code flow with PKCE, state and nonce, each good once."""

import asyncio
import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from mainstay.engine.clock import Clock
from mainstay.engine.signing_in import SignedIn
from mainstay.flow import throttle
from mainstay.flow.openid import Known, Mapped, believed, roles_by
from mainstay.model.errors import NotAllowed, NotFound, Unavailable
from mainstay.model.person import Actor, Person, Role
from mainstay.store import audit, people, repositories, sessions, throttles, tokens
from mainstay.store.database import Database, Tx
from mainstay.store.seal import CannotOpen, Seal
from mainstay.store.sessions import Opener

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
"""Signatures that only the provider's private key makes; never `none`, never a shared secret."""
ANSWER_BYTES = 1 << 20
MINUTES = 10
DISCOVER_AGAIN_S = 3600.0
DOWN_S = 5.0
"""A provider that did not answer is not asked again for so long: anybody may ask us to ask it."""
AT_ONCE = 2
"""Threads that may wait for the provider: the others are for everybody's work."""
KEYS_AGAIN_S = 30.0
"""Keys that are not known are asked for at most this often."""


@dataclass(frozen=True, slots=True)
class OpenId:
    """An identity provider, as the settings have it."""

    issuer: str
    client_id: str
    client_secret: str | None
    label: str = "OpenID Connect"
    groups_claim: str = "groups"
    mapping: tuple[Mapped, ...] = ()
    domains: frozenset[str] = frozenset()


class _Going(msgspec.Struct, frozen=True):
    """What a browser keeps, sealed, while it is with the provider."""

    state: str
    nonce: str
    verifier: str
    back: str
    until: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Where to send a browser, and what it is to keep meanwhile."""

    url: str
    kept: str


class Provider:
    """The way to one identity provider and back."""

    def __init__(self, settings: OpenId, database: Database, seal: Seal, clock: Clock) -> None:
        self.settings = settings
        self._database = database
        self._seal = seal
        self._clock = clock
        import urllib3  # noqa: PLC0415  (memory: a server with no provider asks nobody)

        self._http = urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=10), retries=False, maxsize=2)
        self._described: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, dict[str, Any]] | None = None
        self._down: tuple[float, Unavailable] | None = None
        self._asking = asyncio.Lock()
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def begin(self, redirect: str, back: str) -> Begun:
        """Send somebody to the provider. Raises Unavailable when it does not answer."""
        async with self._asking:
            description = await self._described_again()
        state, nonce, verifier = tokens.new_token("openid"), secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        until = (self._clock.now() + timedelta(minutes=MINUTES)).timestamp()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        has_groups = "groups" in description.get("scopes_supported", ())
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect,
            "scope": "openid email profile groups" if has_groups else "openid email profile",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        place = str(description["authorization_endpoint"])
        going = msgspec.json.encode(_Going(state, nonce, verifier, back, until))
        kept = base64.urlsafe_b64encode(self._seal.seal(going, "OpenID sign-in")).decode()
        return Begun(f"{place}{'&' if urlsplit(place).query else '?'}{urlencode(asked)}", kept)

    async def finish(self, code: str, state: str, kept: str, redirect: str, opener: Opener) -> tuple[SignedIn, str]:
        """Take somebody back; give the session and where to go on. Raises NotAllowed for whatever does not fit."""
        going = self._opened(kept)
        if going is None or not secrets.compare_digest(going.state.encode(), state.encode()):
            raise NotAllowed("this answer belongs to another sign-in, or came too late; sign in again")
        network = throttle.network_of(opener.address)
        if not await self._database.write(_used, going, network, self._clock.now()):
            raise NotAllowed("this sign-in was finished before, or came too late; sign in again")
        async with self._turns:
            claims = await asyncio.to_thread(self._claims, code, going.verifier, redirect)
        known = believed(
            claims,
            issuer=self.settings.issuer,
            client_id=self.settings.client_id,
            nonce=going.nonce,
            now_s=self._clock.now().timestamp(),
            groups_claim=self.settings.groups_claim,
            domains=self.settings.domains,
        )
        signed = SignedIn(tokens.new_token("session"))
        await self._database.write(_let_in, self.settings, known, signed.session, opener, self._clock.now())
        await self._database.write(throttles.forget, [_counted_by(network)])
        return signed, going.back

    async def _described_again(self) -> dict[str, Any]:
        """The description; one caller at a time finds out that there is none, the others hear of it."""
        if self._down is not None and self._clock.monotonic() - self._down[0] < DOWN_S:
            raise Unavailable(self._down[1].message)
        try:
            found = await asyncio.to_thread(self._description)
        except Unavailable as error:
            self._down = (self._clock.monotonic(), error)
            raise
        self._down = None
        return found

    def _opened(self, kept: str) -> _Going | None:
        try:
            sealed = base64.urlsafe_b64decode(kept.encode())
            return msgspec.json.decode(self._seal.open(sealed, "OpenID sign-in"), type=_Going)
        except (ValueError, CannotOpen):
            return None

    # -- in a thread ---------------------------------------------------------------------------------------------------

    def _description(self) -> dict[str, Any]:
        """The provider's description of itself, remembered for an hour."""
        now = self._clock.monotonic()
        if self._described is None or now - self._described[0] > DISCOVER_AGAIN_S:
            issuer = self.settings.issuer
            found = self._asked("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != issuer:
                raise Unavailable(f"the identity provider at {issuer} calls itself {str(found.get('issuer'))[:200]!r}")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                scheme = urlsplit(str(found.get(name, ""))).scheme
                if scheme != "https" and scheme != urlsplit(issuer).scheme:
                    raise Unavailable(f"the identity provider's {name} is not reached by https")
            self._described = (now, found)
        return self._described[1]

    def _claims(self, code: str, verifier: str, redirect: str) -> dict[str, Any]:
        """Exchange the code for an identity token and give its claims. Raises NotAllowed, Unavailable."""
        body = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": verifier}
        body["client_id"] = self.settings.client_id
        if self.settings.client_secret is not None:
            body["client_secret"] = self.settings.client_secret
        answer = self._asked("POST", str(self._description()["token_endpoint"]), body)
        token = answer.get("id_token")
        if not isinstance(token, str) or len(token) > 100_000:
            raise NotAllowed("the identity provider has given no identity token; sign in again")
        return self._verified(token)

    def _verified(self, token: str) -> dict[str, Any]:
        # Imported here: start-up time and memory, for a server that has no identity provider.
        from joserfc import jwt  # noqa: PLC0415
        from joserfc.errors import JoseError  # noqa: PLC0415
        from joserfc.jwk import KeySet  # noqa: PLC0415

        for fresh in (False, True):  # once more with fresh keys: the provider may have changed them
            try:
                keys = KeySet.import_key_set(self._key_set(fresh=fresh))  # type: ignore[arg-type]
                return dict(jwt.decode(token, keys, algorithms=ALGORITHMS).claims)
            except (JoseError, ValueError, TypeError, KeyError):
                continue
        raise NotAllowed("the identity token's signature does not fit the identity provider's keys")

    def _key_set(self, *, fresh: bool) -> dict[str, Any]:
        now = self._clock.monotonic()
        age = None if self._keys is None else now - self._keys[0]
        if self._keys is None or age is None or age > DISCOVER_AGAIN_S or (fresh and age > KEYS_AGAIN_S):
            self._keys = (now, self._asked("GET", str(self._description()["jwks_uri"])))
        return self._keys[1]

    def _asked(self, method: str, url: str, fields: dict[str, str] | None = None) -> dict[str, Any]:
        from urllib3.exceptions import HTTPError  # noqa: PLC0415  (memory, see above)

        where = urlsplit(url).netloc
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        body = None if fields is None else urlencode(fields)
        try:
            answer = self._http.request(method, url, body=body, headers=headers, redirect=False, preload_content=False)
            try:
                data = answer.read(ANSWER_BYTES + 1)
            finally:
                answer.close()
        except (HTTPError, OSError) as error:
            raise Unavailable(f"the identity provider at {where} does not answer: {type(error).__name__}") from error
        if answer.status in (400, 401, 403):
            raise NotAllowed(f"the identity provider refused this sign-in ({answer.status}); sign in again")
        if answer.status != 200 or len(data) > ANSWER_BYTES:
            raise Unavailable(f"the identity provider at {where} answered {answer.status}")
        try:
            return dict(msgspec.json.decode(data, type=dict[str, Any]))
        except (msgspec.DecodeError, ValueError) as error:
            raise Unavailable(f"the identity provider at {where} answered with something that is not JSON") from error


def _used(tx: Tx, going: _Going, network: str, now: datetime) -> bool:
    """Whether this sign-in was not finished before and is not too old; now it is finished.

    Before the provider is asked: who sends made-up codes has it asked ever more seldom. Raises NotAllowed.
    """
    if now.timestamp() > going.until:
        return False
    key = _counted_by(network)
    count, last = throttles.counted(tx, [key]).get(key, (0, now))
    wait = throttle.wait_s(throttle.ADDRESS, count, (now - last).total_seconds())
    if wait > 0:
        raise NotAllowed(f"too many sign-ins from here came to nothing; try again in {wait:.0f} s")
    throttles.count(tx, {key: count + 1}, now)
    return tokens.first_use(tx, "openid", going.state, now, now + timedelta(minutes=MINUTES))


def _counted_by(network: str) -> str:
    return f"openid {network}"


def _let_in(tx: Tx, settings: OpenId, known: Known, session: str, opener: Opener, now: datetime) -> None:
    """Find the person, or make one, set the roles that the groups give, and open the session.

    An account that is there already is never taken for the provider's person because of its name or mail address.
    """
    everywhere, single = roles_by(settings.mapping, known.groups)
    word = None if everywhere is None else everywhere.word
    values: dict[str, object] = {"full_name": known.full_name, "email": known.email, "group_role": word}
    person = people.by_subject(tx, settings.issuer, known.subject)
    told = "by OpenID Connect"
    if person is None:
        name = _free(tx, known.name)
        person = people.add(tx, name, now, issuer=settings.issuer, subject=known.subject, **values)
        told += "; for the first time"
    else:
        person = people.change(tx, person.id, **values)
    _give_by_groups(tx, person, single)
    sessions.open_session(tx, person.name, session, now, person.id, opener)
    audit.add(tx, Actor(person.name, person.id, address=opener.address), "sign-in", person.name, now, detail=told)


def _give_by_groups(tx: Tx, person: Person, single: dict[str, Role]) -> None:
    """Set the roles of the groups, and take away those that they do not give any more."""
    wanted = {}
    for name, role in single.items():
        try:
            wanted[repositories.by_name(tx, name).id] = role
        except NotFound:
            continue  # a mapping may name a repository that is not watched (yet)
    held = {key for key, _, _, origin in people.roles_of(tx, person.id) if origin == people.GROUPS}
    for key in held - wanted.keys():
        people.give(tx, person.id, key, None, people.GROUPS)
    for key, role in wanted.items():
        people.give(tx, person.id, key, role, people.GROUPS)


def _free(tx: Tx, name: str) -> str:
    """A name that nobody has."""
    found, number = name, 1
    while people.password_of(tx, found) is not None:
        number += 1
        found = f"{name}-{number}"
    return found
