"""The JSON of channels and messages. Like `shapes`, of which it is a part."""

from typing import Annotated

from msgspec import Meta, Struct

from mainstay.web.api.shapes import Time


class ChannelShape(Struct, frozen=True):
    """Where reports of a repository go."""

    id: int
    name: str
    kind: str
    """`mail`, `chat` or `webhook`."""
    address: str
    """As it may be shown: what is secret in it is left out."""
    branches: list[str]
    kinds: list[str]
    """Which reports it gets."""
    language: str
    created_at: Time | None
    created_by: str


class AddedChannel(ChannelShape, frozen=True):
    """A channel that was just added."""

    secret: str | None = None
    """With what its webhooks are signed. It is shown this once."""


class NewChannelShape(Struct, frozen=True, forbid_unknown_fields=True):
    """A channel to be added."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    kind: str
    address: Annotated[str, Meta(min_length=1, max_length=5000)]
    """Mail addresses with commas between, the apprise address of a chat, or the URL of a webhook."""
    branches: tuple[str, ...] = ("*",)
    kinds: tuple[str, ...] = ()
    """Empty: all that are for people; of a webhook all."""
    language: str = "en"


class MessageShape(Struct, frozen=True):
    """One message to one recipient."""

    id: int
    report: int
    about: str
    """The report's kind: `broken`, `fixed` ..."""
    heading: str
    kind: str
    recipient: str
    channel: int | None
    state: str
    """`waiting`, `sent`, `failed` or `dropped`."""
    tries: int
    created_at: Time
    due_at: Time | None
    ended_at: Time | None
    error: str | None
    status: int | None
    """What the other side answered, where it answers in numbers."""
    build: int | None


class Outbox(Struct, frozen=True):
    """What of one kind of channel waits."""

    kind: str
    waiting: int
    failing: int
    """Of those, how many have been tried in vain."""
    oldest_at: Time | None
    error: str | None


class Asked(Struct, frozen=True):
    """The messages that will be sent."""

    messages: list[int]


class MailTest(Struct, frozen=True, forbid_unknown_fields=True):
    """An address that a mail is to be sent to, now."""

    to: Annotated[str, Meta(min_length=3, max_length=254)]


class MailTested(Struct, frozen=True):
    """How that went."""

    sent: bool
    error: str | None


class SubscriptionShape(Struct, frozen=True):
    """What somebody asked to be told of."""

    id: int
    repository: str | None
    """Null: all that they may see."""
    branches: list[str]
    kinds: list[str]
    language: str
    created_at: Time | None


class NewSubscription(Struct, frozen=True, forbid_unknown_fields=True):
    """What the caller wants to be told of. It takes the place of an earlier one of the same repository."""

    repository: str | None = None
    branches: tuple[str, ...] = ("*",)
    kinds: tuple[str, ...] = ()
    """Empty: all that are for people."""
    language: str = "en"


class Subscribed(Struct, frozen=True):
    """The number of a subscription."""

    id: int
