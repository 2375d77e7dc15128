"""The page about the API says what the program does: every path, state, error and limit."""

import re
from pathlib import Path

from mainstay.engine import artifacts, caches, enrol, lease, repositories, results, unfold
from mainstay.engine.server import Engine
from mainstay.flow import result
from mainstay.git import smart_http
from mainstay.model import errors
from mainstay.model.states import AttemptState, JobState, StepState
from mainstay.web import bodies, hooks, runner_api
from mainstay.web.api.app import create_api
from mainstay.web.options import Options, Site
from mainstay.web.streams import Streams
from mainstay.workflow import calls, instances, matrix, plan, yaml

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "api.md").read_text("utf-8")

LIMITS = {
    "a workflow file": f"{yaml.MAX_BYTES >> 10} KiB",
    "workflow files of a commit": f"{plan.MAX_FILES}",
    "jobs of one matrix": f"{matrix.MAX_JOBS}",
    "jobs of a build": f"{unfold.MAX_JOBS}",
    "levels of reusable workflows": f"{calls.MAX_LEVELS}",
    "a job's time, where its workflow says nothing": f"{instances.DEFAULT_TIME_LIMIT_S / 3600:.0f} h",
    "the log of an attempt": f"{enrol.LOG_LIMIT_BYTES >> 30} GiB",
    "tests of an attempt": f"{results.MAX_TESTS}",
    "an uploaded artifact": f"{runner_api.ARTIFACT_BYTES >> 30} GiB",
    "artifacts of an attempt": f"{artifacts.ATTEMPT_COUNT}, {artifacts.ATTEMPT_BYTES >> 30} GiB together",
    "a cache entry": f"{caches.MAX_BYTES >> 30} GiB",
    "the caches of a repository": f"{caches.REPOSITORY_BYTES >> 30} GiB",
    "a push to this server": f"{smart_http.PUSH_LIMIT_BYTES >> 30} GiB",
    "a webhook": f"{hooks.HOOK_BYTES >> 20} MiB",
    "the body of an API request": f"{bodies.REQUEST_BYTES >> 10} KiB",
    "branch patterns of a repository": f"{repositories.MAX_PATTERNS}",
    "jobs at once on a runner": f"{enrol.MAX_CAPACITY}",
    "labels of a runner": f"{enrol.MAX_LABELS}",
    "silence of a runner before its jobs are tried again": f"{lease.LEASE_S:.0f} s",
    "tries of a job without a person's word, those included that never began": f"{result.MAX_TRIES}",
}


def test_every_limit_is_that_of_the_code() -> None:
    table = PAGE.partition("## Limits")[2]
    rows = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", table, re.MULTILINE))
    del rows["what"], rows["---"]
    assert rows == LIMITS


def test_every_path_is_there() -> None:
    api = create_api(Site(Engine.__new__(Engine), Options(), Streams()))
    paths = {re.sub(r":path}", "}", path.removeprefix("/v1")) for path in api.openapi()["paths"]}
    missing = {path for path in paths if f"`{path}" not in PAGE and f" {path}" not in PAGE}
    assert missing - {"/runners/{runner}/resume"} == set()


def test_every_state_and_error_is_there() -> None:
    states = {*JobState, *AttemptState, *StepState}
    assert {state for state in states if f"`{state}`" not in PAGE} == set()
    kinds = [errors.NotSignedIn, errors.NotAllowed, errors.NotFound, errors.Conflict, errors.TooLarge]
    kinds += [errors.BadInput, errors.Unavailable, errors.MainstayError]
    for kind in kinds:
        assert re.search(rf"^\| {kind.status} \| `{kind.code}`.* \| {kind.exit_code} \|$", PAGE, re.MULTILINE), kind
