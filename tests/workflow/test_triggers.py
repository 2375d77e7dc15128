"""Which events start which workflows."""

from dataclasses import replace

import pytest

from mainstay.model.errors import BadInput
from mainstay.workflow.inputs import checked_inputs
from mainstay.workflow.read import read_workflow
from mainstay.workflow.triggers import TriggerEvent, Triggers, why_not

MAIN = TriggerEvent("push", "refs/heads/main", changed_paths=("src/a.py", "docs/b.md"))
TAG = TriggerEvent("push", "refs/tags/v1.0")
CHANGE = TriggerEvent("pull_request", "refs/changes/1", base="main", action="opened", changed_paths=("src/a.py",))


def triggers(on: str) -> Triggers:
    text = f"on: {on}\njobs:\n  a:\n    runs-on: linux\n    steps: [{{run: x}}]\n"
    workflow = read_workflow("x.yml", text.encode(), ours=False)
    assert not workflow.broken, workflow.problems
    return workflow.triggers


@pytest.mark.parametrize(
    ("on", "event", "starts"),
    [
        ("push", MAIN, True),
        ("push", TAG, True),
        ("push", CHANGE, False),
        ("pull_request", CHANGE, True),
        ("[push, pull_request]", CHANGE, True),
        ("{push: {branches: [main]}}", MAIN, True),
        ("{push: {branches: [main]}}", TAG, False),
        ("{push: {branches: ['release/**']}}", MAIN, False),
        ("{push: {branches: ['**', '!main']}}", MAIN, False),
        ("{push: {branches-ignore: [main]}}", MAIN, False),
        ("{push: {branches-ignore: [dev]}}", MAIN, True),
        ("{push: {branches-ignore: [dev]}}", TAG, False),
        ("{push: {tags: ['v*']}}", TAG, True),
        ("{push: {tags: ['v*']}}", MAIN, False),
        ("{push: {tags: ['v*'], branches: [main]}}", MAIN, True),
        ("{push: {tags: ['v*'], branches: [main]}}", TAG, True),
        ("{push: {tags-ignore: ['v*']}}", TAG, False),
        ("{push: {tags: , branches: [main]}}", MAIN, True),
        ("{push: {tags: , branches: [main]}}", TAG, False),
        ("{push: {paths: ['docs/**']}}", MAIN, True),
        ("{push: {paths: ['tests/**']}}", MAIN, False),
        ("{push: {paths: ['tests/**']}}", TAG, True),
        ("{push: {paths: ['tests/**']}}", replace(MAIN, changed_paths=None), True),
        ("{push: {paths-ignore: ['docs/**']}}", MAIN, True),
        ("{push: {paths-ignore: ['docs/**', 'src/**']}}", MAIN, False),
        ("{push: {branches: [main], paths: ['tests/**']}}", MAIN, False),
        ("{pull_request: {branches: [main]}}", CHANGE, True),
        ("{pull_request: {branches: [dev]}}", CHANGE, False),
        ("{pull_request: {types: [closed]}}", CHANGE, False),
        ("push", replace(MAIN, message="x [skip ci]"), False),
        ("push", replace(MAIN, message="x\n\nskip-checks: true\n"), False),
        ("push", replace(MAIN, message="skip ci"), True),
        ("workflow_dispatch", TriggerEvent("workflow_dispatch", "refs/heads/main"), True),
        ("push", TriggerEvent("workflow_dispatch", "refs/heads/main"), False),
        ("{schedule: [{cron: '0 5 * * *'}]}", TriggerEvent("schedule", "refs/heads/main", schedule="0 5 * * *"), True),
        ("{schedule: [{cron: '0 5 * * *'}]}", TriggerEvent("schedule", "refs/heads/main", schedule="1 5 * * *"), False),
        ("workflow_call", MAIN, False),
    ],
)
def test_filters_decide_by_githubs_rules(on: str, event: TriggerEvent, starts: bool) -> None:
    reason = why_not(triggers(on), event)
    assert (reason is None) == starts, reason


def test_a_refusal_says_why() -> None:
    assert why_not(triggers("{push: {branches: [dev]}}"), MAIN) == "the branch main is not among those it is for"
    assert why_not(triggers("{push: {branches: [dev]}}"), TAG) == "it is for branches only, and v1.0 is a tag"


INPUTS = """
  workflow_dispatch:
    inputs:
      level: {type: choice, options: [low, high], default: low}
      count: {type: number}
      dry: {type: boolean, default: true}
      who: {required: true}
"""


def test_inputs_get_their_types_and_defaults() -> None:
    declared = triggers(INPUTS).dispatch
    assert declared is not None
    assert checked_inputs(declared, {"who": 3, "count": "4"}) == {"level": "low", "count": 4, "dry": True, "who": "3"}
    assert checked_inputs(declared, {"who": "x", "dry": "false"})["dry"] is False


def test_all_that_is_wrong_with_inputs_is_named_at_once() -> None:
    declared = triggers(INPUTS).dispatch
    assert declared is not None
    with pytest.raises(BadInput) as caught:
        checked_inputs(declared, {"levl": "low", "count": "many", "dry": "maybe", "level": "middle"})
    for words in (
        'did you mean "level"',
        '"count" must be a number',
        '"dry" must be true',
        "one of low, high",
        '"who" is required',
    ):
        assert words in caught.value.message
