"""Another content in the SQLite file is noticed, however busy the server is."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from service.store.database.sqlite import file_watch
from service.store.database.sqlite.connections import Sqlite
from service.store.database.sqlite.file_watch import FileLost

COMMITS_AFTER = 1000
# A process of its own, as in life: a close would drop the locks of this one.
BACK_UP = "import sqlite3, sys\nwith sqlite3.connect(sys.argv[1]) as one, sqlite3.connect(sys.argv[2]) as two:\n    "
COPY, RESTORE = BACK_UP + "one.backup(two)", BACK_UP + "two.backup(one)"


def test_a_copy_restored_under_a_busy_writer_is_noticed(file: Sqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_watch, "FRESH_S", 1e9)  # A busy writer seldom finds that its last look is too old.
    copy = str(file.file) + ".copy"

    def write() -> None:
        file.begin(connection)
        connection.execute("UPDATE limits SET started = started + 1")
        file.commit(connection, connection.cursor(), ())

    def mark() -> int:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])

    def write_until(restoring: subprocess.Popen[bytes]) -> None:
        """Write until the other program has ended, and a while longer."""
        after = 0
        while after < COMMITS_AFTER:
            after += restoring.poll() is not None
            time.sleep(0.001)  # A writer that never lets go of its lock lets no other program in.
            try:
                write()
            except sqlite3.OperationalError as error:
                if not file.is_locked(error):
                    raise

    with closing(file.connect_writer()) as connection:
        connection.execute(
            "INSERT INTO limits (name, max, started, created_at, changed_at) VALUES ('l', 1, 0, '2026', '2026')"
        )
        write()
        subprocess.run([sys.executable, "-c", COPY, str(file.file), copy], check=True)
        marked = mark()
        while mark() == marked:
            write()
        with subprocess.Popen([sys.executable, "-c", RESTORE, str(file.file), copy]) as restoring:
            with pytest.raises(FileLost, match="other content"):
                write_until(restoring)
            assert not connection.in_transaction
            assert restoring.wait(60) == 0
