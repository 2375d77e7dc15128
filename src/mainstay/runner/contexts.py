"""The contexts that the expressions of a job's steps see: what the server knows, and what only the runner knows."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from mainstay.model.plan import Json
from mainstay.model.repository import branch_of, tag_of
from mainstay.runner.environment import architecture
from mainstay.wire.runner import Assignment

SHOWS_TOKEN = re.compile(rb"github(?!\.(?!token\b)[a-z_])|secrets(?!\.[a-z_])", re.IGNORECASE)
"""Any use of the `github` context but `github.KEY` with another key than the token, and of all secrets as one."""
FROM_SERVER = ("needs", "vars", "inputs", "strategy", "secrets")


def github(assignment: Assignment, workspace: Path, event: Path, server: str) -> dict[str, Json]:
    """The `github` context. What the server left out is filled in from the assignment."""
    source = assignment.source
    branch, tag = branch_of(source.ref), tag_of(source.ref)
    known: Mapping[str, Json] = assignment.contexts.get("github") or {}
    owner = source.repository.partition("/")[0]
    return {
        "event_name": "push",
        "event": {},
        "sha": source.commit,
        "ref": source.ref,
        "ref_name": branch or tag or source.ref,
        "ref_type": "tag" if tag is not None else "branch",
        "ref_protected": False,
        "repository": source.repository,
        "repository_id": str(source.repository_id),
        "repository_owner": owner,
        "actor": "mainstay",
        "triggering_actor": "mainstay",
        "base_ref": "",
        "head_ref": "",
        "job": assignment.plan.key,
        "run_id": str(assignment.build),
        "run_number": str(assignment.build_number),
        "run_attempt": str(assignment.number),
        "retention_days": "90",
        "server_url": server,
        "workflow": "",
        **known,
        "token": source.token,
        "workspace": str(workspace),
        "event_path": str(event),
    }


def runner(name: str, temp: Path, tool_cache: Path) -> dict[str, Json]:
    """The `runner` context."""
    return {
        "name": name,
        "os": "Linux",
        "arch": architecture(),
        "temp": str(temp),
        "tool_cache": str(tool_cache),
        "environment": "self-hosted",
        "debug": "",
    }


def of_job(assignment: Assignment, github: dict[str, Json], runner: dict[str, Json]) -> dict[str, Json]:
    """All contexts that do not change while the job runs."""
    given = {name: assignment.contexts.get(name) or {} for name in FROM_SERVER}
    return {**given, "github": github, "runner": runner, "matrix": assignment.matrix}


def masks(assignment: Assignment) -> tuple[str, ...]:
    """Values that must not be printed.

    The source's token is one of them only if the plan can show it: hiding anything means that all output has to be
    looked at byte by byte, which most jobs are spared.
    """
    secrets = (assignment.contexts.get("secrets") or {}).values()
    values = [*assignment.masks, *(value for value in secrets if isinstance(value, str))]
    if SHOWS_TOKEN.search(msgspec.json.encode(assignment.plan)):
        values.append(assignment.source.token)
    return tuple(dict.fromkeys(value for value in values if value))
