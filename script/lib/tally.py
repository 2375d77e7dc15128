"""Adds up JUnit files and prints one line, `N passed, N failed, N skipped`: what script/test closes with."""

import sys
from pathlib import Path
from xml.etree import ElementTree


def tally(paths: list[Path]) -> str:
    """The line for all files together. A file that cannot be read counts as one failure."""
    total = failed = skipped = 0
    for path in paths:
        try:
            suites = list(ElementTree.parse(path).getroot().iter("testsuite"))  # noqa: S314 (written by our own pytest)
        except (OSError, ElementTree.ParseError) as error:
            print(f"{path.name} cannot be read: {error}", file=sys.stderr)
            total, failed = total + 1, failed + 1
            continue
        for suite in suites:
            total += int(suite.get("tests", 0))
            failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped += int(suite.get("skipped", 0))
    return f"{total - failed - skipped} passed, {failed} failed, {skipped} skipped"


if __name__ == "__main__":
    print(tally([Path(name) for name in sys.argv[1:]]))
