"""The life of one job as a table of legal moves, and what follows from the end of an attempt."""

from enum import StrEnum

from mainstay.model.errors import Conflict
from mainstay.model.states import ENDED_JOB, AttemptState, JobState


class Move(StrEnum):
    """What can happen to a job."""

    RELEASE = "release"
    """Its needs are met, a runner fits: it may be claimed."""
    HOLD = "hold"
    """Something must happen first."""
    CLAIM = "claim"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    ALLOW = "allow"
    CANCEL = "cancel"
    SKIP = "skip"
    SET_ASIDE = "set aside"
    """Not decided here."""
    RETRY = "retry"
    """The attempt said nothing about the code: once more."""
    RERUN = "rerun"
    """A person wants another attempt."""
    AWAIT = "run again later"
    """The same, once the jobs that it needs have run again."""


_W, _Q, _R = JobState.WAITING, JobState.QUEUED, JobState.RUNNING
_ENDS = {
    Move.PASS: JobState.PASSED,
    Move.FAIL: JobState.FAILED,
    Move.ALLOW: JobState.ALLOWED,
    Move.CANCEL: JobState.CANCELLED,
    Move.SET_ASIDE: JobState.NEUTRAL,  # its runner's machine has not what the job asks for
}

MOVES: dict[tuple[JobState, Move], JobState] = {
    (_W, Move.RELEASE): _Q,
    (_W, Move.HOLD): _W,
    (_W, Move.SKIP): JobState.SKIPPED,
    (_W, Move.SET_ASIDE): JobState.NEUTRAL,
    (_W, Move.CANCEL): JobState.CANCELLED,
    (_W, Move.FAIL): JobState.FAILED,  # its plan cannot be worked out
    (_Q, Move.HOLD): _W,
    (_Q, Move.CLAIM): _R,
    (_R, Move.RETRY): _Q,
    (_Q, Move.RETRY): _Q,
    **{(_Q, move): end for move, end in _ENDS.items()},  # a lost attempt came back while the next one was queued
    **{(_R, move): end for move, end in _ENDS.items()},
    **{(end, Move.RERUN): _Q for end in ENDED_JOB},
    **{(end, Move.AWAIT): _W for end in ENDED_JOB},
}


def after(state: JobState, move: Move) -> JobState:
    """The state that `move` leads to. Raises Conflict for a move that is not legal from `state`."""
    try:
        return MOVES[state, move]
    except KeyError:
        raise Conflict(f"a job that is {state} cannot {move}") from None


def move_for_end(end: AttemptState, *, allowed_to_fail: bool, retries_left: bool) -> Move:
    """Which move of the job follows from the end of its attempt."""
    match end:
        case AttemptState.PASSED:
            return Move.PASS
        case AttemptState.CANCELLED | AttemptState.SKIPPED:
            return Move.CANCEL
        case AttemptState.NEUTRAL:
            return Move.SET_ASIDE
        case AttemptState.LOST | AttemptState.BROKEN if retries_left:
            return Move.RETRY
        case AttemptState.FAILED | AttemptState.TIMED_OUT | AttemptState.LOST | AttemptState.BROKEN:
            return Move.ALLOW if allowed_to_fail else Move.FAIL
        case AttemptState.QUEUED | AttemptState.RUNNING:
            raise Conflict(f"an attempt that is {end} has not ended")
