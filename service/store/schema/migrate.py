"""Bringing a database to the schema that this code needs, and refusing one that is newer."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from service.core.errors import StartRefused
from service.store.database.protocol import Database


def migrate(database: Database) -> list[str]:
    """Apply what is missing, in one transaction that nobody else can enter; the revisions it now has.

    StartRefused where the database is newer than this code, or is none.
    """
    config = Config()
    config.set_main_option("script_location", str(_migrations()).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    errors: tuple[type[Exception], ...] = (DBAPIError, OSError, *database.errors)
    try:
        with database.migrating() as connection:
            known = {revision.revision for revision in script.walk_revisions()}
            found = set(MigrationContext.configure(connection).get_current_heads())
            if newer := sorted(found - known):
                raise StartRefused(
                    f"{database.name} has schema {', '.join(newer)}, newer than this version of Rungraph knows"
                )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except errors as error:
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise StartRefused(f"cannot use {database.name}: {reason}") from error
    return script.get_heads()


def _migrations() -> Path:
    """In a wheel they lie in the package; in a checkout at its top."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"
