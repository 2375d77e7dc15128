"""`tj-actions/changed-files`: which files were changed, as git tells, all together and by groups of patterns."""

import json

from mainstay.runner.actions.call import ActionFailed, Call
from mainstay.runner.actions.paths_filter import changed_paths, fits, named_patterns

REFUSED = ("files_from_source_file", "files_yaml_from_source_file", "since", "until", "path")


async def changed_files(call: Call) -> None:
    """Inputs: files, files_ignore, files_yaml, base_sha, separator, files_separator, json, escape_json.

    Outputs, with NAME_ in front for a group of files_yaml: any_changed, only_changed, all_changed_files and its _count,
    any_modified, all_modified_files, other_changed_files; changed_keys. A removed file counts as changed.
    """
    for name in REFUSED:
        if call.input(name):
            raise ActionFailed(f"the input {name} is not understood here; use files or files_yaml")
    changed = await changed_paths(call, call.input("base_sha"))
    between = call.inputs.get("files_separator") or "\n"
    ignored = [f"!{each}" for each in _lines(call.inputs.get("files_ignore", ""), between)]
    patterns = _lines(call.inputs.get("files", ""), between)
    groups = {"": [*(patterns or ["**"]), *ignored]}
    text = call.inputs.get("files_yaml", "")
    if text.strip():
        groups = {name: [*given, *ignored] for name, given in named_patterns(text, "files_yaml").items()}
    keys = []
    for name, wanted in groups.items():
        files = [path for path in changed if fits(wanted, path, every=False)]
        prefix = f"{name}_" if name else ""
        if files and name:
            keys.append(name)
        others = [path for path in changed if path not in set(files)]
        call.outputs.update(
            {
                f"{prefix}any_changed": str(bool(files)).lower(),
                f"{prefix}any_modified": str(bool(files)).lower(),
                f"{prefix}only_changed": str(bool(files) and not others).lower(),
                f"{prefix}all_changed_files": _joined(call, files),
                f"{prefix}all_changed_files_count": str(len(files)),
                f"{prefix}all_modified_files": _joined(call, files),
                f"{prefix}other_changed_files": _joined(call, others),
            }
        )
        await call.say(f"{name or 'changed files'}: {len(files)} of {len(changed)}")
    call.outputs["changed_keys"] = _joined(call, keys)


def _lines(text: str, between: str) -> list[str]:
    return [each.strip() for each in text.split(between) if each.strip()]


def _joined(call: Call, files: list[str]) -> str:
    if call.flag("json", default=False):
        text = json.dumps(files)
        return text.replace('"', '\\"') if call.flag("escape_json", default=True) else text
    return (call.inputs.get("separator") or " ").join(files)
