"""The key `on`: reading it, and whether an event starts a workflow, with the reason in words when it does not."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mainstay.model.plan import Json
from mainstay.model.repository import branch_of, tag_of
from mainstay.workflow import cron
from mainstay.workflow.globs import Filter, GlobError
from mainstay.workflow.inputs import Input, read_inputs
from mainstay.workflow.problems import suggestion
from mainstay.workflow.reading import Reading, kind
from mainstay.workflow.yaml import Mapping, Node, Scalar, as_json

STARTED_HERE = ("push", "pull_request", "schedule", "workflow_dispatch", "workflow_call")
ONLY_ON_GITHUB = (
    "branch_protection_rule", "check_run", "check_suite", "create", "delete", "deployment", "deployment_status",
    "discussion", "discussion_comment", "fork", "gollum", "image_version", "issue_comment", "issues", "label",
    "merge_group", "milestone", "page_build", "public", "pull_request_review", "pull_request_review_comment",
    "pull_request_target", "registry_package", "release", "repository_dispatch", "status", "watch", "workflow_run",
)  # fmt: skip
"""Known, and accepted with a warning: nothing here causes them."""
PUSH_KEYS = ("branches", "branches-ignore", "tags", "tags-ignore", "paths", "paths-ignore")
PULL_REQUEST_KEYS = ("types", "branches", "branches-ignore", "paths", "paths-ignore")
PULL_REQUEST_TYPES = ("opened", "synchronize", "reopened")
"""What starts a workflow whose `pull_request` names no types."""
SKIP_WORDS = ("[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]")
SKIP_TRAILER = re.compile(r"\n\nskip-checks:\s*true\s*\Z")


@dataclass(frozen=True, slots=True)
class TriggerEvent:
    """What happened, as far as triggers and the `github` context care. Lists of paths may be unknown (None)."""

    name: str
    """`push`, `pull_request`, `schedule`, `workflow_dispatch`."""
    ref: str
    """Whole: `refs/heads/main`; of a change its own ref."""
    base: str | None = None
    """For `pull_request`: the branch it goes to, short."""
    action: str | None = None
    """For `pull_request`: `opened`, `synchronize` ..."""
    changed_paths: Sequence[str] | None = None
    """None: not known (a new branch, too many); then path filters let it pass."""
    message: str | None = None
    """The commit's message: it may ask to be skipped."""
    schedule: str | None = None
    """The cron line that is due."""
    inputs: dict[str, Json] = field(default_factory=dict)
    """For `workflow_dispatch`: what was given."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a `push` or `pull_request` must look like. None: the filter is not there."""

    branches: Filter | None = None
    branches_ignore: Filter | None = None
    tags: Filter | None = None
    tags_ignore: Filter | None = None
    paths: Filter | None = None
    paths_ignore: Filter | None = None
    types: tuple[str, ...] = PULL_REQUEST_TYPES


@dataclass(frozen=True, slots=True)
class CallTrigger:
    """`workflow_call`: what the caller gives and gets."""

    inputs: dict[str, Input] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    """Templates over `jobs`."""
    secrets: dict[str, bool] = field(default_factory=dict)
    """Name to whether it is required."""


@dataclass(frozen=True, slots=True)
class Triggers:
    """The key `on`. None or empty: that event does not start the workflow."""

    push: Filters | None = None
    pull_request: Filters | None = None
    schedules: tuple[cron.Cron, ...] = ()
    dispatch: dict[str, Input] | None = None
    """`workflow_dispatch`: its inputs by name."""
    call: CallTrigger | None = None
    elsewhere: tuple[str, ...] = ()
    """Events that never happen here."""

    @property
    def names(self) -> tuple[str, ...]:
        """The events that start it, for people."""
        offered = {
            "push": self.push is not None,
            "pull_request": self.pull_request is not None,
            "schedule": bool(self.schedules),
            "workflow_dispatch": self.dispatch is not None,
            "workflow_call": self.call is not None,
        }
        return (*(name for name, there in offered.items() if there), *self.elsewhere)


def why_not(triggers: Triggers, event: TriggerEvent) -> str | None:
    """Why `event` does not start the workflow, in words; None: it does."""
    if event.name in ("push", "pull_request") and event.message is not None and _asks_to_be_skipped(event.message):
        return "the commit message asks to skip it"
    match event.name:
        case "push":
            return "it is not started by a push" if triggers.push is None else _push(triggers.push, event)
        case "pull_request":
            if triggers.pull_request is None:
                return "it is not started by a change (pull_request)"
            return _pull_request(triggers.pull_request, event)
        case "schedule":
            if any(event.schedule in (None, each.text) for each in triggers.schedules):
                return None
            return f"it has no schedule {event.schedule or ''}".rstrip()
        case "workflow_dispatch":
            return (
                None if triggers.dispatch is not None else "it has no workflow_dispatch, so it is not started by hand"
            )
    return f"the event {event.name} starts nothing here"


