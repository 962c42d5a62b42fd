"""Alembic's entry: inside the transaction that the store has opened, or on a URL of its own for developers."""

from alembic import context
from sqlalchemy import create_engine

from service.settings import Settings
from service.store.database import Database, Ownership
from service.store.tables import metadata

connection = context.config.attributes.get("connection")
if connection is not None:
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
    context.run_migrations()
else:
    database = Database.at(Settings.from_environment().database_url)
    ownership = Ownership.take(database, "alembic")
    with create_engine(database.url).begin() as connection:
        context.configure(connection=connection, target_metadata=metadata)
        context.run_migrations()
    ownership.release()
