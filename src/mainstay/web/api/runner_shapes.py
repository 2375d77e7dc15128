"""The JSON of what `runs-on` means and of local runners. Like `shapes`, of which it is a part."""

from typing import Annotated

from msgspec import Meta, Struct

from mainstay.web.api.shapes import Time
from mainstay.workflow.labels import MAX_RULES

Name = Annotated[str, Meta(max_length=200)]


class LabelRule(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the table of labels: the first whose pattern fits a name of `runs-on` counts."""

    pattern: Name
    """`*` stands for any signs, `?` for one; in lower case."""
    labels: Annotated[list[Name], Meta(max_length=100)]
    """What a runner must offer in its place; empty: any runner will do."""
    neutral: Annotated[str, Meta(max_length=1000)] | None = None
    """Why a job is neutral while no runner offers the labels; null: it waits for one."""


class LabelTable(Struct, frozen=True):
    """What names in `runs-on` mean."""

    rules: list[LabelRule]
    built_in: bool
    """Whether nobody has set another table."""


class LabelTableAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole table, in the order in which it counts."""

    rules: Annotated[list[LabelRule], Meta(max_length=MAX_RULES)] | None
    """null: the built-in table again."""


class FailingRunner(Struct, frozen=True):
    """A local runner that does not start."""

    name: str
    times: int
    """How often in a row."""
    reason: str
    """Of the last time."""
    failed_at: Time
    next_at: Time
    """When it is started again."""
