"""A watched repository, its refs, and the pushes noticed on it."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

_CREDENTIALS = re.compile(r"^(https?://)[^/\s]*@", re.IGNORECASE)


class CommitPolicy(StrEnum):
    """Which commits of a push get builds."""

    EVERY = "every"
    FIRST_PARENT = "first-parent"
    LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository that is watched; the server keeps a bare mirror of it."""

    id: int
    name: str
    """1 to 100 characters: letters, digits, `.`, `_`, `-`; neither `.` nor `-` first."""
    url: str | None
    """Where it lives; None: it lives here and people push to `/git/NAME.git`."""
    branches: tuple[str, ...] = ("*",)
    """Glob patterns of the branches that are watched."""
    commits: CommitPolicy = CommitPolicy.EVERY
    supersede: bool = False
    """Whether a newer commit of a branch cancels the waiting builds of older ones."""
    poll_s: float = 60.0
    public: bool = False
    """Whether everybody may read it, without signing in."""
    default_ref: str | None = None
    """The remote's default branch, whole, once it is known: schedules run on it."""
    key_public: str | None = None
    """The public half of its deploy key (OpenSSH, one line), once one was made."""
    created_at: datetime | None = None
    seen_at: datetime | None = None
    """When its refs were last read without an error; None: never yet."""
    error: str | None = None
    """What the last look at the remote ended with, in words; None: it went well."""
    failures: int = 0
    """Errors in a row; the next try backs off with it."""
    next_poll_at: datetime | None = None
    paused_at: datetime | None = None
    """Since when it is paused: neither pushes nor schedules start anything. None: it is not."""
    paused_by: str | None = None
    bisect: bool = True
    """Whether commits that were skipped are tested by halving when its branch goes red."""
    since: str | None = None
    """The commit, whole or its first digits, after which those are tested that were there when it was added."""
    judged: bool = False
    """Whether its address is judged before each look, as somebody gave it who does not administer everything."""

    @property
    def address(self) -> str | None:
        """`url` as it may be shown: without a user name or password in it."""
        return None if self.url is None else without_credentials(self.url)


def without_credentials(url: str) -> str:
    """An address as it may be shown to everybody: `https://user:token@host/x` becomes `https://***@host/x`."""
    return _CREDENTIALS.sub(r"\1***@", url)


@dataclass(frozen=True, slots=True)
class Commit:
    """What is shown of a commit. `sha`, `tree` and `parents` are 40 (or 64) hex digits."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: str
    email: str
    authored_at: datetime
    committed_at: datetime
    subject: str
    """First line of the message, cut to 500 characters."""
    message: str
    """The whole message, cut to 64 KiB; bytes that are not UTF-8 are replaced."""


@dataclass(frozen=True, slots=True)
class RefMove:
    """A ref that was seen to move. `old` is None when the ref is new, `new` is None when it is gone."""

    ref: str
    """Whole, as in git: `refs/heads/main`."""
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Push:
    """A ref that moved, as it was stored."""

    id: int
    repository_id: int
    move: RefMove
    noticed_by: str
    """`watch`, `poll`, `webhook`, `git` (our own server) or `first sight`."""
    at: datetime
    commits: int
    """How many commits it brought."""
    note: str | None = None
    """What is worth knowing of it: "force-push", "deleted", "no workflow is triggered by it" ..."""


def branch_of(ref: str) -> str | None:
    """The branch's short name, or None when `ref` is not a branch."""
    prefix = "refs/heads/"
    return ref[len(prefix) :] if ref.startswith(prefix) else None


def tag_of(ref: str) -> str | None:
    """The tag's short name, or None when `ref` is not a tag."""
    prefix = "refs/tags/"
    return ref[len(prefix) :] if ref.startswith(prefix) else None
