"""Where reports go, and what became of each message."""

from enum import StrEnum
from typing import Annotated, TypeVar

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from mainstay.engine.channels import NewChannel
from mainstay.model.errors import BadInput
from mainstay.model.report import Channel, ChannelKind, DeliveryState, ReportKind
from mainstay.notify.headline import heading
from mainstay.notify.words import words_in
from mainstay.store import deliveries, repositories
from mainstay.store.database import Tx
from mainstay.store.deliveries import Delivery
from mainstay.web import listing
from mainstay.web.api import describe, report_shapes
from mainstay.web.api.asking import Admin, At, Cursor, Developer, Limit, Maintainer, answer, body_of, cursor_id, page
from mainstay.web.api.shaping import moment, sure

router = APIRouter(tags=["reports"])
E = TypeVar("E", bound=StrEnum)
MessageId = Annotated[int, Path(ge=0, lt=1 << 62)]


def channel_shape(channel: Channel, secret: str | None = None) -> report_shapes.AddedChannel:
    """A channel as the API shows it."""
    return report_shapes.AddedChannel(
        channel.id,
        channel.name,
        channel.kind.value,
        channel.shown,
        list(channel.branches),
        [kind.value for kind in channel.kinds],
        channel.language,
        moment(channel.created_at),
        channel.created_by,
        secret,
    )


def _message(each: Delivery) -> report_shapes.MessageShape:
    return report_shapes.MessageShape(
        each.id,
        each.report.id,
        each.report.kind.value,
        heading(each.report, words_in("en")),
        each.kind.value,
        each.recipient,
        each.channel_id,
        each.state.value,
        each.tries,
        sure(each.created_at),
        moment(each.due_at),
        moment(each.ended_at),
        each.error,
        each.status,
        each.report.facts.build_id,
    )


@router.get(
    "/repositories/{name}/channels", responses=describe.gives_page(report_shapes.ChannelShape, "Channels, by name.")
)
async def list_channels(site: At, _: Developer, name: str) -> Response:
    """Where reports of a repository go."""
    return page([channel_shape(each) for each in await site.engine.channels.of(name)], None)


@router.post(
    "/repositories/{name}/channels",
    status_code=201,
    responses=describe.gives(report_shapes.AddedChannel, "It gets reports from now on.", 201),
    openapi_extra=describe.takes(report_shapes.NewChannelShape),
)
async def add_channel(request: Request, site: At, asker: Maintainer, name: str) -> Response:
    """Have reports of a repository sent somewhere."""
    new = await body_of(request, report_shapes.NewChannelShape)
    kinds = tuple(word_of(ReportKind, kind) for kind in new.kinds)
    asked = NewChannel(new.name, word_of(ChannelKind, new.kind), new.address, new.branches, kinds, new.language)
    channel, secret = await site.engine.channels.add(asker.actor, name, asked)
    return answer(channel_shape(channel, secret), 201)


@router.delete("/repositories/{name}/channels/{channel}", status_code=204, response_class=Response)
async def remove_channel(site: At, asker: Maintainer, name: str, channel: str) -> Response:
    """Remove a channel; what waits for it is not sent."""
    await site.engine.channels.remove(asker.actor, name, channel)
    return Response(status_code=204)


@router.post(
    "/repositories/{name}/channels/{channel}/test",
    status_code=202,
    responses=describe.gives(report_shapes.Asked, "A message is on its way.", 202),
)
async def test_channel(site: At, asker: Maintainer, name: str, channel: str) -> Response:
    """Send a message that says that the channel is reached."""
    return answer(report_shapes.Asked(await site.engine.channels.try_out(asker.actor, name, channel)), 202)


def _messages(tx: Tx, name: str, state: DeliveryState | None, before: int | None, limit: int) -> list[Delivery]:
    repository = repositories.by_name(tx, name)
    return deliveries.newest(tx, repository.id, [state] if state else [], before, limit)


@router.get("/repositories/{name}/messages", responses=describe.gives_page(report_shapes.MessageShape, "Newest first."))
async def list_messages(
    site: At,
    _: Developer,
    name: str,
    state: Annotated[str | None, Query(max_length=20)] = None,
    limit: Limit = listing.PAGE,
    cursor: Cursor = None,
) -> Response:
    """What was sent or is to be sent about a repository, newest first."""
    wanted = None if state is None else word_of(DeliveryState, state)
    found = await site.engine.db.read(_messages, name, wanted, cursor_id(cursor), limit)
    return page([_message(each) for each in found], found[-1].id if len(found) == limit else None)


@router.post("/repositories/{name}/messages/{message}/send", status_code=202, response_class=Response)
async def send_again(site: At, asker: Maintainer, name: str, message: MessageId) -> Response:
    """Send a message now, again if it was sent before."""
    await site.engine.channels.send_again(asker.actor, name, message)
    return Response(status_code=202)


@router.post("/repositories/{name}/messages/{message}/drop", status_code=204, response_class=Response)
async def drop(site: At, asker: Maintainer, name: str, message: MessageId) -> Response:
    """Take a message away that waits."""
    await site.engine.channels.drop(asker.actor, name, message)
    return Response(status_code=204)


@router.get("/outbox", responses=describe.gives_page(report_shapes.Outbox, "By kind of channel."))
async def outbox(site: At, _: Admin) -> Response:
    """What waits to be sent, of all repositories, and why."""
    found = await site.engine.db.read(deliveries.backlog)
    return page(
        [
            report_shapes.Outbox(kind.value, each.waiting, each.failing, moment(each.oldest_at), each.error)
            for kind, each in found.items()
        ],
        None,
    )


@router.post(
    "/outbox/mail-test",
    responses=describe.gives(report_shapes.MailTested, "How it went."),
    openapi_extra=describe.takes(report_shapes.MailTest),
)
async def test_mail(request: Request, site: At, asker: Admin) -> Response:
    """Send a mail to an address now, and say what the mail server answered."""
    ask = await body_of(request, report_shapes.MailTest)
    tried = await site.engine.channels.try_mail(asker.actor, ask.to)
    return answer(report_shapes.MailTested(tried.sent, tried.error))


def word_of(words: type[E], word: str) -> E:
    """The value that a word names. Raises BadInput with those there are."""
    try:
        return words(word)
    except ValueError:
        raise BadInput(f"{word[:40]!r} is not known here; there are {', '.join(words)}") from None
