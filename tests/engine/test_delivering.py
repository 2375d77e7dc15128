"""The outbox against real receivers: signed webhooks, chats, retries, what never answers, several servers."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mainstay.engine.channels import Channels, NewChannel
from mainstay.engine.delivering import Delivering, beside
from mainstay.engine.wake import Wake
from mainstay.model.errors import BadInput
from mainstay.model.person import Actor
from mainstay.model.report import ChannelKind, DeliveryState, ReportKind
from mainstay.model.repository import Repository
from mainstay.notify.mail import mail_server
from mainstay.notify.outlet import Outlet
from mainstay.notify.reach import Reach
from mainstay.store import deliveries, reports, repositories
from mainstay.store.channels import by_name
from mainstay.store.database import Database, Tx
from mainstay.store.deliveries import Delivery
from mainstay.store.seal import Seal
from tests.engine.road import Clock
from tests.notify.reports import broken
from tests.system.receivers import mail_box, receiver

pytestmark = pytest.mark.anyio

ADA = Actor("ada")
KEY = Seal({1: b"k" * 32})
URL = "https://ci.example.org"


class Post:
    """One server's outbox over a database."""

    def __init__(self, database: Database, clock: Clock, **outlet: Any) -> None:
        self.database, self.clock = database, clock
        self.wake = Wake(database)
        self.outlet = Outlet(address=URL, **{"reach": Reach.MACHINE, **outlet})
        self.delivering = Delivering(database, KEY, clock, self.wake, self.outlet)  # type: ignore[arg-type]
        self.channels = Channels(database, KEY, clock, self.outlet)  # type: ignore[arg-type]

    async def begin(self) -> None:
        await self.database.write(lambda tx: repositories.add(tx, Repository(0, "shop", None), self.clock.now()))

    async def add(self, name: str, kind: ChannelKind, target: str) -> str | None:
        return (await self.channels.add(ADA, "shop", NewChannel(name, kind, target)))[1]

    async def tell(self, name: str) -> int:
        """A report to a channel; the number of its message."""

        def write(tx: Tx) -> int:
            from mainstay.flow import audience

            now = self.clock.now()
            report = reports.add(tx, 1, ReportKind.BROKEN, broken().facts, None, now)
            deliveries.add(tx, report, 1, audience.to_channel(by_name(tx, 1, name)), now)
            return deliveries.of_report(tx, report)[0]

        return await self.database.write(write)

    async def get(self, message: int) -> Delivery:
        return await self.database.read(deliveries.get, message)


@pytest.fixture
async def post(database: Database) -> AsyncIterator[Post]:
    made = Post(database, Clock())
    await made.begin()
    yield made
    made.wake.close()


async def test_a_webhook_is_signed_retried_and_told_with_its_code(post: Post) -> None:
    with receiver() as there:
        secret = await post.add("board", ChannelKind.WEBHOOK, f"{there.url}/in?x=1")
        message = await post.tell("board")
        there.answers += [500, 302]
        for status in (500, 302):
            assert await post.delivering.send_some(ChannelKind.WEBHOOK) == 1
            tried = await post.get(message)
            assert (tried.state, tried.status) == (DeliveryState.WAITING, status)
            assert await post.delivering.send_some(ChannelKind.WEBHOOK) == 0
            post.clock.move(60)
        assert await post.delivering.send_some(ChannelKind.WEBHOOK) == 1
        assert (await post.get(message)).state == DeliveryState.SENT
    assert [path for path, _, _ in there.requests] == ["/in?x=1"] * 3
    _, headers, body = there.requests[-1]
    assert {request[1]["webhook-id"] for request in there.requests} == {headers["webhook-id"]}
    assert secret is not None
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    told = json.loads(body)
    assert told["type"] == "branch.broken"
    assert told["data"]["build"]["url"] == f"{URL}/builds/41"
    assert told["data"]["commits"][0]["author"] == "Ada"


