"""How long a runner may be silent, and what follows from it: how often it calls and how often that is written."""

from dataclasses import dataclass

LEASE_S = 45.0


@dataclass(frozen=True, slots=True)
class Lease:
    """An attempt is a runner's for this long without a word from it."""

    seconds: float = LEASE_S

    @property
    def poll_s(self) -> float:
        """How long a poll is kept open; leases are renewed at its begin and its end."""
        return min(15.0, self.seconds / 3)

    @property
    def renew_s(self) -> float:
        """A lease is renewed when it is this old: a runner of many short jobs polls often."""
        return min(5.0, self.seconds / 9)

    @property
    def contact_s(self) -> float:
        """An idle runner's last contact is written at most this often."""
        return min(10.0, self.seconds / 5)
