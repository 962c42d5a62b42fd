"""Notices if another program gives the database other content, as `.restore` of the `sqlite3` program does.

Such a program writes through SQLite and takes its locks, so the files stay the same (see `file_watch`). But it copies
the header of the other database, with the number that SQLite keeps for applications, `user_version`. The writer changes
this number every CHANGE_S while it writes. If the writer finds a number that it has not written, the content comes from
another database, or from an older copy of this one. Ordinary writes of other programs, new indexes and VACUUM keep the
number.
"""

from __future__ import annotations

import secrets
import sqlite3
import time

CHANGE_S = 0.1
"""How often the number changes. A change writes a page. A copy that was made in the last CHANGE_S before a commit may
have the number of that commit, and is then not noticed."""


class ContentMark:
    """The number in the header of one database, as the writer knows it."""

    def __init__(self) -> None:
        self._written: set[int] = set()
        """The last number that was committed and, if the outcome is unknown, the one that should replace it."""
        self._changes = 0
        """How many rows the connection had changed at the last change of the number."""
        self._change_at = 0.0

    def is_there(self, connection: sqlite3.Connection) -> bool:
        """Return whether the database still has the content that this writer knows. The first call accepts any."""
        (number,) = connection.execute("PRAGMA user_version").fetchone()
        if self._written and number not in self._written:
            return False
        self._written = {number}
        return True

    def change_if_due(self, connection: sqlite3.Connection) -> None:
        """Change the number if CHANGE_S have passed and something was written since the last change of the number.

        The open transaction must have begun with `is_there`.
        """
        if time.monotonic() >= self._change_at and connection.total_changes != self._changes:
            self._change(connection)

    def _change(self, connection: sqlite3.Connection) -> None:
        number = 1 + secrets.randbelow(2**31 - 1)
        connection.execute(f"PRAGMA user_version = {number}")
        self._written.add(number)
        self._changes = connection.total_changes
        self._change_at = time.monotonic() + CHANGE_S
