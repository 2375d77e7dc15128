"""`dorny/paths-filter`: which groups of files were changed, as git tells."""

import json
import shlex

from mainstay.model.plan import Json
from mainstay.runner import below
from mainstay.runner.actions.call import ActionFailed, Call
from mainstay.workflow import yaml
from mainstay.workflow.globs import Filter, GlobError

NONE = "0" * 40


async def paths_filter(call: Call) -> None:
    """Inputs: filters (YAML, or a file with it), base, list-files, predicate-quantifier.

    Outputs: per filter `true` or `false` and NAME_count, NAME_files; `changes`, a JSON list of the names.
    """
    filters = _filters(call)
    changed = await changed_paths(call, call.input("base"))
    listing = call.input("list-files", "none")
    every = call.input("predicate-quantifier", "some") == "every"
    hits = []
    for name, patterns in filters.items():
        files = [path for path in changed if fits(patterns, path, every=every)]
        call.outputs.update({name: str(bool(files)).lower(), f"{name}_count": str(len(files))})
        if listing != "none":
            call.outputs[f"{name}_files"] = _listed(files, listing)
        if files:
            hits.append(name)
        await call.say(f"{name}: {len(files)} of {len(changed)} changed files")
    call.outputs["changes"] = json.dumps(hits)


def _filters(call: Call) -> dict[str, list[str]]:
    text = call.inputs.get("filters", "")
    if text.strip() and "\n" not in text.strip() and ":" not in text:
        try:
            text = below.text(call.place.work, call.place.work / text.strip())
        except (OSError, ValueError) as error:
            raise ActionFailed(f"the file of filters cannot be read: {error}") from None
    return named_patterns(text, "filters")


def named_patterns(text: str, what: str) -> dict[str, list[str]]:
    """Names with lists of patterns, as YAML. Raises ActionFailed."""
    try:
        found = yaml.as_json(yaml.parse(text).root)
    except yaml.BrokenYaml as error:
        raise ActionFailed(f"{what}, line {error.line}: {error.message}") from None
    if not isinstance(found, dict):
        raise ActionFailed(f"{what} must be names with lists of patterns")
    return {str(name): [str(each) for each in _flat(value)] for name, value in found.items()}


def _flat(value: Json) -> list[Json]:
    if isinstance(value, list):
        return [each for item in value for each in _flat(item)]
    if isinstance(value, dict):  # `added|modified: pattern`: the kind of change is not looked at
        return [each for item in value.values() for each in _flat(item)]
    return [value]


def fits(patterns: list[str], path: str, *, every: bool) -> bool:
    """Whether a path is meant by the patterns: by one of them (a later `!` takes it away), or by every one."""
    try:
        if every:
            return all(Filter([pattern]).matches(path) for pattern in patterns)
        return Filter(patterns).matches(path)
    except GlobError as error:
        raise ActionFailed(f"filters: {error}") from None


async def changed_paths(call: Call, base: str) -> list[str]:
    """The files that differ from the base: the pushed-from commit, the pull request's base, or the commit before."""
    event = call.situation.contexts["github"]["event"]
    before = event.get("before") if isinstance(event, dict) else None
    pull = event.get("pull_request", {}).get("base", {}).get("sha") if isinstance(event, dict) else None
    tries = [base, f"origin/{base}" if base else "", pull, before if before != NONE else "", "HEAD^"]
    for start in filter(None, tries):
        span = f"{start}...HEAD" if start in (base, f"origin/{base}", pull) else f"{start}..HEAD"
        code, text = await call.programs.read(
            ["git", "diff", "--no-renames", "--name-only", "-z", "--end-of-options", span, "--"]
        )
        if code == 0:
            return [path for path in text.split("\0") if path]
    code, text = await call.programs.read(["git", "ls-files", "-z"])  # the first commit of all: everything is new
    return [path for path in text.split("\0") if path] if code == 0 else []


def _listed(files: list[str], how: str) -> str:
    match how:
        case "json":
            return json.dumps(files)
        case "csv":
            return ",".join(files)
        case "shell" | "escape":
            return shlex.join(files)
        case _:
            raise ActionFailed(f"list-files is none, json, csv, shell or escape, not {how!r}")
