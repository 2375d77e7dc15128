"""How many local runners there should be."""

from mainstay.flow.fleet import DOWN_AFTER_S, UP_AFTER_S, Bounds, Load, retry_after, wanted

BOUNDS = Bounds(1, 8)


def load(**values: float) -> Load:
    base = {"present": 1, "idle": 0, "waiting_jobs": 0, "waiting_s": 0.0, "idle_s": 0.0}
    return Load(**(base | values))  # type: ignore[arg-type]


def test_work_that_waits_brings_a_runner_for_each_job_up_to_the_most() -> None:
    assert wanted(load(waiting_jobs=3, waiting_s=UP_AFTER_S), BOUNDS) == 4
    assert wanted(load(waiting_jobs=300, waiting_s=UP_AFTER_S), BOUNDS) == 8


def test_work_that_was_only_just_queued_brings_none() -> None:
    assert wanted(load(waiting_jobs=3, waiting_s=UP_AFTER_S / 2), BOUNDS) == 1


def test_idle_runners_go_one_by_one_and_never_below_the_least() -> None:
    assert wanted(load(present=4, idle=4, idle_s=DOWN_AFTER_S), BOUNDS) == 3
    assert wanted(load(present=1, idle=1, idle_s=DOWN_AFTER_S), BOUNDS) == 1


def test_a_short_lull_ends_no_runner() -> None:
    assert wanted(load(present=4, idle=4, idle_s=DOWN_AFTER_S / 2), BOUNDS) == 4


def test_one_that_dies_at_start_is_tried_again_ever_more_slowly() -> None:
    pauses = [retry_after(count) for count in range(10)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 0
    assert pauses[-1] == 60
