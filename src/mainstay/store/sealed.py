"""Everything that lies sealed in the database, to be sealed anew with another key. What is sealed stands here."""

from collections.abc import Callable

from sqlalchemy import select, update

from mainstay.model.secret import Place
from mainstay.store import channels as channels_store
from mainstay.store import repositories as repositories_store
from mainstay.store import secrets as secrets_store
from mainstay.store.database import Tx
from mainstay.store.schema import channels, repositories, secrets, webhook_secrets


def reseal(tx: Tx, again: Callable[[bytes, str], bytes]) -> int:
    """Put what `again` makes of every sealed value and its context in its place; give how many there were."""
    count = 0
    for row in tx.conn.execute(select(secrets)).all():
        context = secrets_store.context_of(Place(row.repository_id, row.environment), row.name)
        where = update(secrets).where(secrets.c.place == row.place, secrets.c.name == row.name)
        tx.conn.execute(where.values(sealed=again(row.sealed, context)))
        count += 1
    for row in tx.conn.execute(select(webhook_secrets)).all():
        where = update(webhook_secrets).where(webhook_secrets.c.repository_id == row.repository_id)
        tx.conn.execute(where.values(sealed=again(row.sealed, secrets_store.webhook_context(row.repository_id))))
        count += 1
    keys = select(repositories.c.id, repositories.c.key_sealed).where(repositories.c.key_sealed.is_not(None))
    for row in tx.conn.execute(keys).all():
        sealed = again(row.key_sealed, repositories_store.key_context(row.id))
        tx.conn.execute(update(repositories).where(repositories.c.id == row.id).values(key_sealed=sealed))
        count += 1
    for row in tx.conn.execute(select(channels.c.id, channels.c.target_sealed, channels.c.secret_sealed)).all():
        context = channels_store.target_context(row.id)
        secret = None if row.secret_sealed is None else again(row.secret_sealed, context)
        channels_store.set_target(tx, row.id, again(row.target_sealed, context), secret)
        count += 1 if secret is None else 2
    return count
