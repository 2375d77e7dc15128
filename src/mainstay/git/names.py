"""What may be a commit id or a ref's name. Everything from outside passes here before git sees it."""

import re

from mainstay.model.errors import BadInput

BRANCHES = "refs/heads/"
TAGS = "refs/tags/"

_SHA = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_PREFIX = re.compile(r"[0-9a-f]{7,64}\Z")
_BAD_IN_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|\Z)")


def is_sha(text: str) -> bool:
    """Whether it is a whole object id: 40 or 64 lower-case hex digits."""
    return _SHA.match(text) is not None


def is_prefix(text: str) -> bool:
    """Whether it may be a shortened commit id: 7 lower-case hex digits or more."""
    return _PREFIX.match(text) is not None


def is_ref(name: str) -> bool:
    """Whether it is a whole ref name as git allows it (git-check-ref-format): `refs/heads/-rf` is one, `-rf` is not."""
    return (
        name.startswith("refs/")
        and name.count("/") >= 2
        and not name.endswith(("/", "."))
        and _BAD_IN_REF.search(name) is None
    )


def check_sha(text: str) -> str:
    """`text`, when it is a whole object id; else BadInput."""
    if not is_sha(text):
        raise BadInput(f"{text[:80]!r} is not a commit id: it must be 40 (or 64) lower-case hex digits.")
    return text


def check_ref(name: str) -> str:
    """`name`, when it is a whole ref name; else BadInput."""
    if not is_ref(name):
        raise BadInput(f"{name[:200]!r} is not a ref's whole name, such as refs/heads/main.")
    return name
