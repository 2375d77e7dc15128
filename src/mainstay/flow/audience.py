"""Who is told of a report: channels of its repository, people who asked for it, authors of the commits concerned."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mainstay.model.report import Channel, ChannelKind, CommitFact, Facts, NewDelivery, ReportKind, Subscription
from mainstay.model.repository import branch_of

MOST = 50
"""Authors of one report; a push of half the project's history is nobody's breakage in particular."""
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,188}[A-Za-z0-9])?")
"""What may be a mail address: plain ones only, so that none can carry a header, a list or a comment."""

_PROGRAMS_ONLY = frozenset({ReportKind.FINISHED})


@dataclass(frozen=True, slots=True)
class Wish:
    """What one person asked to hear, and where it is written to."""

    address: str
    asked: Subscription


def address_of(text: str) -> str | None:
    """The address as it is compared and written to, or None when it is none that may be written to."""
    address = text.strip()
    return address.lower() if len(address) <= 254 and ADDRESS.fullmatch(address) else None


def fits(branches: Sequence[str], ref: str) -> bool:
    """Whether a ref is one of the branches that patterns name."""
    name = branch_of(ref) or ref
    return any(fnmatchcase(name, pattern) for pattern in branches)


def of_channels(channels: Iterable[Channel], kind: ReportKind, ref: str) -> list[NewDelivery]:
    """The channels that want a report; a mail channel's addresses each get their own."""
    found = []
    for channel in channels:
        for_it = channel.kind == ChannelKind.WEBHOOK or kind not in _PROGRAMS_ONLY
        if for_it and kind in channel.kinds and fits(channel.branches, ref):
            found.extend(to_channel(channel))
    return found


def to_channel(channel: Channel) -> list[NewDelivery]:
    """The messages of one report to a channel."""
    recipients = channel.shown.split(", ") if channel.kind == ChannelKind.MAIL else [channel.name]
    return [NewDelivery(channel.kind, recipient, channel.language, channel.id) for recipient in recipients]


def of_people(wishes: Iterable[Wish], kind: ReportKind, ref: str) -> list[NewDelivery]:
    """The people who asked for it."""
    return [
        NewDelivery(ChannelKind.MAIL, wish.address, wish.asked.language)
        for wish in wishes
        if kind in wish.asked.kinds and fits(wish.asked.branches, ref)
    ]


def of_authors(
    kind: ReportKind, facts: Facts, told: Sequence[str], known: dict[str, str], domains: Sequence[str]
) -> list[NewDelivery]:
    """The authors of what broke a branch; and when it is mended, those who were told of it (`told`).

    `known`: addresses of people who have an account here, with their languages. Others are strangers, and written to
    only at the domains that were named.
    """
    if kind == ReportKind.BROKEN and not facts.again:
        addresses = authors(facts.commits or ((facts.commit,) if facts.commit else ()))
    elif kind == ReportKind.FIXED:
        addresses = list(told)
    else:
        return []
    return [
        NewDelivery(ChannelKind.MAIL, address, known.get(address, "en"))
        for address in addresses[:MOST]
        if address in known or _within(address, domains)
    ]


def authors(commits: Iterable[CommitFact]) -> list[str]:
    """The addresses of commits' authors, each once."""
    return list(dict.fromkeys(address for commit in commits if (address := address_of(commit.email)) is not None))


def without_doubles(wanted: Iterable[NewDelivery], refused: frozenset[str]) -> list[NewDelivery]:
    """Each recipient once, and nobody who said no."""
    found: dict[tuple[ChannelKind, str | int | None], NewDelivery] = {}
    for each in wanted:
        by_mail = each.kind == ChannelKind.MAIL
        if not by_mail or each.recipient not in refused:
            found.setdefault((each.kind, each.recipient if by_mail else each.channel_id), each)
    return list(found.values())


def _within(address: str, domains: Sequence[str]) -> bool:
    domain = address.rpartition("@")[2]
    return any(domain == each.lower() for each in domains)
