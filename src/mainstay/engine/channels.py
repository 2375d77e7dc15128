"""Channels as people add, try and remove them: addresses are checked and sealed."""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from mainstay.engine.clock import Clock
from mainstay.engine.delivering import NO_MAIL, beside
from mainstay.flow import audience
from mainstay.model.errors import BadInput, NotFound, Unavailable
from mainstay.model.person import Actor
from mainstay.model.report import FOR_PEOPLE, Channel, ChannelKind, Facts, Report, ReportKind, Tried
from mainstay.notify import chat, mail, webhook
from mainstay.notify.mail import Envelope
from mainstay.notify.message import message
from mainstay.notify.outlet import Outlet
from mainstay.store import audit, channels, deliveries, reports, repositories
from mainstay.store.database import Database, Tx
from mainstay.store.seal import Seal

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._-]{0,99}")
LANGUAGES = ("en", "zh-CN")
MAX_CHANNELS, MAX_PATTERNS, MAX_ADDRESSES = 50, 100, 20
LOOK_UP_S = 3.0
CHOICES = (*FOR_PEOPLE, ReportKind.FINISHED)
"""What a channel can ask for; `finished` only programs."""


@dataclass(frozen=True, slots=True)
class NewChannel:
    """A channel as a person asks for it."""

    name: str
    kind: ChannelKind
    target: str
    """Mail addresses with commas between, the apprise address of a chat, or the URL of a webhook."""
    branches: tuple[str, ...] = ("*",)
    kinds: tuple[ReportKind, ...] = ()
    """Empty: everything for people; of a webhook everything."""
    language: str = "en"


class Channels:
    """Where reports of repositories go."""

    def __init__(self, database: Database, seal: Seal, clock: Clock, outlet: Outlet) -> None:
        self._database = database
        self._seal = seal
        self._clock = clock
        self._outlet = outlet

    async def add(self, actor: Actor, repository: str, new: NewChannel) -> tuple[Channel, str | None]:
        """Add a channel; give it and, of a webhook, the secret that is shown this once. Raises BadInput, Conflict."""
        target, shown = self._checked(new)
        kinds = new.kinds or (CHOICES if new.kind == ChannelKind.WEBHOOK else FOR_PEOPLE)
        channel = Channel(
            0, 0, new.name, new.kind, shown, new.branches or ("*",), kinds, new.language, created_by=actor.name
        )
        # A name server that is slow holds nobody up: each message is judged again.
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(self._judged, new.kind, target), LOOK_UP_S)
        secret = webhook.new_secret() if new.kind == ChannelKind.WEBHOOK else None
        added = await self._database.write(self._add, actor, repository, channel, target, secret, self._clock.now())
        return added, secret

    def _checked(self, new: NewChannel) -> tuple[str, str]:
        """The address as it is kept, and as it may be shown."""
        if not NAME.fullmatch(new.name):
            raise BadInput(
                f"{new.name[:120]!r} is no name for a channel: letters, digits, blanks, '.', '_' and '-', at most 100"
            )
        if new.language not in LANGUAGES:
            raise BadInput(f"there are no messages in {new.language[:40]!r}; there are {', '.join(LANGUAGES)}")
        if len(new.branches) > MAX_PATTERNS or any(not 0 < len(pattern) <= 1024 for pattern in new.branches):
            raise BadInput(f"branch patterns are 1 to 1024 characters long, and there are at most {MAX_PATTERNS}")
        if unknown := [kind for kind in new.kinds if kind not in CHOICES]:
            raise BadInput(f"a channel cannot ask for {unknown[0]}; it can for {', '.join(CHOICES)}")
        if ReportKind.FINISHED in new.kinds and new.kind != ChannelKind.WEBHOOK:
            raise BadInput("`finished` comes with each build: it is for webhooks, people would mute it")
        match new.kind:
            case ChannelKind.MAIL:
                return self._addresses(new.target)
            case ChannelKind.CHAT:
                return new.target.strip(), chat.checked(new.target.strip())
            case ChannelKind.WEBHOOK:
                return new.target.strip(), webhook.shown(new.target.strip())

    def _judged(self, kind: ChannelKind, target: str) -> None:
        """Refuse at once what would be refused with every message. Blocks. Raises BadInput."""
        with suppress(Unavailable):  # a name that is not known now may be when there is something to tell
            if kind == ChannelKind.WEBHOOK:
                webhook.judged(target, self._outlet.reach)
            elif kind == ChannelKind.CHAT:
                chat.judged(target, self._outlet.reach)

    def _addresses(self, text: str) -> tuple[str, str]:
        if self._outlet.mail is None:
            raise BadInput(NO_MAIL)
        written = [part.strip() for part in text.split(",") if part.strip()]
        found = [address for part in written if (address := audience.address_of(part)) is not None]
        if not found or len(found) != len(written) or len(found) > MAX_ADDRESSES:
            raise BadInput(f"give 1 to {MAX_ADDRESSES} plain mail addresses with commas between, not {text[:200]!r}")
        shown = ", ".join(dict.fromkeys(found))
        return shown, shown

    def _add(
        self, tx: Tx, actor: Actor, name: str, channel: Channel, target: str, secret: str | None, now: datetime
    ) -> Channel:
        repository = repositories.by_name(tx, name)
        if len(channels.of_repository(tx, repository.id)) >= MAX_CHANNELS:
            raise BadInput(f"{name} has {MAX_CHANNELS} channels already; remove one first")
        added = channels.add(tx, replace(channel, repository_id=repository.id), now)
        context = channels.target_context(added.id)
        sealed = None if secret is None else self._seal.seal(secret.encode(), context)
        channels.set_target(tx, added.id, self._seal.seal(target.encode(), context), sealed)
        _tell(tx, actor, "channel.add", added, f"{added.kind} {added.shown}", now)
        return added

    async def remove(self, actor: Actor, repository: str, name: str) -> None:
        """Remove a channel; what still waited for it is not sent."""
        await self._database.write(_remove, actor, repository, name, self._clock.now())

    async def try_out(self, actor: Actor, repository: str, name: str) -> list[int]:
        """Send a message that says that the channel is reached; give the numbers of the messages."""
        return await self._database.write(_ping, actor, repository, name, self._clock.now())

    async def send_again(self, actor: Actor, repository: str, message: int) -> None:
        """Send a message now, whatever became of it. Raises NotFound."""
        await self._database.write(_again, actor, repository, message, self._clock.now())

    async def drop(self, actor: Actor, repository: str, message: int) -> None:
        """Take a message away that waits. Raises NotFound, Conflict."""
        await self._database.write(_drop, actor, repository, message, self._clock.now())

    async def try_mail(self, actor: Actor, to: str) -> Tried:
        """Send a mail now, past the outbox, and say how it went. Raises BadInput."""
        server, address = self._outlet.mail, audience.address_of(to)
        if server is None:
            raise BadInput(NO_MAIL)
        if address is None:
            raise BadInput(f"{to[:200]!r} is no plain mail address")
        now = self._clock.now()
        report = Report(0, 0, ReportKind.PING, now, Facts(repository="Mainstay", ref=""))
        said = message(report, "en", self._outlet.address, f"{actor} tries whether mail arrives.")
        envelope = Envelope(self._outlet.sender, address, f"{self._outlet.instance}.{int(now.timestamp() * 1000)}")
        await self._database.write(_tell_of_test, actor, address, now)
        [tried] = await beside(lambda: mail.send_all(server, [mail.mail(report, said, envelope)]), "mail")
        return tried

    async def of(self, repository: str) -> list[Channel]:
        """The channels of a repository. Raises NotFound."""
        return await self._database.read(_of_name, repository)


