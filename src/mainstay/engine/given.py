"""What a job is given of secrets and variables when it goes to a runner: the nearest value of each, and no more.

Only jobs of trusted builds are given secrets, and each only those that its expressions mention.
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

import msgspec

from mainstay.model.plan import Plan, PlannedJob
from mainstay.model.secret import TOKEN, Place, Secret
from mainstay.store import secrets, variables
from mainstay.store.builds import BuildRow
from mainstay.store.database import Tx
from mainstay.store.seal import CannotOpen, Seal
from mainstay.store.secrets import Sealed, context_of
from mainstay.workflow import mentions
from mainstay.workflow.mentions import Mentions


@dataclass(frozen=True, slots=True)
class Given:
    """Values by name."""

    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    """What people should know: which secrets are mentioned and not set."""
    refused: str | None = None
    """Why the job cannot run: a secret cannot be opened."""


class Values:
    """Reads what is set, each place once, within one transaction."""

    def __init__(self, tx: Tx, seal: Seal | None, now: datetime) -> None:
        """`seal` None: nothing is opened, and every secret is as if it were not set."""
        self._tx = tx
        self._seal = seal
        self._now = now
        self._sealed: dict[str, list[Sealed]] = {}
        self._used: set[tuple[str, str]] = set()

    def of_job(self, row: BuildRow, plan: Plan, job: PlannedJob, environment: str | None, token: str) -> Given:
        """What this job is given; `token` is its own, for `secrets.GITHUB_TOKEN`."""
        wanted = _of_job(_Keyed(row.plan, job.key, plan, job))
        if wanted is mentions.NONE:
            return Given()
        places = [Place(), Place(row.repository_id)]
        if environment is not None:
            places.append(Place(row.repository_id, environment))
        values = variables.nearest(self._tx, places) if wanted.variables else {}
        if not wanted.any_secret:
            return Given(values)
        own = {TOKEN: token} if wanted.all_secrets or TOKEN in wanted.secrets else {}
        named = wanted.secrets - {TOKEN}
        if not wanted.all_secrets and not named:
            return Given(values, own)
        if not row.trusted:
            notice = "secrets are given to trusted builds only, and this one is not: those it mentions are empty"
            return Given(values, own, (notice,))
        found = self._nearest(places)
        chosen = found if wanted.all_secrets else {name: found[name] for name in sorted(named & found.keys())}
        try:
            opened = {name: self._open(each) for name, each in chosen.items()}
        except CannotOpen as error:
            return Given(values, own, refused=error.message)
        self._mark(each.secret for each in chosen.values())
        return Given(values, opened | own, _notices(row.repository, sorted(named - found.keys()), environment))

    def _nearest(self, places: list[Place]) -> dict[str, Sealed]:
        if self._seal is None:
            return {}
        unread = [place for place in places if place.key not in self._sealed]
        if unread:
            read = secrets.at_places(self._tx, unread)
            self._sealed.update({place.key: read.get(place.key, []) for place in unread})
        return {each.secret.name: each for place in places for each in self._sealed[place.key]}

    def _mark(self, used: Iterable[Secret]) -> None:
        fresh = [each for each in used if (each.place.key, each.name) not in self._used]
        self._used.update((each.place.key, each.name) for each in fresh)
        secrets.mark_used(self._tx, fresh, self._now)

    def _open(self, sealed: Sealed) -> str:
        assert self._seal is not None
        secret: Secret = sealed.secret
        return self._seal.open(sealed.value, context_of(secret.place, secret.name)).decode()


def variables_of(tx: Tx, row: BuildRow, plan: Plan) -> dict[str, str]:
    """What the keys of jobs see of variables on the server, before an environment is known."""
    if not _may_name_variables(_Keyed(row.plan, "", plan, None)):
        return {}
    return variables.nearest(tx, (Place(), Place(row.repository_id)))


def _notices(repository: str, missing: list[str], environment: str | None) -> tuple[str, ...]:
    if not missing:
        return ()
    there = f" --environment {shlex.quote(environment)}" if environment else ""
    set_it = f"mainstay secret set {repository} {missing[0]}{there}"
    if len(missing) == 1:
        return (f"the secret {missing[0]} is mentioned and not set, so it is empty; set it with: {set_it}",)
    names = ", ".join(missing[:20]) + (f" and {len(missing) - 20} more" if len(missing) > 20 else "")
    return (f"these secrets are mentioned and not set, so they are empty: {names}; set one with: {set_it}",)


@dataclass(frozen=True, slots=True)
class _Keyed:
    """A plan's job by the plan's digest: equal when those are, so that what was worked out can be remembered."""

    digest: str
    key: str
    plan: Plan = field(compare=False)
    job: PlannedJob | None = field(compare=False)


@lru_cache(maxsize=1024)
def _of_job(keyed: _Keyed) -> Mentions:
    assert keyed.job is not None
    found = mentions.of_job(keyed.plan, keyed.job)
    return mentions.NONE if found == mentions.NONE else found


@lru_cache(maxsize=512)
def _may_name_variables(keyed: _Keyed) -> bool:
    """Whether the word stands anywhere. Reading all expressions of 256 jobs would take 50 ms of a push's way."""
    return b"vars" in msgspec.json.encode(keyed.plan).lower()
