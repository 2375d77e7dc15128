"""How long what is kept. The rules are on by default and shown to everybody."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Rules:
    """Days after which something is deleted; None: never. Builds that are open are never touched."""

    builds_days: int | None = 365
    logs_days: int | None = 90
    artifacts_days: int | None = 30
    tests_days: int | None = 365
    events_days: int | None = 365
    removed_repositories_days: int | None = 7
    reports_days: int | None = 90
    audit_days: int | None = 730


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The moments before which something may be deleted; None: keep all."""

    builds: datetime | None
    logs: datetime | None
    artifacts: datetime | None
    tests: datetime | None
    events: datetime | None
    removed_repositories: datetime | None
    reports: datetime | None
    audit: datetime | None


def deadlines(rules: Rules, now: datetime) -> Deadlines:
    """What the rules mean at this moment."""

    def before(days: int | None) -> datetime | None:
        return None if days is None else now - timedelta(days=days)

    return Deadlines(
        before(rules.builds_days),
        before(rules.logs_days),
        before(rules.artifacts_days),
        before(rules.tests_days),
        before(rules.events_days),
        before(rules.removed_repositories_days),
        before(rules.reports_days),
        before(rules.audit_days),
    )