def _asks_to_be_skipped(message: str) -> bool:
    return any(word in message for word in SKIP_WORDS) or SKIP_TRAILER.search(message) is not None


def _push(filters: Filters, event: TriggerEvent) -> str | None:
    tag = tag_of(event.ref)
    if tag is not None:
        if filters.tags is not None or filters.tags_ignore is not None:
            return _refused("tag", tag, filters.tags, filters.tags_ignore)
        only_branches = filters.branches is not None or filters.branches_ignore is not None
        return f"it is for branches only, and {tag} is a tag" if only_branches else None
    branch = branch_of(event.ref) or event.ref
    if filters.branches is not None or filters.branches_ignore is not None:
        refused = _refused("branch", branch, filters.branches, filters.branches_ignore)
        if refused:
            return refused
    elif filters.tags is not None or filters.tags_ignore is not None:
        return f"it is for tags only, and {branch} is a branch"
    return _paths(filters, event)


def _pull_request(filters: Filters, event: TriggerEvent) -> str | None:
    if event.action is not None and event.action not in filters.types:
        return f"it is for {', '.join(filters.types)}, and this change was {event.action}"
    base = event.base or branch_of(event.ref) or event.ref
    return _refused("branch", base, filters.branches, filters.branches_ignore) or _paths(filters, event)


def _refused(what: str, name: str, wanted: Filter | None, ignored: Filter | None) -> str | None:
    if wanted is not None and not wanted.matches(name):
        return f"the {what} {name} is not among those it is for"
    if ignored is not None and ignored.matches(name):
        return f"the {what} {name} is one that it ignores"
    return None


def _paths(filters: Filters, event: TriggerEvent) -> str | None:
    if event.changed_paths is None:
        return None
    if filters.paths is not None and not filters.paths.matches_any(event.changed_paths):
        return "none of the changed files is among its paths"
    if filters.paths_ignore is not None and filters.paths_ignore.matches_all(event.changed_paths):
        return "all of the changed files are among those it ignores"
    return None


def read_triggers(reading: Reading, node: Node) -> Triggers:
    """`on` in its three forms: one name, a list of names, a mapping."""
    if isinstance(node, Mapping):
        given: list[tuple[Scalar, Node | None]] = [(node.keys[name], value) for name, value in node.entries.items()]
    else:
        items = reading.items(node, '"on"', one=True)
        given = [(item, None) for item in items if isinstance(item, Scalar)]
        for item in items:
            if not isinstance(item, Scalar):
                reading.problems.error(item, f'"on" lists names of events, not {kind(item)}')
    if not given:
        reading.problems.error(node, '"on" names no event: write on: push')
    known = [(key, value) for key, value in given if _is_known(reading, key)]
    by_name = {key.text: None if _empty(value) else value for key, value in known}
    if "schedule" in by_name and by_name["schedule"] is None:
        reading.problems.error(node, "\"schedule\" needs a list of cron lines: - cron: '0 6 * * 1'")
    call = by_name.get("workflow_call")
    dispatch = by_name.get("workflow_dispatch")
    return Triggers(
        push=_filters(reading, by_name["push"], "push", PUSH_KEYS) if "push" in by_name else None,
        pull_request=(
            _filters(reading, by_name["pull_request"], "pull_request", PULL_REQUEST_KEYS)
            if "pull_request" in by_name
            else None
        ),
        schedules=_schedules(reading, by_name.get("schedule")),
        dispatch=_dispatch(reading, dispatch) if "workflow_dispatch" in by_name else None,
        call=_call(reading, call) if "workflow_call" in by_name else None,
        elsewhere=tuple(key.text for key, _ in known if key.text in ONLY_ON_GITHUB),
    )


def _is_known(reading: Reading, key: Scalar) -> bool:
    if key.text in STARTED_HERE:
        return True
    if key.text in ONLY_ON_GITHUB:
        reading.problems.warning(key, f'the event "{key.text}" does not happen here, so it never starts this workflow')
        return True
    known = (*STARTED_HERE, *ONLY_ON_GITHUB)
    hint = suggestion(key.text, known) or f"; known here are {', '.join(STARTED_HERE)}"
    reading.problems.error(key, f'unknown event "{key.text[:50]}"{hint}')
    return False


