"""The contexts that the keys of a job see on the server: `github`, `needs`, `inputs`, `vars`, `secrets`, `strategy`.

All are built from plain values, by GitHub's "Contexts reference". What only a runner knows (`runner`, `job`, `steps`,
`github.workspace` and the like) is added there.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mainstay.model.plan import Call, Json, Plan, PlannedJob
from mainstay.model.repository import branch_of, tag_of
from mainstay.model.states import JobState
from mainstay.workflow.expressions import (
    SUCCESS,
    Scope,
    Status,
    evaluate_condition,
    parse_template,
    render,
    render_value,
)
from mainstay.workflow.inputs import Input, typed
from mainstay.workflow.matrix import job_name

SEPARATOR = " / "
"""Between the key of a calling job and the key of a job that it calls."""


@dataclass(frozen=True, slots=True)
class Run:
    """What is known of one run of a workflow."""

    event_name: str
    sha: str
    ref: str
    """Whole: `refs/heads/main`."""
    repository: str
    """`owner/name` where there is an owner; see `repository_name`."""
    workflow: str
    """The workflow's name."""
    workflow_path: str = ""
    run_id: str = ""
    run_number: str = ""
    run_attempt: str = "1"
    actor: str = ""
    server_url: str = ""
    repository_url: str = ""
    base_ref: str = ""
    """For `pull_request`: the branch it goes to, short."""
    head_ref: str = ""
    event: Mapping[str, Json] = field(default_factory=dict)
    """The payload."""


def github(run: Run) -> dict[str, Json]:
    """The `github` context, but for what only a runner knows. Keys that have no meaning here are empty texts."""
    branch, tag = branch_of(run.ref), tag_of(run.ref)
    short = branch if branch is not None else tag if tag is not None else run.ref.removeprefix("refs/pull/")
    url = run.server_url.rstrip("/")
    return {
        "actor": run.actor,
        "actor_id": "",
        "api_url": f"{url}/api/v1",
        "base_ref": run.base_ref,
        "event": dict(run.event),
        "event_name": run.event_name,
        "graphql_url": "",
        "head_ref": run.head_ref,
        "ref": run.ref,
        "ref_name": short,
        "ref_protected": False,
        "ref_type": "tag" if tag is not None else "branch",
        "repository": run.repository,
        "repository_id": "",
        "repository_owner": run.repository.partition("/")[0],
        "repository_owner_id": "",
        "repositoryUrl": run.repository_url,
        "retention_days": "90",
        "run_attempt": run.run_attempt,
        "run_id": run.run_id,
        "run_number": run.run_number,
        "secret_source": "Actions",
        "server_url": url,
        "sha": run.sha,
        "token": "",
        "triggering_actor": run.actor,
        "workflow": run.workflow,
        "workflow_ref": f"{run.repository}/{run.workflow_path}@{run.ref}",
        "workflow_sha": run.sha,
    }


def repository_name(name: str, url: str | None) -> str:
    """`owner/name`, as conditions in workflow files compare it: from a remote address that has both, else our name."""
    match = re.match(r"(?:(?:https?|ssh|git)://[^/]+/|[\w.-]+@[\w.-]+:/?)(.+?)(?:\.git)?/?\Z", url or "")
    parts = match[1].split("/") if match else []
    return "/".join(parts[-2:]) if len(parts) > 1 else name


def push_event(
    *, ref: str, before: str | None, after: str, head_commit: Mapping[str, Json], repository: str, forced: bool = False
) -> dict[str, Json]:
    """The payload `github.event` of a push. `head_commit`: `id`, `tree_id`, `message`, `timestamp`, `author`."""
    return {
        "ref": ref,
        "before": before or "0" * len(after),
        "after": after,
        "created": before is None,
        "deleted": False,
        "forced": forced,
        "base_ref": None,
        "head_commit": dict(head_commit),
        "commits": [dict(head_commit)],
        "repository": {"name": repository.rpartition("/")[2], "full_name": repository},
        "pusher": dict(head_commit.get("author") or {}),
    }


def pull_request_event(
    *, number: int, action: str, head: str, base: str, sha: str, title: str, repository: str
) -> dict[str, Json]:
    """The payload of a change. `head` and `base` are branches, short; `sha` is the change's last commit."""
    within = {"name": repository.rpartition("/")[2], "full_name": repository, "fork": False}
    return {
        "action": action,
        "number": number,
        "pull_request": {
            "number": number,
            "state": "open",
            "title": title,
            "body": "",
            "draft": False,
            "merged": False,
            "labels": [],
            "user": {"login": ""},
            "head": {"ref": head, "sha": sha, "label": head, "repo": within},
            "base": {"ref": base, "sha": "", "label": base, "repo": within},
        },
        "repository": within,
    }


