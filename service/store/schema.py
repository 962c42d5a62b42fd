"""Bringing a database to the schema that this code needs, and refusing one that is newer."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from service.core.errors import StartRefused
from service.store.database import Database


def migrate(database: Database) -> list[str]:
    """Apply what is missing, in one transaction that nobody else can enter; the revisions it now has.

    StartRefused where the database is newer than this code, or is none.
    """
    config = Config()
    config.set_main_option("script_location", str(_migrations()).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    engine = create_engine(database.url, poolclass=NullPool, connect_args={"timeout": 30, "isolation_level": None})
    try:
        database.file.parent.mkdir(parents=True, exist_ok=True)
        with engine.connect() as connection:
            connection.exec_driver_sql(database.begin)
            known = {revision.revision for revision in script.walk_revisions()}
            found = set(MigrationContext.configure(connection).get_current_heads())
            if newer := sorted(found - known):
                raise StartRefused(
                    f"{database.file} has schema {', '.join(newer)}, newer than this version of Rungraph knows"
                )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.exec_driver_sql("COMMIT")
    except (DBAPIError, sqlite3.Error, OSError) as error:
        raise StartRefused(f"cannot use {database.file}: {getattr(error, 'orig', None) or error}") from error
    finally:
        engine.dispose()
    return script.get_heads()


def _migrations() -> Path:
    """In a wheel they lie in the package; in a checkout at its top."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"
