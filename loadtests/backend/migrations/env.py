"""How Alembic gets at the database: the connection, already in a transaction, that `storage` hands over."""

from alembic import context

from loadtests.backend import storage

context.configure(connection=context.config.attributes["connection"], target_metadata=storage.metadata)
context.run_migrations()
