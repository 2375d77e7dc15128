"""GitHub's two pattern languages: filters of branches, tags and paths, and file globs (hashFiles, artifacts)."""

from collections.abc import Iterable, Sequence

from mainstay.model.errors import BadInput


class GlobError(BadInput):
    """A pattern that cannot be read; the message quotes it and says what is wrong."""

    code = "bad-pattern"


class Filter:
    """`branches: [...]`, `tags`, `paths` and their `-ignore` forms: patterns in order, `!` takes out again."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raises GlobError."""
        raise NotImplementedError

    def matches(self, name: str) -> bool:
        """Whether the last pattern that fits `name` (a branch, tag or path, without `refs/heads/`) is one without `!`."""
        raise NotImplementedError

    def matches_any(self, names: Iterable[str]) -> bool:
        """Whether it matches one of them: `paths`."""
        raise NotImplementedError

    def matches_all(self, names: Iterable[str]) -> bool:
        """Whether it matches every one of them (and there is one): then `paths-ignore` skips the workflow."""
        raise NotImplementedError


def select_files(patterns: Sequence[str], paths: Iterable[str]) -> tuple[str, ...]:
    """Those of `paths` (relative to the workspace, `/` between parts) that the globs choose, in the order given.

    @actions/glob: `*`, `?`, `[]`, `**`, a later pattern wins, `!` takes out, `#` lines are remarks, a pattern that names a
    folder chooses everything below it. Raises GlobError.
    """
    raise NotImplementedError
