"""Roles: what is needed against what somebody has."""

import pytest

from mainstay.flow.permit import EVERYTHING, belongs, hears, limited, may, role_in, sees, sight
from mainstay.model.errors import BadInput
from mainstay.model.events import EventKind
from mainstay.model.person import Grants, Role, Scope, role_named

R, D, M, A = Role.READER, Role.DEVELOPER, Role.MAINTAINER, Role.ADMIN


def test_a_role_may_what_those_before_it_may_and_no_more() -> None:
    grants = Grants(None, {1: D, 2: R})
    assert [may(grants, role, 1) for role in Role] == [True, True, False, False]
    assert [may(grants, role, 2) for role in Role] == [True, False, False, False]
    assert not may(grants, R, 3)
    assert not may(grants, R, None)


def test_the_higher_of_two_roles_counts() -> None:
    assert role_in(Grants(R, {1: M}), 1) is M
    assert role_in(Grants(M, {1: R}), 1) is M
    assert role_in(Grants(None, {}, frozenset({1})), 1) is R
    assert role_in(Grants(None, {1: D}, frozenset({1})), 1) is D


def test_who_sees_what() -> None:
    assert sight(Grants(R)) is None
    assert sight(Grants(None, {1: A}, frozenset({5}))) == {1, 5}
    assert sees(frozenset({1}), None)
    assert not sees(frozenset({1}), 2)
    assert sees(None, 2)
    assert not belongs(Grants(None, {}, frozenset({5})))
    assert belongs(Grants(None, {1: R}))


def test_a_token_carries_no_more_than_its_scope_and_its_repositories() -> None:
    person = Grants(R, {1: A, 2: D}, frozenset({9}))
    assert limited(person, Scope.ADMIN, None) == person
    assert limited(person, Scope.READ, None) == Grants(R, {1: R, 2: R}, frozenset({9}))
    assert limited(person, Scope.WRITE, None) == Grants(R, {1: M, 2: D}, frozenset({9}))
    assert limited(person, Scope.WRITE, [2, 3]) == Grants(None, {2: D, 3: R}, frozenset())
    assert limited(EVERYTHING, Scope.ADMIN, [7]) == Grants(None, {7: A}, frozenset())
    assert limited(Grants(), Scope.ADMIN, [7]) == Grants()


def test_a_role_is_read_from_its_word_only() -> None:
    assert [role_named(role.word) for role in Role] == list(Role)
    for wrong in ("Admin", "owner", "", "4"):
        with pytest.raises(BadInput):
            role_named(wrong)


def test_the_servers_own_settings_are_told_to_administrators_of_it_only() -> None:
    seen = {1: Role.ADMIN}
    for grants, told in ((Grants(Role.ADMIN), True), (Grants(Role.READER), False), (Grants(None, seen), False)):
        assert hears(grants, EventKind.SERVER_CHANGED, None) is told
        assert hears(grants, EventKind.RUNNER_ONLINE, None)
        assert hears(grants, EventKind.BUILD_ENDED, 1)
    assert not hears(Grants(None, seen), EventKind.BUILD_ENDED, 2)
