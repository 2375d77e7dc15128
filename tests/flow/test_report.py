"""A branch's reports: one per change, none for what came late, whatever order its builds end in."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mainstay.flow import outbox
from mainstay.flow.report import REMIND, Seen, Step, judge, light
from mainstay.model.report import Light, ReportKind, Standing
from mainstay.model.states import BuildState

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
GREEN, RED, OPEN, NONE = Light.GREEN, Light.RED, Light.OPEN, Light.NONE


class Branch:
    """A branch of commits "0", "1", ..., judged as the engine does: what is newer than what decided last."""

    def __init__(self) -> None:
        self.line: list[str] = []
        self.lights: dict[str, Light] = {}
        self.standing: Standing | None = None
        self.told: list[tuple[ReportKind, str]] = []
        self.now = NOON

    def push(self, *commits: str) -> None:
        self.line[:0] = reversed(commits)
        self.lights |= dict.fromkeys(commits, OPEN)

    def end(self, commit: str, as_: Light) -> None:
        self.lights[commit] = as_
        self.look()

    def look(self) -> Step | None:
        before = self.standing
        gone = before is not None and before.commit not in self.line
        newer = self.line if before is None or gone else self.line[: self.line.index(before.commit)]
        own = NONE if before is None else self.lights[before.commit]
        step = judge([Seen(sha, self.lights[sha]) for sha in newer], before, own, gone, self.now)
        if step is not None:
            self.standing = step.standing
            if step.kind is not None:
                self.told.append((step.kind, step.standing.commit))
        return step


def test_broken_and_fixed_are_told_once_each() -> None:
    here = Branch()
    here.push("a")
    here.end("a", GREEN)
    assert here.told == []
    here.push("b", "c", "d")
    here.end("b", RED)
    here.end("c", RED)
    here.end("d", GREEN)
    here.look()
    assert here.told == [(ReportKind.BROKEN, "b"), (ReportKind.FIXED, "d")]


def test_the_first_verdict_of_a_branch_is_told_when_it_is_red() -> None:
    here = Branch()
    here.push("a")
    here.end("a", RED)
    assert here.told == [(ReportKind.BROKEN, "a")]


def test_an_older_build_that_ends_late_changes_nothing() -> None:
    here = Branch()
    here.push("a", "b", "c")
    here.end("c", GREEN)
    here.end("b", RED)
    here.end("a", GREEN)
    assert here.told == []
    assert here.standing is not None
    assert here.standing.commit == "c"


def test_what_is_open_or_cancelled_is_passed_over() -> None:
    here = Branch()
    here.push("a", "b", "c")
    here.end("a", RED)
    here.end("b", NONE)
    here.end("c", GREEN)
    assert here.told == [(ReportKind.BROKEN, "a"), (ReportKind.FIXED, "c")]


def test_builds_that_run_again_tell_of_their_new_end_only() -> None:
    here = Branch()
    here.push("a", "b")
    here.end("a", GREEN)
    here.end("b", RED)
    here.end("b", OPEN)
    here.end("a", GREEN)
    assert here.told == [(ReportKind.BROKEN, "b")]
    here.end("b", GREEN)
    assert here.told == [(ReportKind.BROKEN, "b"), (ReportKind.FIXED, "b")]


def test_after_a_force_push_the_new_tip_tells_unless_it_was_known() -> None:
    here = Branch()
    here.push("a", "bad")
    here.end("a", GREEN)
    here.end("bad", RED)
    here.line = ["a"]
    here.push("new")
    here.look()  # "a" is green, but what was pushed in the place of "bad" still runs
    here.end("new", RED)
    assert here.told == [(ReportKind.BROKEN, "bad")]
    here.line = ["a"]
    here.look()
    assert here.told == [(ReportKind.BROKEN, "bad"), (ReportKind.FIXED, "a")]


def test_a_dropped_commit_that_ends_late_is_not_spoken_of() -> None:
    here = Branch()
    here.push("a", "bad")
    here.end("a", GREEN)
    here.line = ["a"]
    here.push("new")
    here.end("bad", RED)
    here.end("new", GREEN)
    assert here.told == []


def test_still_broken_is_told_daily_at_most() -> None:
    here = Branch()
    here.push("a")
    here.end("a", RED)
    for hours in range(1, 60):
        here.now = NOON + timedelta(hours=hours)
        here.push(f"after {hours}")
        here.end(f"after {hours}", RED)
    assert [kind for kind, _ in here.told] == [ReportKind.BROKEN, *[ReportKind.STILL_BROKEN] * 2]
    assert timedelta(days=1) == REMIND


ends = st.sampled_from([GREEN, RED, NONE])


@given(
    pushes=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    lights=st.lists(ends, min_size=20, max_size=20),
    order=st.randoms(use_true_random=False),
)
def test_whatever_the_order_messages_alternate_and_the_last_one_is_true(
    pushes: list[int], lights: list[Light], order: object
) -> None:
    here = Branch()
    names = iter("abcdefghijklmnopqrst")
    running: list[str] = []
    final = dict(zip("abcdefghijklmnopqrst", lights, strict=True))
    for count in pushes:
        fresh = [next(names) for _ in range(count)]
        here.push(*fresh)
        running += fresh
        for _ in range(order.randint(0, len(running))):  # type: ignore[attr-defined]
            ended = running.pop(order.randrange(len(running)))  # type: ignore[attr-defined]
            here.end(ended, final[ended])
    for ended in running:
        here.end(ended, final[ended])
    told = [kind for kind, _ in here.told]
    assert told == [ReportKind.BROKEN, ReportKind.FIXED] * (len(told) // 2) + [ReportKind.BROKEN] * (len(told) % 2)
    decided = [sha for sha in here.line if final[sha] != NONE]
    if decided:
        assert here.standing is not None
        assert (here.standing.commit, here.standing.light) == (decided[0], final[decided[0]])
        assert len(told) % 2 == (final[decided[0]] == RED)
    assert here.look() is None


def test_a_commit_is_as_the_worst_of_its_builds() -> None:
    state = BuildState
    assert light([state.PASSED, state.FAILED]) == RED
    assert light([state.FAILED, state.RUNNING]) == OPEN
    assert light([state.PASSED, state.ALLOWED]) == GREEN
    assert light([state.PASSED, state.CANCELLED]) == NONE
    assert light([state.NEUTRAL, state.SKIPPED]) == NONE


@given(tries=st.integers(1, 1000), chance=st.floats(0, 1))
def test_pauses_grow_to_an_hour_and_end_after_two_days(tries: int, chance: float) -> None:
    at = outbox.next_try(tries, NOON, chance, NOON)
    assert at is not None
    assert 11 <= (at - NOON).total_seconds() <= 3600 * 1.25
    assert outbox.next_try(tries, NOON - timedelta(days=2), chance, NOON) is None
