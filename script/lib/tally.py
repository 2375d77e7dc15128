"""Adds up JUnit files and prints one line, `N passed, N failed, N skipped`: what script/test closes with.

A test that stands in several files counts once, as the last of them has it; one that failed before and passed in the
end is named in a line of its own. With `--failed` only the number of failed tests is printed.
"""

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree


def outcomes(path: Path) -> dict[str, str]:
    """The outcome of each test of one file. A file that cannot be read counts as one failure."""
    try:
        cases = list(ElementTree.parse(path).getroot().iter("testcase"))  # noqa: S314 (written by our own pytest)
    except (OSError, ElementTree.ParseError) as error:
        print(f"{path.name} cannot be read: {error}", file=sys.stderr)
        return {path.name: "failed"}
    found: dict[str, str] = {}
    for case in cases:
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        if case.find("failure") is not None or case.find("error") is not None:
            found[name] = "failed"
        elif found.get(name) != "failed":  # an error at its end stands beside its outcome
            found[name] = "skipped" if case.find("skipped") is not None else "passed"
    return found


def main(arguments: list[str]) -> None:
    """Print what the files say."""
    only_failed = "--failed" in arguments
    last: dict[str, str] = {}
    flaky: list[str] = []
    for path in [Path(each) for each in arguments if not each.startswith("--")]:
        found = outcomes(path)
        flaky += [name for name, outcome in found.items() if outcome == "passed" and last.get(name) == "failed"]
        last |= found
    count = Counter(last.values())
    if only_failed:
        print(count["failed"])
        return
    for name in flaky:
        print(f"flaky: {name} failed beside other tests and passed alone")
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")


if __name__ == "__main__":
    main(sys.argv[1:])
