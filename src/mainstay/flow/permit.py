"""Who may do what: a role that is needed against the roles that somebody has. The only place that decides it."""

from collections.abc import Collection

from mainstay.model.events import EventKind
from mainstay.model.person import Grants, Role, Scope

MOST = {Scope.READ: Role.READER, Scope.WRITE: Role.MAINTAINER, Scope.ADMIN: Role.ADMIN}
"""The highest role that a token of each scope carries."""

EVERYTHING = Grants(Role.ADMIN)
"""Of the server's own tokens, whose files only its operator can read."""


def role_in(grants: Grants, repository_id: int | None) -> Role | None:
    """The role in a repository (None: for the server as a whole); None: this is not to be seen."""
    if repository_id is None:
        return grants.everywhere
    found = [role for role in (grants.everywhere, grants.of.get(repository_id)) if role is not None]
    if repository_id in grants.public:
        found.append(Role.READER)
    return max(found, default=None)


def may(grants: Grants, needed: Role, repository_id: int | None) -> bool:
    """Whether what needs that role may be done there."""
    role = role_in(grants, repository_id)
    return role is not None and role >= needed


def belongs(grants: Grants) -> bool:
    """Whether somebody is one of us: has a role anywhere, and so sees what no repository owns, runners for one."""
    return grants.everywhere is not None or bool(grants.of)


def highest(grants: Grants) -> Role | None:
    """The highest role anywhere: below it nobody need look where the role is held."""
    found = [role for role in (grants.everywhere, *grants.of.values()) if role is not None]
    return max(found, default=Role.READER if grants.public else None)


def sight(grants: Grants) -> frozenset[int] | None:
    """The repositories that somebody may see; None: all of them."""
    return None if grants.everywhere is not None else frozenset(grants.of) | grants.public


def sees(seen: frozenset[int] | None, repository_id: int | None) -> bool:
    """Whether something of that repository is within `sight`; what belongs to no repository is."""
    return seen is None or repository_id is None or repository_id in seen


def hears(grants: Grants, kind: EventKind, repository_id: int | None) -> bool:
    """Whether somebody is told of an event: of what they see, and of the server's own settings as administrator."""
    if kind is EventKind.SERVER_CHANGED:
        return may(grants, Role.ADMIN, None)
    return sees(sight(grants), repository_id)


def limited(grants: Grants, scope: Scope, repositories: Collection[int] | None) -> Grants:
    """What is left of somebody's roles in a token: at most its scope, and only in its repositories (None: in all)."""
    most = MOST[scope]
    everywhere = None if grants.everywhere is None else min(grants.everywhere, most)
    of = {key: min(role, most) for key, role in grants.of.items()}
    if repositories is None:
        return Grants(everywhere, of, grants.public)
    wanted = frozenset(repositories)
    there = {key: role for key in wanted if (role := role_in(Grants(everywhere, of), key)) is not None}
    return Grants(None, there, grants.public & wanted)