def _tell_of_test(tx: Tx, actor: Actor, address: str, now: datetime) -> None:
    audit.add(tx, actor, "mail.test", address, now)


def _of_name(tx: Tx, name: str) -> list[Channel]:
    return channels.of_repository(tx, repositories.by_name(tx, name).id)


def _remove(tx: Tx, actor: Actor, repository: str, name: str, now: datetime) -> None:
    found = channels.by_name(tx, repositories.by_name(tx, repository).id, name)
    channels.remove(tx, found)
    _tell(tx, actor, "channel.remove", found, f"{found.kind} {found.shown}", now)


def _ping(tx: Tx, actor: Actor, repository: str, name: str, now: datetime) -> list[int]:
    found = channels.by_name(tx, repositories.by_name(tx, repository).id, name)
    _tell(tx, actor, "channel.test", found, "", now)
    facts = Facts(repository=repository, ref="")
    report_id = reports.add(tx, found.repository_id, ReportKind.PING, facts, None, now)
    deliveries.add(tx, report_id, found.repository_id, audience.to_channel(found), now)
    return deliveries.of_report(tx, report_id)


def _again(tx: Tx, actor: Actor, repository: str, message_id: int, now: datetime) -> None:
    found = _of_repository(tx, repository, message_id)
    deliveries.again(tx, message_id, now)
    audit.add(tx, actor, "message.send", f"{repository} message {message_id}", now, repository_id=found)


def _drop(tx: Tx, actor: Actor, repository: str, message_id: int, now: datetime) -> None:
    found = _of_repository(tx, repository, message_id)
    deliveries.drop(tx, message_id, now)
    audit.add(tx, actor, "message.drop", f"{repository} message {message_id}", now, repository_id=found)


def _of_repository(tx: Tx, repository: str, message_id: int) -> int:
    """The repository's id, of which the message has to be."""
    found = repositories.by_name(tx, repository).id
    if deliveries.get(tx, message_id).report.repository_id != found:
        raise NotFound(f"{repository} has no message with the number {message_id}")
    return found


def _tell(tx: Tx, actor: Actor, action: str, channel: Channel, detail: str, now: datetime) -> None:
    name = repositories.get(tx, channel.repository_id).name
    audit.add(
        tx, actor, action, f"{name} channel {channel.name}", now, detail=detail, repository_id=channel.repository_id
    )