def _empty(node: Node | None) -> bool:
    return node is None or (isinstance(node, Scalar) and node.value is None)


def _filters(reading: Reading, node: Node | None, what: str, known: tuple[str, ...]) -> Filters:
    found = None if node is None else reading.mapping(node, f'"{what}"', known)
    if found is None:
        return Filters()
    read: dict[str, Filter] = {}
    for name in known:
        value = found.entries.get(name) if name != "types" else None
        other = found.keys.get(f"{name}-ignore")
        if value is not None and other is not None:
            reading.problems.error(other, f'"{name}" and "{name}-ignore" cannot stand together; use "!" in "{name}"')
        if _empty(value) and value is not None:
            # GitHub takes such files, and teams have them: what is left of a list whose entries were taken out.
            reading.problems.warning(found.keys[name], f'"{name}" is empty, so it is taken as left out')
        elif value is not None:
            filtered = _filter(reading, value, name)
            if filtered is not None:
                read[name] = filtered
    types = found.entries.get("types")
    return Filters(
        branches=read.get("branches"),
        branches_ignore=read.get("branches-ignore"),
        tags=read.get("tags"),
        tags_ignore=read.get("tags-ignore"),
        paths=read.get("paths"),
        paths_ignore=read.get("paths-ignore"),
        types=reading.texts(types, '"types"') if types is not None else PULL_REQUEST_TYPES,
    )


def _filter(reading: Reading, node: Node, name: str) -> Filter | None:
    patterns = reading.texts(node, f'"{name}"')
    if not patterns:
        reading.problems.error(node, f'"{name}" is empty, so nothing would pass it: leave it out or name a pattern')
        return None
    if all(pattern.startswith("!") for pattern in patterns):
        reading.problems.error(
            node, f'"{name}" has patterns with "!" only: name what is to pass first, or use {name}-ignore'
        )
        return None
    try:
        return Filter(patterns)
    except GlobError as error:
        reading.problems.error(node, error.message)
        return None


def _schedules(reading: Reading, node: Node | None) -> tuple[cron.Cron, ...]:
    found = []
    for item in reading.items(node, '"schedule"') if node is not None else ():
        entry = reading.mapping(item, "an entry of schedule", ("cron", "timezone"))
        value = entry.entries.get("cron") if entry is not None else None
        if entry is not None and value is None:
            reading.problems.error(item, "an entry of schedule needs a cron line: - cron: '0 6 * * 1'")
        text = reading.text(value, '"cron"')
        if entry is None or value is None or text is None:
            continue
        zone = reading.text(entry.entries.get("timezone"), '"timezone"') or cron.UTC_NAME
        try:
            found.append(cron.parse(text, zone))
        except cron.BadCron as error:
            reading.problems.error(value, error.message)
    return tuple(found)


def _dispatch(reading: Reading, node: Node | None) -> dict[str, Input]:
    found = None if node is None else reading.mapping(node, '"workflow_dispatch"', ("inputs",))
    return read_inputs(reading, found.entries.get("inputs"), called=False) if found is not None else {}


def _call(reading: Reading, node: Node | None) -> CallTrigger:
    found = None if node is None else reading.mapping(node, '"workflow_call"', ("inputs", "outputs", "secrets"))
    if found is None:
        return CallTrigger()
    outputs: dict[str, str] = {}
    secrets: dict[str, bool] = {}
    given = found.entries.get("outputs")
    for key, value in reading.entries(given, '"outputs"') if given is not None else ():
        entry = reading.mapping(value, f'the output "{key.text}"', ("value", "description"))
        template = entry.entries.get("value") if entry is not None else None
        text = reading.template(template, "on.workflow_call.outputs.<output_id>.value", f'the output "{key.text}"')
        if text is None:
            reading.problems.error(key, f'the output "{key.text}" needs a "value"')
        outputs[key.text] = text or ""
    given = found.entries.get("secrets")
    for key, value in reading.entries(given, '"secrets"') if given is not None else ():
        entry = (
            None if _empty(value) else reading.mapping(value, f'the secret "{key.text}"', ("required", "description"))
        )
        secrets[key.text] = entry is not None and as_json(entry.entries.get("required", key)) is True
    return CallTrigger(read_inputs(reading, found.entries.get("inputs"), called=True), outputs, secrets)
