"""Alembic's entry point; glasshead.store.migrate hands the connection over."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=False)
context.run_migrations()
