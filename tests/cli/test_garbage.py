"""What has come to stay is set aside from collections; what nobody holds goes all the same."""

import gc
import math
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from mainstay.cli.garbage import SettingAside, spare_what_stays


class Knot:
    """Holds itself: only a collection frees it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    callbacks, threshold = list(gc.callbacks), gc.get_threshold()
    gc.collect()
    gc.unfreeze()
    yield
    gc.callbacks[:] = callbacks
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_what_a_costly_collection_found_alive_is_set_aside_and_what_it_found_dead_is_freed() -> None:
    gc.callbacks.append(SettingAside(most_s=0.0))
    kept, gone = Knot(), weakref.ref(Knot())
    gc.collect()
    assert gone() is None
    assert gc.get_freeze_count() > 0
    assert not any(each is kept for each in gc.get_objects())

    later = weakref.ref(Knot())
    gc.collect()
    assert later() is None


def test_cheap_collections_and_those_of_the_young_set_nothing_aside() -> None:
    gc.callbacks.append(SettingAside(most_s=math.inf))
    gc.collect()
    gc.callbacks[-1] = SettingAside(most_s=0.0)
    gc.collect(1)
    assert gc.get_freeze_count() == 0


def test_a_server_begins_without_what_few_servers_need() -> None:
    """Each of these takes megabytes of a server that does nothing."""
    program = """
import sys
import mainstay.cli.hosting, mainstay.cli.staying
unwanted = ("alembic", "apprise", "argon2", "asyncpg", "cryptography", "fastapi", "joserfc", "obstore", "urllib3")
found = [name for name in (*unwanted, "prometheus_client") if name in sys.modules]
assert not found, found
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_server_that_has_started_sets_aside_what_is_there_once() -> None:
    spare_what_stays()
    spare_what_stays()
    assert gc.get_freeze_count() > 10_000
    assert sum(isinstance(each, SettingAside) for each in gc.callbacks) == 1
