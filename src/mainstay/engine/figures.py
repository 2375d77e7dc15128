"""Counts the results of ended attempts into the figures of their tests, a part at a time, on the side.

A report of 100,000 tests is taken in without it; the lists follow some seconds later. Killed anywhere, it goes on where
it was: the place it has reached moves in the transaction that counts.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from mainstay.engine.wake import Wake
from mainstay.flow import flaky
from mainstay.flow.flaky import FAILURES, WINDOW_DAYS, Tally, Try
from mainstay.store import figures
from mainstay.store.database import Database, Tx
from mainstay.store.figures import Counted, DayRow, Due, FigureRow
from mainstay.store.types import milliseconds

PART = 200
"""Results that are counted in one transaction."""
DAY_MS = 86_400_000


class Figures:
    """Counts whatever is there to count."""

    def __init__(self, database: Database, wake: Wake) -> None:
        self._database = database
        self._wake = wake

    async def loop(self) -> None:
        """Count; sleep while nothing has ended."""
        with self._wake.watch("tests") as told:
            while True:
                while await self._database.write(count_some):
                    pass  # others write between the parts
                await told.wait()


def count_some(tx: Tx, limit: int = PART) -> bool:
    """Count the next part of the next attempt; whether there was one."""
    due = figures.due(tx)
    if due is None:
        return False
    rows = figures.results(tx, due.attempt_id, due.position, limit + 1)
    if due.event == "bisect" or not rows:  # a search for a culprit runs few tests on old commits: it is no history
        figures.move_on(tx, due.attempt_id, None)
        return True
    whole = _whole(rows, limit)
    tries: dict[int, list[Try]] = {}
    for row in whole:
        tries.setdefault(row.test_id, []).append(Try(row.outcome, row.duration_s))
    _count(tx, due, tries)
    done = len(whole) == len(rows)
    figures.move_on(tx, due.attempt_id, None if done else whole[-1].position + 1)
    return True


def _whole(rows: Sequence[Counted], limit: int) -> Sequence[Counted]:
    """At most `limit` rows, so that the tries of one test stay together unless they alone are more."""
    if len(rows) <= limit:
        return rows
    end = limit
    while end > 1 and rows[end - 1].test_id == rows[limit].test_id:
        end -= 1
    return rows[: end if end > 1 else limit]


def _count(tx: Tx, due: Due, tries: Mapping[int, Sequence[Try]]) -> None:
    ids = sorted(tries)
    before: dict[int, set[str]] = defaultdict(set)
    for test_id, _, outcome in figures.outcomes(tx, ids, figures.siblings(tx, due)):
        before[test_id].add(outcome)
    tallies = {test_id: flaky.tally(tries[test_id], before[test_id]) for test_id in ids}
    day = milliseconds(due.finished_at) // DAY_MS
    figures.add_days(tx, [_day_row(test_id, day, each) for test_id, each in tallies.items() if each.runs])
    sums = figures.sums(tx, ids, day - WINDOW_DAYS)
    known = figures.known(tx, ids)
    states = _states(tx, due, tries)
    figures.put(
        tx,
        [
            _figure(due, test_id, states[test_id], tallies[test_id], sums.get(test_id), known.get(test_id))
            for test_id in ids
        ],
    )


def _day_row(test_id: int, day: int, tally: Tally) -> DayRow:
    return DayRow(test_id, day, tally.runs, tally.failures, tally.trees, tally.flaky, tally.seconds)


def _states(tx: Tx, due: Due, tries: Mapping[int, Sequence[Try]]) -> dict[int, str]:
    """How each test ended in this build so far: of each job its newest attempt counts, and the worst of the jobs."""
    attempts = figures.beside(tx, due.build_id)
    if len(attempts) <= 1:
        return {test_id: own[-1].outcome for test_id, own in tries.items()}
    order = {attempt_id: (job_id, number) for attempt_id, job_id, number in attempts}
    newest: dict[int, dict[int, tuple[int, str]]] = defaultdict(dict)
    for test_id, attempt_id, outcome in figures.outcomes(tx, sorted(tries), sorted(order)):
        job_id, number = order[attempt_id]
        if number >= newest[test_id].get(job_id, (0, ""))[0]:
            newest[test_id][job_id] = (number, outcome)
    return {test_id: flaky.worst(outcome for _, outcome in newest[test_id].values()) for test_id in tries}


def _figure(
    due: Due, test_id: int, state: str, tally: Tally, sums: DayRow | None, known: FigureRow | None
) -> FigureRow:
    newer = known is None or due.build_id >= known.build_id
    was_failing = known is not None and known.state in FAILURES
    broke_at = known.broke_at if known else None
    if newer and state in FAILURES and not was_failing:
        broke_at = due.finished_at
    ran_at = known.ran_at if known else due.finished_at
    runs = sums.runs if sums else 0
    return FigureRow(
        test_id=test_id,
        repository_id=due.repository_id,
        state=state if newer or known is None else known.state,
        build_id=due.build_id if newer or known is None else known.build_id,
        runs=runs,
        failures=sums.failures if sums else 0,
        trees=sums.trees if sums else 0,
        flaky=sums.flaky if sums else 0,
        score=flaky.score(sums.flaky, sums.trees) if sums else 0.0,
        duration_s=round(sums.seconds / runs, 6) if sums and runs else 0.0,
        ran_at=max(ran_at, due.finished_at) if tally.runs else ran_at,
        broke_at=broke_at,
    )