def dispatch_event(*, ref: str, inputs: Mapping[str, Json], workflow_path: str) -> dict[str, Json]:
    """The payload of a workflow started by hand; its inputs are texts there, typed in the `inputs` context."""
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in inputs.items()}
    return {"ref": ref, "inputs": texts, "workflow": workflow_path}


def schedule_event(cron: str) -> dict[str, Json]:
    """The payload of a workflow started by its schedule."""
    return {"schedule": cron}


def strategy(index: int, total: int, *, fail_fast: bool, max_parallel: int | None) -> dict[str, Json]:
    """The `strategy` context of one job of a matrix."""
    most = max_parallel if max_parallel is not None else total
    return {"fail-fast": fail_fast, "job-index": index, "job-total": total, "max-parallel": most}


class EndedJob(Protocol):
    """A job as far as those that need it care; `model.job.Job` is one."""

    @property
    def key(self) -> str: ...
    @property
    def state(self) -> JobState: ...
    @property
    def outputs(self) -> Mapping[str, str]: ...


def result(states: Iterable[JobState]) -> str:
    """`needs.KEY.result` of all the jobs of one key. An allowed failure counts as success, as on GitHub; jobs that were
    not decided here (neutral) count as skipped when there are no others."""
    found = set(states)
    if JobState.FAILED in found:
        return "failure"
    if JobState.CANCELLED in found:
        return "cancelled"
    return "success" if found & {JobState.PASSED, JobState.ALLOWED} else "skipped"


@dataclass(frozen=True, slots=True)
class JobContexts:
    """What the keys of one job see."""

    values: dict[str, Json]
    """`github`, `needs`, `inputs`, `vars`, `secrets`."""
    status: Status = SUCCESS
    refused: str | None = None
    """Why the workflow it belongs to was not called: then the job is skipped."""
    prefix: str = ""
    """Stands before the job's name: the names of the jobs that called its workflow."""

    def scope(self, **more: Json) -> Scope:
        """For evaluating a key, `more` contexts added (`matrix`, `strategy`)."""
        return Scope({**self.values, **more}, status=self.status)


def job_contexts(
    plan: Plan,
    job: PlannedJob,
    base: Mapping[str, Json],
    jobs: Iterable[EndedJob] = (),
    *,
    cancelled: bool = False,
) -> JobContexts:
    """The contexts of `job` now that its needs have ended.

    `base` has `github` and, where there are any, `inputs`, `vars`, `secrets` of the run; `jobs` are all jobs of the
    build that exist so far. Raises ExpressionError and BadInput when what a caller gives cannot be evaluated.
    """
    ended = _Ended(plan, jobs, cancelled)
    values = {"github": {}, "vars": {}, "inputs": {}, "secrets": {}, **base}
    prefix, refused = "", None
    for call in _chain(plan, job.call):
        caller = JobContexts(
            {**values, "needs": ended.needs(call.within, call.needs, values)}, ended.status(call.within, call.needs)
        )
        scope = caller.scope(matrix=call.matrix, strategy=strategy(0, 1, fail_fast=True, max_parallel=None))
        if refused is None and not evaluate_condition(call.condition, caller.scope()):
            refused = reason_to_skip(call.condition, caller)
        if call.name and "${{" in call.name:
            name = render(parse_template(call.name), scope) if refused is None else call.written
        else:
            name = job_name(call.name or call.written, _shown(call))
        prefix += name + SEPARATOR
        values = {
            **values,
            "inputs": _inputs(call, scope) if refused is None else {},
            "secrets": _secrets(call, scope) if refused is None else {},
        }
    needs = ended.written(job)
    values["needs"] = ended.needs(job.call, needs, values)
    return JobContexts(values, ended.status(job.call, needs), refused, prefix)


def reason_to_skip(condition: str | None, contexts: JobContexts) -> str:
    """Why a condition says no, in words."""
    unmet = [
        f"{name}: {need['result']}" for name, need in contexts.values["needs"].items() if need["result"] != "success"
    ]
    if condition is None or not condition.strip():
        if contexts.status.cancelled:
            return "the build was cancelled"
        return f"what it needs did not succeed ({', '.join(unmet)})" if unmet else "something before it did not succeed"
    return f"its condition is false: {' '.join(condition.split())}" + (f" ({', '.join(unmet)})" if unmet else "")


def _chain(plan: Plan, key: str | None) -> Sequence[Call]:
    """The calls that lead to a job, outermost first."""
    if key is None:
        return ()
    by_key = {call.key: call for call in plan.calls}
    found: list[Call] = []
    while key is not None:
        found.append(by_key[key])
        key = by_key[key].within
    return found[::-1]


def _shown(call: Call) -> tuple[str, ...]:
    inside = call.key.removeprefix(call.within + SEPARATOR if call.within else "").removeprefix(call.written)
    return (inside.strip()[1:-1],) if inside else ()


