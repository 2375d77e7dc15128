"""The contexts and functions that exist, as GitHub documents them."""

from difflib import get_close_matches

CONTEXTS = (
    "github",
    "env",
    "vars",
    "job",
    "jobs",
    "steps",
    "runner",
    "secrets",
    "strategy",
    "matrix",
    "needs",
    "inputs",
)

FUNCTIONS: dict[str, tuple[int, int]] = {
    "contains": (2, 2),
    "startsWith": (2, 2),
    "endsWith": (2, 2),
    "format": (1, 255),
    "join": (1, 2),
    "toJSON": (1, 1),
    "fromJSON": (1, 1),
    "hashFiles": (1, 255),
    "case": (3, 255),
    "success": (0, 0),
    "always": (0, 0),
    "cancelled": (0, 0),
    "failure": (0, 0),
}
"""How many arguments each takes, at least and at most."""

STATUS_FUNCTIONS = frozenset({"success", "always", "cancelled", "failure"})
"""An `if` that names none of them has a `success() &&` in front."""

FUNCTION_BY_LOWER = {name.lower(): name for name in FUNCTIONS}


def suggestion(name: str, known: tuple[str, ...]) -> str:
    """`; did you mean "x"?`, or nothing, and the known names."""
    by_lower = {each.lower(): each for each in known}
    close = get_close_matches(name[:100].lower(), by_lower, n=1, cutoff=0.6)
    meant = f'; did you mean "{by_lower[close[0]]}"?' if close else "."
    return f"{meant} Known are {', '.join(known)}."
