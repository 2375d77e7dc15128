"""Alembic runs this file for every command; it is given the connection and its open transaction by `upgrade`."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