def _inputs(call: Call, scope: Scope) -> dict[str, Json]:
    found = {}
    for name, given in call.inputs.items():
        value = render_value(parse_template(given), scope) if isinstance(given, str) and "${{" in given else given
        found[name] = typed(name, Input(call.input_types.get(name, "string")), value)
    return found


def _secrets(call: Call, scope: Scope) -> dict[str, Json]:
    if call.secrets is None:
        inherited: dict[str, Json] = scope.contexts["secrets"]
        return inherited
    return {name: render(parse_template(text), scope) for name, text in call.secrets.items()}


class _Ended:
    """What became of the jobs of a build, by key, and what follows for those that need them."""

    def __init__(self, plan: Plan, jobs: Iterable[EndedJob], cancelled: bool) -> None:
        self.plan = plan
        self.cancelled = cancelled
        self.by_key: dict[str, list[EndedJob]] = {}
        for job in jobs:
            self.by_key.setdefault(job.key, []).append(job)

    def written(self, job: PlannedJob) -> tuple[str, ...]:
        """The needs of a planned job as its file writes them: of called workflows the calling job's key."""
        if not self.plan.calls:
            return job.needs
        found: dict[str, None] = {}
        for key in job.needs:
            call = next((call for call in self._calls(job.call) if key.startswith(call.key + SEPARATOR)), None)
            prefix = job.call + SEPARATOR if job.call else ""
            if call is not None:
                found[call.written] = None
            elif key.startswith(prefix):
                found[key.removeprefix(prefix)] = None
        return tuple(found)

    def _calls(self, within: str | None, written: str | None = None) -> list[Call]:
        return [call for call in self.plan.calls if call.within == within and written in (None, call.written)]

    def keys(self, within: str | None, written: str) -> list[str]:
        """The keys of the planned jobs that a name in `needs` stands for."""
        calls = self._calls(within, written) if self.plan.calls else []
        if not calls:
            return [f"{within}{SEPARATOR}{written}" if within else written]
        prefixes = tuple(call.key + SEPARATOR for call in calls)
        return [job.key for job in self.plan.jobs if job.key.startswith(prefixes)]

    def result(self, keys: Iterable[str]) -> str:
        return result(job.state for key in keys for job in self.by_key.get(key, ()))

    def needs(self, within: str | None, written: Iterable[str], values: Mapping[str, Json]) -> dict[str, Json]:
        """The `needs` context (or `jobs`) for these names. `neutral` is ours: with it a gate can tell what was skipped
        by the workflow from what no runner here could decide.
        """
        found: dict[str, Json] = {}
        for name in written:
            keys = self.keys(within, name)
            found[name] = {"result": self.result(keys), "outputs": self.outputs(within, name, values)}
            if found[name]["result"] == "skipped" and self.undecided(keys):
                found[name]["neutral"] = True
        return found

    def undecided(self, keys: Iterable[str]) -> bool:
        """Whether some of these jobs could not be decided here, and no other was (`result` calls them skipped)."""
        return any(job.state is JobState.NEUTRAL for key in keys for job in self.by_key.get(key, ()))

    def outputs(self, within: str | None, written: str, values: Mapping[str, Json]) -> dict[str, str]:
        """Of several jobs of a matrix the last one that set an output to something counts."""
        found: dict[str, str] = {}
        calls = self._calls(within, written) if self.plan.calls else []
        for call in calls:
            inside = [job for job in self.plan.jobs if job.call == call.key]
            names = [job.key.removeprefix(call.key + SEPARATOR) for job in inside]
            names += [inner.written for inner in self._calls(call.key)]
            scope = (
                Scope({**values, "jobs": self.needs(call.key, dict.fromkeys(names), values)})
                if call.outputs
                else Scope()
            )
            found |= {name: render(parse_template(text), scope) for name, text in call.outputs.items()}
        for job in () if calls else self.by_key.get(self.keys(within, written)[0], ()):
            found |= {name: value for name, value in job.outputs.items() if value or name not in found}
        return found

    def status(self, within: str | None, written: Iterable[str]) -> Status:
        """What `success()` and its kin answer: they look at all ancestors within the file, not at direct needs only."""
        by_key = {job.key: job for job in self.plan.jobs}
        prefix = within + SEPARATOR if within else ""
        todo = [key for name in written for key in self.keys(within, name)]
        seen: set[str] = set()
        while todo:
            key = todo.pop()
            if key not in seen and key.startswith(prefix):
                seen.add(key)
                todo.extend(by_key[key].needs if key in by_key else ())
        results = {self.result([key]) for key in seen}
        return Status(
            success=results <= {"success"} and not self.cancelled,
            failure="failure" in results and not self.cancelled,
            cancelled=self.cancelled,
        )
