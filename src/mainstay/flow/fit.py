"""Whether any runner could take a job, and the words for it when none can."""

from collections.abc import Collection, Iterable


def missing(labels: Collection[str], offered: Iterable[frozenset[str]]) -> str | None:
    """Why no runner fits, or None when one does. `offered` are the label sets of the runners that are there."""
    wanted = frozenset(labels)
    there = list(offered)
    if not there:
        return "no runner is connected"
    if any(wanted <= each for each in there):
        return None
    nobody = sorted(wanted - frozenset().union(*there))
    if nobody:
        word = "label" if len(nobody) == 1 else "labels"
        return f"no connected runner has the {word} {', '.join(nobody)}"
    return f"no connected runner has all of the labels {', '.join(sorted(wanted))}"
