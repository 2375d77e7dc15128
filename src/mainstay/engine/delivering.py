"""The outbox's loops, one per kind of channel: claim what is due, try it, keep how it went.

A mail server that is away keeps no webhook waiting and no build: what is to be sent lies in the database, a bounded
part of it in memory, and the tries run in threads of their own. Killed while trying, a message becomes due again by
itself: it is delivered at least once, and a repeat carries the same id.
"""

import asyncio
import contextlib
import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from typing import TypeVar

from mainstay.engine.clock import Clock
from mainstay.engine.wake import Wake
from mainstay.engine.way_out import WayOut
from mainstay.flow import outbox
from mainstay.model.errors import MainstayError
from mainstay.model.report import ChannelKind, DeliveryState, Tried
from mainstay.notify import chat, mail, webhook
from mainstay.notify.mail import Envelope
from mainstay.notify.message import message
from mainstay.notify.outlet import Outlet
from mainstay.notify.words import words_in
from mainstay.store import deliveries
from mainstay.store.channels import target_context
from mainstay.store.database import Database
from mainstay.store.deliveries import Delivery
from mainstay.store.seal import Seal

AT_ONCE = {ChannelKind.MAIL: 10, ChannelKind.CHAT: 4, ChannelKind.WEBHOOK: 8}
HOLD_S = {ChannelKind.MAIL: 600.0, ChannelKind.CHAT: 180.0, ChannelKind.WEBHOOK: 120.0}
"""How long a claimed message is left alone: longer than the slowest try of all that were claimed with it."""
LONGEST_S = 300.0
LEAST_S = 0.05
NO_MAIL = "no mail server is set here: start the server with --smtp or MAINSTAY_SMTP"

T = TypeVar("T")
log = logging.getLogger(__name__)


class Delivering:
    """Sends what lies in the outbox."""

    def __init__(self, database: Database, seal: Seal, clock: Clock, wake: Wake, outlet: Outlet) -> None:
        self._database = database
        self._seal = seal
        self._clock = clock
        self._wake = wake
        self.outlet = outlet
        self.way_out = WayOut(seal)
        self.tried: Counter[tuple[str, str]] = Counter()
        """Tries of this process by kind of channel and outcome: `sent`, `again` or `given up`."""

    async def mail_loop(self) -> None:
        """Send mail."""
        await self._loop(ChannelKind.MAIL)

    async def chat_loop(self) -> None:
        """Send to chats."""
        await self._loop(ChannelKind.CHAT)

    async def webhook_loop(self) -> None:
        """Send webhooks."""
        await self._loop(ChannelKind.WEBHOOK)

    async def _loop(self, kind: ChannelKind) -> None:
        with self._wake.watch("outbox") as told:
            while True:
                await self.send_some(kind)
                due = await self._database.read(deliveries.next_due, kind)
                pause = LONGEST_S if due is None else (due - self._clock.now()).total_seconds()
                if pause > 0:
                    await told.wait(min(max(pause, LEAST_S), LONGEST_S))

    async def send_some(self, kind: ChannelKind) -> int:
        """Try what is due, as much as goes at once; give how many messages."""
        now = self._clock.now()
        due = await self._database.read(deliveries.next_due, kind)
        if due is None or due > now:
            return 0
        claimed = await self._database.write(deliveries.claim, kind, AT_ONCE[kind], HOLD_S[kind], now)
        if kind == ChannelKind.MAIL:
            await self._mails(claimed)
        else:
            await asyncio.gather(*(self._one(each) for each in claimed))
        return len(claimed)

    async def _mails(self, claimed: Sequence[Delivery]) -> None:
        server = self.outlet.mail
        if server is None:
            for each in claimed:
                await self._keep(each, Tried(sent=False, error=NO_MAIL))
            return
        made: list[tuple[Delivery, EmailMessage]] = []
        for each in claimed:
            try:
                made.append((each, self._mail(each)))
            except Exception as error:
                log.exception("Message %d could not be written", each.id)
                await self._keep(each, Tried(sent=False, error=f"it could not be written: {error}", for_good=True))
        if made:
            tried = await beside(lambda: mail.send_all(server, [mail for _, mail in made]), "mail")
            for (each, _), how in zip(made, tried, strict=True):
                await self._keep(each, how)

    def _mail(self, delivery: Delivery) -> EmailMessage:
        report = delivery.report
        link = f"{self.outlet.address}{self.way_out.path(delivery.recipient, report.repository_id)}"
        words = words_in(delivery.language)
        asked = "This address is on a channel of {repository} for these messages."
        wrote = "You get this as the author of one of these commits, or because you asked for it (My messages)."
        why = words(wrote) if delivery.channel_id is None else words(asked, repository=report.facts.repository)
        said = message(report, delivery.language, self.outlet.address, why, link)
        envelope = Envelope(self.outlet.sender, delivery.recipient, self.outlet.instance, link, delivery.created_at)
        return mail.mail(report, said, envelope)

    async def _one(self, delivery: Delivery) -> None:
        assert delivery.channel_id is not None
        target = await self._database.read(deliveries.target, delivery.channel_id)
        if target is None:
            return  # the channel was removed, and its messages with it
        try:
            context = target_context(delivery.channel_id)
            url = self._seal.open(target.target, context).decode()
            secret = self._seal.open(target.secret, context).decode() if target.secret else ""
            tried = await beside(self._try(delivery, url, secret), delivery.kind)
        except MainstayError as error:
            tried = Tried(sent=False, error=error.message)
        except Exception as error:
            log.exception("Message %d could not be sent", delivery.id)
            tried = Tried(sent=False, error=f"it could not be sent: {type(error).__name__}")
        await self._keep(delivery, tried)

    def _try(self, delivery: Delivery, url: str, secret: str) -> Callable[[], Tried]:
        report, outlet = delivery.report, self.outlet
        if delivery.kind == ChannelKind.WEBHOOK:
            body = webhook.body_of(report, outlet.address)
            message_id = f"{outlet.instance}-{report.id}-{delivery.channel_id}"
            now = self._clock.now()
            return lambda: webhook.send(url, secret, message_id, body, outlet.reach, now)
        said = message(report, delivery.language, outlet.address)
        return lambda: chat.send(url, said, report.kind, outlet.reach)

    async def _keep(self, delivery: Delivery, tried: Tried) -> None:
        now = self._clock.now()
        if tried.sent:
            self.tried[delivery.kind.value, "sent"] += 1
            await self._database.write(deliveries.end, delivery.id, DeliveryState.SENT, None, tried.status, now)
            return
        error = tried.error or "no reason was given"
        chance = random.random()  # noqa: S311 - no secret
        again = None if tried.for_good else outbox.next_try(delivery.tries, delivery.created_at, chance, now)
        log.warning("Message %d to %s was not delivered: %s", delivery.id, delivery.recipient, error)
        self.tried[delivery.kind.value, "given up" if again is None else "again"] += 1
        if again is None:
            state = DeliveryState.FAILED
            await self._database.write(deliveries.end, delivery.id, state, error, tried.status, now)
        else:
            await self._database.write(deliveries.retry, delivery.id, again, error, tried.status)


async def beside(work: Callable[[], T], name: str) -> T:
    """Run something that blocks in a thread of its own, which nothing waits for when the server stops.

    The event loop's pool is for work that ends soon: a mail server that does not answer would fill it.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value, failed = None, None
        try:
            value = work()
        except Exception as error:  # noqa: BLE001 - it comes out where it is awaited
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever waited
            loop.call_soon_threadsafe(settle, value, failed)

    threading.Thread(target=run, name=f"mainstay-{name}", daemon=True).start()
    return await done
