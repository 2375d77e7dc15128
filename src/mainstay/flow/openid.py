"""What an identity provider's word is worth here: which claims are believed, and which roles its groups give."""

import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mainstay.model.errors import BadInput, NotAllowed
from mainstay.model.person import Role, role_named

SLACK_S = 60.0
"""Clocks may differ by so much."""
NOT_A_NAME = re.compile(r"[^a-z0-9._@+-]+")


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody whom the provider has signed in."""

    subject: str
    name: str
    """What it would be called here; may be taken."""
    full_name: str
    email: str | None
    """Only one that the provider has verified."""
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Mapped:
    """A group, and the role that it gives in one repository, or in all."""

    group: str
    role: Role
    repository: str | None


def believed(
    claims: Mapping[str, object],
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    now_s: float,
    groups_claim: str,
    domains: Collection[str],
) -> Known:
    """Who signed in, by the claims of an identity token whose signature fits. Raises NotAllowed for any that do not."""
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
    expires, subject, email = claims.get("exp"), claims.get("sub"), claims.get("email")
    party = claims.get("azp")
    if claims.get("iss") != issuer:
        raise NotAllowed("the identity provider's answer was made by another provider")
    if client_id not in audiences or (len(audiences) > 1 and party != client_id) or party not in (None, client_id):
        raise NotAllowed("the identity provider's answer was made for another application")
    if not isinstance(expires, int | float) or expires + SLACK_S < now_s:
        raise NotAllowed("the identity provider's answer is too old; sign in again, and compare the clocks")
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise NotAllowed("the identity provider's answer belongs to another sign-in; sign in again")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise NotAllowed("the identity provider does not say who signed in (no `sub`)")
    verified = email if isinstance(email, str) and claims.get("email_verified") is True and len(email) <= 320 else None
    if domains and (verified is None or verified.rpartition("@")[2].lower() not in domains):
        raise NotAllowed(f"only people with a verified mail address at {', '.join(sorted(domains))} may sign in here")
    groups = claims.get(groups_claim)
    named = claims.get("preferred_username") or (verified or "").partition("@")[0] or "somebody"
    return Known(
        subject,
        NOT_A_NAME.sub("-", str(named).lower()).strip("-._@+")[:50] or "somebody",
        "".join(filter(str.isprintable, str(claims.get("name") or "")))[:200],
        verified,
        frozenset(each for each in groups if isinstance(each, str)) if isinstance(groups, list) else frozenset(),
    )


def mapping_of(text: str) -> tuple[Mapped, ...]:
    """The mapping as it is written: `GROUP=ROLE` and `GROUP=ROLE@REPOSITORY`, blanks between. Raises BadInput."""
    found = []
    for each in text.split():
        group, equals, wanted = each.rpartition("=")
        role, at, repository = wanted.partition("@")
        if not (group and equals and role) or (at and not repository):
            raise BadInput(f"{each[:80]!r} is not GROUP=ROLE or GROUP=ROLE@REPOSITORY")
        found.append(Mapped(group, role_named(role), repository or None))
    return tuple(found)


def roles_by(mapping: Collection[Mapped], groups: Collection[str]) -> tuple[Role | None, dict[str, Role]]:
    """The role in all repositories, and those in single ones by name; the highest counts."""
    given = [each for each in mapping if each.group in groups]
    everywhere = max((each.role for each in given if each.repository is None), default=None)
    single: dict[str, Role] = {}
    for each in given:
        if each.repository is not None:
            single[each.repository] = max(each.role, single.get(each.repository, each.role))
    return everywhere, single
