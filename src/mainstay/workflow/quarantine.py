"""`.mainstay/quarantine.yml`: tests whose failure is known for a while. Bytes -> entries and all that is wrong."""

import re
from dataclasses import dataclass
from datetime import date

from mainstay.model.plan import Problem, Quarantined
from mainstay.workflow import yaml
from mainstay.workflow.files import Files
from mainstay.workflow.problems import Problems
from mainstay.workflow.reading import Reading

PATHS = (".mainstay/quarantine.yml", ".mainstay/quarantine.yaml")
KEYS = ("test", "reason", "expires", "owner")
MAX_ENTRIES = 500
MAX_TEST = 2000
MAX_WORDS = 500
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Quarantine:
    """What the file says. With an error among its problems it holds no test."""

    entries: tuple[Quarantined, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def broken(self) -> bool:
        """Whether there is an error in it."""
        return any(problem.severity == "error" for problem in self.problems)


def of_files(files: Files) -> Quarantine:
    """The quarantine of a commit; without the file an empty one."""
    there = set(files.paths())
    for path in PATHS:
        if path in there:
            data = files.read(path)
            if data is None:
                problem = Problem("error", "this file cannot be read: it is no regular file, or far too large", path)
                return Quarantine(problems=(problem,))
            return read(path, data)
    return Quarantine()


def read(path: str, data: bytes) -> Quarantine:
    """Read the file. Never raises: whatever is wrong is in its problems."""
    lines: list[str] = []
    try:
        text = yaml.read_text(data)
        lines = text.split("\n")
        document = yaml.parse(text)
    except yaml.BrokenYaml as error:
        problems = Problems(path, lines or data[: yaml.MAX_BYTES].decode("utf-8", "replace").splitlines())
        problems.add("error", error.message, error.line, error.column)
        return Quarantine(problems=problems.all())
    problems = Problems(path, document.lines)
    for second, first in document.doubles:
        problems.error(second, f'the key "{second.text[:80]}" stands twice (first in line {first.line})')
    reading = Reading(problems, ours=True)
    found = reading.mapping(document.root, "the quarantine", ("tests",))
    entries: list[Quarantined] = []
    if found is not None and "tests" in found.entries:
        items = reading.items(found.entries["tests"], '"tests"')
        if len(items) > MAX_ENTRIES:
            problems.error(items[MAX_ENTRIES], f"more than {MAX_ENTRIES} tests in quarantine")
        entries = [entry for item in items[:MAX_ENTRIES] if (entry := _entry(reading, item)) is not None]
    elif found is not None:
        problems.error(found, 'the key "tests" is missing: it lists the tests in quarantine')
    return Quarantine(() if problems.failed else tuple(entries), problems.all())


def _entry(reading: Reading, node: yaml.Node) -> Quarantined | None:
    found = reading.mapping(node, "a test in quarantine", KEYS)
    if found is None:
        return None
    values: dict[str, str] = {}
    for key in KEYS:
        if key not in found.entries:
            if key != "owner":
                reading.problems.error(found, _MISSING[key])
            continue
        at = found.entries[key]
        text = at.text.strip() if isinstance(at, yaml.Scalar) else None
        most = MAX_TEST if key == "test" else MAX_WORDS
        if not text:
            reading.problems.error(at, f'"{key}" must be a text')
        elif len(text) > most:
            reading.problems.error(at, f'"{key}" has more than {most} characters')
        elif key == "expires" and not _is_day(text):
            reading.problems.error(at, f'"expires" must be a day (2026-12-31), not "{text[:40]}"')
        elif key == "test" and not text.strip("*"):
            reading.problems.error(at, '"test" fits every test: name those that are in quarantine')
        else:
            values[key] = text
    if not values.keys() >= {"test", "reason", "expires"}:
        return None
    return Quarantined(
        values["test"], values["reason"], values["expires"], values.get("owner"), reading.problems.path, found.line
    )


_MISSING = {
    "test": 'the key "test" is missing: the name of a test, or a part of it with *',
    "reason": 'the key "reason" is missing: say why its failure may be passed over',
    "expires": 'the key "expires" is missing: the last day on which its failure may be passed over',
}


def _is_day(text: str) -> bool:
    try:
        return DAY.fullmatch(text) is not None and bool(date.fromisoformat(text))
    except ValueError:
        return False
