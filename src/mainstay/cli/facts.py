"""What a job of `mainstay run` is told of the run it belongs to: the event, its payload, variables and secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mainstay.cli.choosing import Chosen
from mainstay.cli.snapshot import Snapshot
from mainstay.model.plan import Json
from mainstay.model.repository import branch_of
from mainstay.workflow.contexts import (
    Run,
    dispatch_event,
    github,
    pull_request_event,
    push_event,
    schedule_event,
)


@dataclass(frozen=True, slots=True)
class Facts:
    """The same for all workflows of a run."""

    main: str = "main"
    """The branch that changes go to."""
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)


def base_contexts(shot: Snapshot, facts: Facts, chosen: Chosen) -> dict[str, Any]:
    """`github`, `inputs`, `vars` and `secrets`."""
    branch = branch_of(shot.ref) or facts.main
    change = chosen.event == "pull_request"
    payload = {**_payload(shot, facts, chosen, branch), **chosen.payload}
    pull = payload.get("pull_request") if isinstance(payload.get("pull_request"), dict) else {}
    ref = payload.get("ref")
    run = Run(
        event_name=chosen.event,
        sha=shot.commit,
        ref=f"refs/pull/{payload.get('number', 1)}/merge" if change else _ref(ref) if chosen.payload else shot.ref,
        repository=_repository(payload) or shot.name,
        workflow=chosen.plan.workflow,
        workflow_path=chosen.plan.source,
        run_id="1",
        run_number="1",
        base_ref=_branch(pull, "base") or (facts.main if change else ""),
        head_ref=_branch(pull, "head") or (branch if change else ""),
        event=payload,
    )
    given = {"inputs": dict(chosen.inputs), "vars": dict(facts.variables), "secrets": dict(facts.secrets)}
    return {"github": github(run), **given}


def _payload(shot: Snapshot, facts: Facts, chosen: Chosen, branch: str) -> dict[str, Json]:
    head = {"id": shot.commit, "tree_id": shot.tree, "message": "", "author": {}}
    match chosen.event:
        case "pull_request":
            return pull_request_event(
                number=1,
                action="synchronize",
                head=branch,
                base=facts.main,
                sha=shot.commit,
                title="",
                repository=shot.name,
            )
        case "workflow_dispatch":
            return dispatch_event(ref=shot.ref, inputs=chosen.inputs, workflow_path=chosen.plan.source)
        case "schedule":
            return schedule_event("")
    return push_event(ref=shot.ref, before=None, after=shot.commit, head_commit=head, repository=shot.name)


def _ref(value: Json) -> str:
    text = value if isinstance(value, str) and value else "main"
    return text if text.startswith("refs/") else f"refs/heads/{text}"


def _branch(pull: Any, side: str) -> str:
    inner = pull.get(side) if isinstance(pull, dict) else None
    ref = inner.get("ref") if isinstance(inner, dict) else None
    return ref if isinstance(ref, str) else ""


def _repository(payload: Mapping[str, Json]) -> str | None:
    inner = payload.get("repository")
    name = inner.get("full_name") if isinstance(inner, dict) else None
    return name if isinstance(name, str) and name else None
