"""Alembic's entry: inside the transaction that the store has opened, or on a URL of its own for developers."""

from alembic import context
from sqlalchemy import create_engine

from service.settings import Settings
from service.store.database import Database
from service.store.tables import metadata

connection = context.config.attributes.get("connection")
if connection is not None:
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
    context.run_migrations()
else:
    with create_engine(Database.at(Settings.from_environment().database_url).url).begin() as connection:
        context.configure(connection=connection, target_metadata=metadata)
        context.run_migrations()
