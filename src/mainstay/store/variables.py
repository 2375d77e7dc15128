"""Variables: plain values by place and name."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import bindparam, delete, func, or_, select

from mainstay.model.secret import Place, Variable
from mainstay.store.database import Tx
from mainstay.store.dialect import upsert
from mainstay.store.schema import variables
from mainstay.store.secrets import in_order

# Made once: building a statement takes longer than running it.
_at_places = select(variables).where(variables.c.place.in_(bindparam("places", expanding=True)))


def _variable(row: Any) -> Variable:
    return Variable(row.name, Place(row.repository_id, row.environment), row.value, row.updated_by, row.updated_at)


def put(tx: Tx, variable: Variable) -> None:
    """Set a variable, in place of one that is there."""
    changed = [variables.c.value, variables.c.environment, variables.c.updated_by, variables.c.updated_at]
    values = {
        "place": variable.place.key,
        "name": variable.name,
        "repository_id": variable.place.repository_id,
        "environment": variable.place.environment,
        "value": variable.value,
        "updated_by": variable.updated_by,
        "updated_at": variable.updated_at,
    }
    tx.conn.execute(upsert(tx, variables, [variables.c.place, variables.c.name], changed), values)


def remove(tx: Tx, place: Place, name: str) -> bool:
    """Whether there was one."""
    gone = delete(variables).where(variables.c.place == place.key, variables.c.name == name)
    return tx.conn.execute(gone).rowcount > 0


def listed(tx: Tx, repository_id: int | None) -> list[Variable]:
    """Those of a repository with its environments, and those of all repositories; None: only the latter."""
    mine = variables.c.repository_id.is_(None)
    query = select(variables).where(
        mine if repository_id is None else or_(mine, variables.c.repository_id == repository_id)
    )
    return sorted((_variable(row) for row in tx.conn.execute(query)), key=in_order)


def count_at(tx: Tx, place: Place) -> int:
    """How many are set at a place."""
    return tx.conn.execute(select(func.count()).where(variables.c.place == place.key)).scalar_one()


def has(tx: Tx, place: Place, name: str) -> bool:
    """Whether it is set at that place."""
    query = select(variables.c.name).where(variables.c.place == place.key, variables.c.name == name)
    return tx.conn.execute(query).first() is not None


def nearest(tx: Tx, places: Iterable[Place]) -> dict[str, str]:
    """The values that hold for a job at these places, by name."""
    rows = [_variable(row) for row in tx.conn.execute(_at_places, {"places": [place.key for place in places]})]
    return {each.name: each.value for each in sorted(rows, key=lambda each: each.place.rank)}


def forget(tx: Tx, repository_id: int) -> None:
    """Delete all of a repository."""
    tx.conn.execute(delete(variables).where(variables.c.repository_id == repository_id))
