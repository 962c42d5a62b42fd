"""Alembic's entry point: runs in the transaction that the store has opened, or for developers on the configured URL."""

from alembic import context

from service.settings import Settings
from service.store.database.opening import database_at
from service.store.schema.models import metadata


def run(connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
    context.run_migrations()


connection = context.config.attributes.get("connection")
if connection is not None:
    run(connection)
else:
    database = database_at(Settings.from_environment().database_url)
    ownership = database.own("alembic")
    with database.migrating() as connection:
        run(connection)
    ownership.release()
