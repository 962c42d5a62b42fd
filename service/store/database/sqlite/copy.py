"""Copy the database of a running server into a new file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from service.core.errors import StartRefused
from service.store.database.sqlite.connections import Sqlite


def copy_database(database: Sqlite, target: Path) -> None:
    """Write the database as it is now into the new file `target`. Raise StartRefused if that fails.

    It reads one snapshot, so writers go on; the log file grows meanwhile, because SQLite keeps what the snapshot needs.
    """
    try:
        with closing(sqlite3.connect(f"{database.file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as error:
        raise StartRefused(f"cannot copy {database.name}: {error}") from error


def check_database(file: Path) -> None:
    """Raise StartRefused if `file` is no sound database."""
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        answer = str(error)
    if answer != "ok":
        raise StartRefused(f"the backup's database is damaged: {answer}")
