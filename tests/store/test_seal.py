"""Sealed secrets open with the right key and context, and with nothing else."""

import stat
import threading
from pathlib import Path

import pytest

from mainstay.model.errors import MainstayError
from mainstay.store.seal import CannotOpen, Seal

ONE, TWO = b"1" * 32, b"2" * 32


def test_what_was_sealed_opens_again() -> None:
    seal = Seal({1: ONE})
    for secret in (b"", b"a deploy key", bytes(range(256)) * 100):
        sealed = seal.seal(secret, "deploy key of 7")
        assert seal.open(sealed, "deploy key of 7") == secret
        assert secret == b"" or secret not in sealed


def test_sealing_twice_gives_different_values() -> None:
    seal = Seal({1: ONE})
    assert seal.seal(b"x", "y") != seal.seal(b"x", "y")


def test_it_does_not_open_for_something_else_or_with_another_key() -> None:
    sealed = Seal({1: ONE}).seal(b"x", "deploy key of 7")
    with pytest.raises(CannotOpen, match="something else"):
        Seal({1: ONE}).open(sealed, "deploy key of 8")
    with pytest.raises(CannotOpen, match="another key"):
        Seal({1: TWO}).open(sealed, "deploy key of 7")
    with pytest.raises(CannotOpen, match="key 1 is not in"):
        Seal({2: TWO}).open(sealed, "deploy key of 7")


def test_any_changed_bit_is_noticed() -> None:
    seal = Seal({1: ONE})
    sealed = seal.seal(b"secret", "x")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(CannotOpen):
            seal.open(bytes(changed), "x")
    for length in range(len(sealed)):
        with pytest.raises(CannotOpen):
            seal.open(sealed[:length], "x")


def test_a_new_key_seals_and_the_old_one_still_opens(tmp_path: Path) -> None:
    path = tmp_path / "seal.key"
    old = Seal.from_file(path).seal(b"x", "y")
    with path.open("a") as file:
        file.write("2 " + "Mg" * 21 + "M=\n")
    both = Seal.from_file(path)
    new = both.seal(b"x", "y")
    assert (old[1], new[1]) == (1, 2)
    assert both.open(old, "y") == both.open(new, "y") == b"x"


def test_the_key_file_is_made_for_its_owner_only_and_once(tmp_path: Path) -> None:
    path = tmp_path / "data" / "seal.key"
    made: list[Seal] = []
    threads = [threading.Thread(target=lambda: made.append(Seal.from_file(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sealed = made[0].seal(b"x", "y")
    assert [each.open(sealed, "y") for each in made] == [b"x"] * 8
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["seal.key"]


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "seal.key"
    Seal.from_file(path)
    path.chmod(0o644)
    with pytest.raises(MainstayError, match="chmod 600"):
        Seal.from_file(path)


@pytest.mark.parametrize(
    "text", ["", "# only words", "1 short", "1 c2hvcnQ=", "x " + "MQ" * 21 + "M=", "300 " + "MT" * 21 + "M="]
)
def test_a_key_file_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(MainstayError, match="Cannot use"):
        Seal.from_text(text)
