"""The line that runs a job again on one's own machine: what it picks, and that words from outside stay words."""

import shlex
from dataclasses import replace

from mainstay.flow.reproduce import command, within
from tests.flow.world import queued_job

COMMIT = "3f2a91c0" * 5


def test_a_leg_of_a_matrix_is_picked_by_its_plain_values() -> None:
    job = replace(queued_job(), matrix={"python": "3.11", "shard": 2, "extra": {"a": "b"}})
    assert command(COMMIT, "ci.yml", job) == (
        "git checkout 3f2a91c03f2a && mainstay run --workflow ci.yml --job test --matrix python=3.11 --matrix shard=2"
    )


def test_a_detected_workflow_has_no_file_and_no_job_means_all() -> None:
    assert command(COMMIT, "detected: pytest", None) == "git checkout 3f2a91c03f2a && mainstay run"


def test_words_from_outside_end_no_command() -> None:
    hostile = "it's; rm -rf $HOME `x`"
    job = replace(queued_job(), key=hostile, matrix={"a b": "$(x)"})
    words = shlex.split(command(COMMIT, hostile, job))
    assert words[4:] == ["mainstay", "run", "--workflow", hostile, "--job", hostile, "--matrix", "a b=$(x)"]


def test_what_is_too_long_is_told_whole_in_another_way_or_not_at_all() -> None:
    job = replace(queued_job(), matrix={"python": "3.11 " * 300})
    assert within(1000, COMMIT, "ci.yml", replace(job, matrix={})) == command(COMMIT, "ci.yml", replace(job, matrix={}))
    assert within(1000, COMMIT, "ci.yml", job) == command(COMMIT, "ci.yml", None)
    assert within(1000, COMMIT, "a\nb.yml", job) is None
    assert within(1000, COMMIT, "long " * 300, job) is None
