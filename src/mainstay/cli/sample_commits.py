"""The sample project, commit by commit: a small purse of coins with its tests. Its outcomes are known beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SampleCommit:
    """One commit: what it says, which files are different in it, and whether its tests pass."""

    subject: str
    files: Mapping[str, str]
    passes: bool = True


README = """\
# purse

A purse of coins, in 40 lines. It is here so that Mainstay has something to test: change it, commit, and look.

    python -m unittest discover tests
"""

PURSE = '''\
"""A purse that knows its coins."""

COINS = (1, 2, 5, 10, 20, 50, 100, 200)
"""What coins there are, in pence."""


class Purse:
    """Coins, by how many there are of each."""

    def __init__(self) -> None:
        self.coins = dict.fromkeys(COINS, 0)

    def put(self, coin: int, count: int = 1) -> None:
        """Put coins in."""
        if coin not in self.coins:
            raise ValueError(f"there is no coin of {coin} pence")
        self.coins[coin] += count

    def total(self) -> int:
        """What all coins are worth, in pence."""
        return sum(coin * count for coin, count in self.coins.items())
'''

TAKE = '''
    def take(self, coin: int) -> None:
        """Take one coin out."""
        if not self.coins.get(coin):
            raise ValueError(f"no coin of {coin} pence is in the purse")
        self.coins[coin] -= 1
'''

PRINT = '''

def in_words(pence: int) -> str:
    """An amount as people write it."""
    return f"£{pence // 100}.{pence % 100:02d}"
'''

CHANGE_WRONG = '''

def change(pence: int) -> list[int]:
    """The fewest coins that make an amount."""
    given = []
    for coin in COINS:
        while coin <= pence:
            given.append(coin)
            pence -= coin
    return given
'''

CHANGE_RIGHT = CHANGE_WRONG.replace("for coin in COINS:", "for coin in reversed(COINS):")

EMPTY = '''
    def __bool__(self) -> bool:
        """Whether anything is in it."""
        return any(self.coins.values())
'''

TESTS = """\
import unittest

from purse import Purse


class PurseTest(unittest.TestCase):
    def test_a_new_purse_is_empty(self) -> None:
        self.assertEqual(Purse().total(), 0)

    def test_coins_add_up(self) -> None:
        purse = Purse()
        purse.put(50, 2)
        purse.put(5)
        self.assertEqual(purse.total(), 105)

    def test_a_coin_that_does_not_exist_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            Purse().put(3)
"""

TEST_TAKE = """
    def test_what_is_not_there_cannot_be_taken(self) -> None:
        purse = Purse()
        purse.put(20)
        purse.take(20)
        with self.assertRaises(ValueError):
            purse.take(20)
"""

TEST_EMPTY = """
    def test_an_empty_purse_is_false(self) -> None:
        purse = Purse()
        self.assertFalse(purse)
        purse.put(1)
        self.assertTrue(purse)
"""

TEST_PRINT = """\
import unittest

from purse import in_words


class InWordsTest(unittest.TestCase):
    def test_pence_have_two_digits(self) -> None:
        self.assertEqual(in_words(1205), "£12.05")
"""

TEST_CHANGE = """\
import unittest

from purse import change


class ChangeTest(unittest.TestCase):
    def test_large_coins_go_first(self) -> None:
        self.assertEqual(change(186), [100, 50, 20, 10, 5, 1])

    def test_nothing_needs_no_coins(self) -> None:
        self.assertEqual(change(0), [])
"""

COMMITS = (
    SampleCommit(
        "A purse holds coins and adds them up", {"README.md": README, "purse.py": PURSE, "tests/test_purse.py": TESTS}
    ),
    SampleCommit("Coins can be taken out", {"purse.py": PURSE + TAKE, "tests/test_purse.py": TESTS + TEST_TAKE}),
    SampleCommit(
        "Amounts are written in pounds", {"purse.py": PURSE + TAKE + PRINT, "tests/test_in_words.py": TEST_PRINT}
    ),
    SampleCommit(
        "Change is given in the fewest coins",
        {"purse.py": PURSE + TAKE + PRINT + CHANGE_WRONG, "tests/test_change.py": TEST_CHANGE},
        passes=False,
    ),
    SampleCommit("Change begins with the largest coin", {"purse.py": PURSE + TAKE + PRINT + CHANGE_RIGHT}),
    SampleCommit(
        "An empty purse is false",
        {
            "purse.py": PURSE + TAKE + EMPTY + PRINT + CHANGE_RIGHT,
            "tests/test_purse.py": TESTS + TEST_TAKE + TEST_EMPTY,
        },
    ),
)
"""Oldest first. The fourth is red: its coins begin with the smallest; the fifth mends it."""
