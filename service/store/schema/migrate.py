"""Bring a database to the schema that this code needs, and refuse one that is newer.

Importing Alembic takes longer than everything else that a start does with the database, so it is imported only where
there is a revision to apply.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError

from service.core.errors import StartRefused
from service.store.database.protocol import Database


def migrate(database: Database) -> list[str]:
    """Apply the missing revisions in one transaction under a lock, and return the revisions that the database then has.

    Raise StartRefused if the database is newer than this code, or cannot be used.
    """
    known = revisions()
    head = known[-1]
    errors: tuple[type[Exception], ...] = (DBAPIError, OSError, *database.errors)
    try:
        with database.migrating() as connection:
            found = _applied(connection)
            if newer := sorted(found - set(known)):
                raise StartRefused(
                    f"{database.name} has schema {', '.join(newer)}, newer than this version of Rungraph knows"
                )
            if found != {head}:
                _upgrade(connection)
    except errors as error:
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise StartRefused(f"cannot use {database.name}: {reason}") from error
    return [head]


def revisions() -> list[str]:
    """Return the ids of all revisions, oldest first. A revision's file is called `ID_name.py`, and ids sort by age."""
    return sorted(file.name.partition("_")[0] for file in (_migrations() / "versions").glob("[0-9]*_*.py"))


def _applied(connection: Connection) -> set[str]:
    """Return the revisions that the database has: one, or none if it is new."""
    if not inspect(connection).has_table("alembic_version"):
        return set()
    return {version for (version,) in connection.exec_driver_sql("SELECT version_num FROM alembic_version")}


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_migrations()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _migrations() -> Path:
    """Return the folder of the migrations: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"
