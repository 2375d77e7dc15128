"""Plans, stored once per digest of their JSON, and kept in memory while they are in use."""

import hashlib

import msgspec
from sqlalchemy import select

from mainstay.model.errors import NotFound
from mainstay.model.plan import Plan
from mainstay.store.database import Tx
from mainstay.store.dialect import insert_ignore
from mainstay.store.schema import builds, plans

_by_digest: dict[str, Plan] = {}


def _remember(digest: str, plan: Plan) -> None:
    if len(_by_digest) >= 512:
        _by_digest.pop(next(iter(_by_digest)))
    _by_digest[digest] = plan


def keep(tx: Tx, plan: Plan) -> str:
    """Store a plan and give its digest (SHA-256, hex)."""
    body = msgspec.json.encode(plan)
    digest = hashlib.sha256(body).hexdigest()
    tx.conn.execute(insert_ignore(tx, plans), {"digest": digest, "body": msgspec.Raw(body)})
    return digest


def get(tx: Tx, digest: str) -> Plan:
    """A plan by its digest."""
    if digest not in _by_digest:
        body = tx.conn.execute(select(plans.c.body).where(plans.c.digest == digest)).scalar()
        if body is None:
            raise NotFound(f"there is no plan with the digest {digest}")
        _remember(digest, msgspec.convert(body, Plan))
    return _by_digest[digest]


def of_build(tx: Tx, build_id: int) -> Plan:
    """The plan of a build."""
    digest = tx.conn.execute(select(builds.c.plan).where(builds.c.id == build_id)).scalar()
    if digest is None:
        raise NotFound(f"there is no build with the id {build_id}")
    return get(tx, digest)
