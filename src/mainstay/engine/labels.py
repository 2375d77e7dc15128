"""What `runs-on` means on this server: the table that an administrator set, or the built-in one.

A job is given its labels when it becomes ready and keeps them: a change counts for jobs that come after it.
"""

from collections.abc import Sequence

from mainstay.engine.clock import Clock
from mainstay.model.events import Event, EventKind
from mainstay.model.person import Actor
from mainstay.store import audit, events, settings
from mainstay.store.database import Database, Tx
from mainstay.workflow.labels import TABLE, Rule, checked

NAME = "labels"
"""Of the setting: a list of rules. Without it the built-in table counts."""


def table(tx: Tx) -> tuple[Rule, ...]:
    """The table that counts now."""
    found = own(tx)
    return TABLE if found is None else found


def own(tx: Tx) -> tuple[Rule, ...] | None:
    """The table that an administrator set; None: the built-in one counts."""
    found = settings.get(tx, NAME)
    return None if found is None else tuple(Rule(each[0], tuple(each[1]), each[2]) for each in found)


class Labels:
    """The table, for those who look at it and change it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def put(self, actor: Actor, rules: Sequence[Rule] | None) -> None:
        """Set the whole table; None: the built-in one again. Raises BadInput for what can mean nothing."""
        new = None if rules is None else checked(rules)

        def write(tx: Tx) -> None:
            now, before = self._clock.now(), table(tx)
            if new is None:
                settings.remove(tx, NAME)
            else:
                settings.put(tx, NAME, [[rule.pattern, list(rule.labels), rule.elsewhere] for rule in new])
            verb = "reset" if new is None else "set"
            detail = changes(before, TABLE if new is None else new)
            audit.add(tx, actor, f"labels.{verb}", "labels of runs-on", now, detail=detail)
            words = f"the table of labels was {verb} by {actor}"
            events.add(tx, [Event(EventKind.SERVER_CHANGED, now, words, actor=actor.name)])

        await self._database.write(write)


def changes(before: Sequence[Rule], after: Sequence[Rule]) -> str:
    """What is different, in words: rules that are gone, then those that are new."""
    gone = [f"- {said(rule)}" for rule in before if rule not in after]
    new = [f"+ {said(rule)}" for rule in after if rule not in before]
    return "; ".join((*gone, *new)) or ("the same rules in another order" if tuple(before) != tuple(after) else "")


def said(rule: Rule) -> str:
    """A rule in words."""
    return f"{rule.pattern} -> {', '.join(rule.labels) or 'any runner'}"
