"""What is asked of a repository's tests, as it stands in an address, and where a page of them goes on."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from mainstay.model.errors import BadInput
from mainstay.store.types import EPOCH, milliseconds
from mainstay.store.views.tests import SORTS, Asked
from mainstay.web.listing import ref_of

STATES = ("failed", "passed", "skipped", "flaky")
MAX_SEARCH = 200
MAX_BRANCH = 4096


def asked_of(sort: str, state: str | None, search: str | None, cursor: str | None, branch: str | None = None) -> Asked:
    """What an address asks for. Raises BadInput for words that are not known."""
    if sort not in SORTS:
        raise BadInput(f"there is no list of tests {sort[:40]!r}; there are {', '.join(SORTS)}")
    if state is not None and state not in STATES:
        raise BadInput(f"tests are not {state[:40]!r}; they are {', '.join(STATES)}")
    if search is not None and len(search) > MAX_SEARCH:
        raise BadInput(f"a search has at most {MAX_SEARCH} characters")
    if branch is not None and len(branch) > MAX_BRANCH:
        raise BadInput(f"a branch's name has at most {MAX_BRANCH} characters")
    place = None if cursor is None else _place(sort, cursor)
    return Asked(sort, state, search or None, place, ref=ref_of(branch) if branch else None)


def cursor_of(place: tuple[Any, int] | None) -> str | None:
    """Where a page goes on, as a word for an address."""
    if place is None:
        return None
    value, last = place
    return f"{milliseconds(value) if isinstance(value, datetime) else value!r}_{last}"


def _place(sort: str, cursor: str) -> tuple[Any, int]:
    """The place that a cursor tells. Raises BadInput."""
    kinds: dict[str, Callable[[str], Any]] = {
        "newest": _moment,
        "unrun": _moment,
        "flaky": float,
        "slow": float,
        "failing": _whole,
        "all": _whole,
    }
    value, _, last = cursor.rpartition("_")
    try:
        return kinds[sort](value), _whole(last)
    except (ValueError, OverflowError):
        raise BadInput("the place to go on from is not one that this list has given out") from None


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError(text)
    return int(text)


def _moment(text: str) -> datetime:
    return EPOCH + timedelta(milliseconds=_whole(text))