async def test_a_chat_gets_the_message_through_apprise(post: Post) -> None:
    with receiver() as there:
        await post.add("talk", ChannelKind.CHAT, there.url.replace("http://", "json://") + "/hook")
        message = await post.tell("talk")
        await post.delivering.send_some(ChannelKind.CHAT)
        assert (await post.get(message)).state == DeliveryState.SENT
        there.answers.append(403)
        refused = await post.tell("talk")
        await post.delivering.send_some(ChannelKind.CHAT)
        assert "403" in str((await post.get(refused)).error)
    told = json.loads(there.requests[0][2])
    assert told["title"] == "✗ main of shop is broken by 3f2a91c0 (Ada): 2 tests failed"
    assert "assert 2 == 3" in told["message"]
    assert f"{URL}/builds/41" in told["message"]


@pytest.mark.parametrize("kind", [ChannelKind.WEBHOOK, ChannelKind.CHAT])
async def test_what_is_out_of_reach_is_not_knocked_on(post: Post, kind: ChannelKind) -> None:
    far = Post(post.database, post.clock, reach=Reach.NETWORK)
    with receiver() as there:
        url = there.url if kind == ChannelKind.WEBHOOK else there.url.replace("http://", "json://")
        with pytest.raises(BadInput, match="MAINSTAY_REACH is network"):
            await far.add("inside", kind, url)
        await post.add("inside", kind, url)  # when it reached further
        message = await far.tell("inside")
        await far.delivering.send_some(kind)
    assert there.requests == []
    assert "127.0.0.1 is where nothing that people add may lead" in str((await post.get(message)).error)


async def test_a_mail_server_that_is_away_is_tried_for_two_days_and_then_waits_for_a_person(post: Post) -> None:
    with mail_box() as box:
        server = mail_server(box.url)
    away = Post(post.database, post.clock, mail=server)
    await away.add("team", ChannelKind.MAIL, "a@example.org")
    message = await away.tell("team")
    tries = 0
    while (await post.get(message)).state == DeliveryState.WAITING:
        tries += await away.delivering.send_some(ChannelKind.MAIL)
        post.clock.move(1800)
    found = await post.get(message)
    assert found.state == DeliveryState.FAILED
    assert 40 < tries < 90
    assert found.ended_at is not None
    assert timedelta(hours=46) < found.ended_at - found.created_at <= timedelta(days=2)
    with mail_box() as box:
        back = Post(post.database, post.clock, mail=mail_server(box.url))
        await back.channels.send_again(ADA, "shop", message)
        await back.delivering.send_some(ChannelKind.MAIL)
    assert [mail["to"] for mail in box.mails] == ["a@example.org"]
    assert (await post.get(message)).state == DeliveryState.SENT


async def test_several_servers_send_each_message_once(post: Post) -> None:
    with mail_box() as box:
        servers = [Post(post.database, post.clock, mail=mail_server(box.url)) for _ in range(3)]
        await servers[0].add("team", ChannelKind.MAIL, "a@example.org, b@example.org, c@example.org")
        for _ in range(10):
            await post.tell("team")
        while sum(await asyncio.gather(*(each.delivering.send_some(ChannelKind.MAIL) for each in servers))):
            pass
    assert len(box.mails) == 30
    assert len({mail["message-id"] for mail in box.mails}) == 30


async def test_a_message_whose_sender_was_killed_is_sent_again_with_the_same_id(post: Post) -> None:
    with mail_box() as box:
        server = Post(post.database, post.clock, mail=mail_server(box.url))
        await server.add("team", ChannelKind.MAIL, "a@example.org")
        await post.tell("team")
        killed = await post.database.write(deliveries.claim, ChannelKind.MAIL, 10, 600.0, post.clock.now())
        assert len(killed) == 1
        assert await server.delivering.send_some(ChannelKind.MAIL) == 0
        post.clock.move(601)
        assert await server.delivering.send_some(ChannelKind.MAIL) == 1
    assert server.delivering._mail(killed[0])["message-id"] == box.mails[0]["message-id"]


async def test_who_has_gone_is_not_waited_for_by_anything_else() -> None:
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def for_ever() -> None:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()

    stuck = [asyncio.create_task(beside(for_ever, "stuck")) for _ in range(20)]
    await asyncio.sleep(0)
    assert await asyncio.to_thread(lambda: 41 + 1) == 42  # the loop's own pool is as free as before
    for each in stuck:
        each.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)
    release.set()


def test_the_folder_of_languages_is_installed() -> None:
    from mainstay.notify import words

    assert (Path(words.FOLDER) / "zh-CN.toml").exists()
