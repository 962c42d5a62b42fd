"""Checkpoints: copies SQLite's log into the database file, and ends the process if a sync fails.

SQLite itself would checkpoint within a COMMIT, and would not report a failure. Instead the writer does it after its
answers (`make`), and once more when it closes (`finish`).

A failed sync ends the process. The kernel forgets which pages it could not write, so the next sync succeeds without
them. If a log is copied in several parts, SQLite syncs only the last part and never copies the others again. A new
process reads the log from its beginning, and then it is known again what is on disk: see "Can Applications Recover from
fsync Failures?" (USENIX ATC 2020). PostgreSQL has done the same since 2018.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from service.store.database.sqlite.file_watch import FileLost, FileWatch, Index

logger = logging.getLogger(__name__)

LOG_BYTES = 1_000 * 4_096
"""A log of this length is checkpointed: as many pages as by SQLite's default for `wal_autocheckpoint`."""
LOG_BYTES_MAX = LOG_BYTES * 5 // 4
"""A log that has become longer, during a long read or by a huge commit, is truncated once nobody reads it."""
RETRY_S = 1.0
"""How long to wait between two tries of a checkpoint that a reader of the log keeps incomplete."""

_FATAL = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})
_FATAL_IN_CHECKPOINT = _FATAL | {sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_TRUNCATE}


class Checkpoints:
    """Makes the checkpoints of the file that `watch` watches, on the writer's connection."""

    def __init__(self, watch: FileWatch) -> None:
        self._watch = watch
        self._frames_max = 0
        self._due_at = 0
        """How many frames the log must have before the next checkpoint is due."""
        self._salts = b""
        self._is_behind = False
        """Whether the last checkpoint was incomplete."""
        self._retry_at = 0.0
        self._tried_on = (b"", 0)
        """The salts and the number of frames of the log when `_is_idle` was last asked."""
        self._is_rescued = False

    def begin(self, connection: sqlite3.Connection) -> None:
        """Take over the log that `connection` has opened. Another process may have left something in it."""
        ((page_size,),) = connection.execute("PRAGMA page_size")
        self._frames_max = self._due_at = LOG_BYTES // page_size
        # A log that restarts is truncated to this length.
        connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES_MAX}")
        connection.execute("BEGIN IMMEDIATE")  # Keeps others from writing to the log.
        try:
            if frames := self._watch.index().frames:
                _write_again(self._watch.log, frames * (page_size + 24) + 32)
                self._watch.forget_backfill()
            lengthen(connection, self._watch.log)
        except OSError as error:
            raise sqlite3.OperationalError(f"cannot write {self._watch.log}: {error.strerror}") from error
        finally:
            connection.rollback()

    def is_due(self, index: Index) -> bool:
        if index.salts != self._salts:
            self._salts, self._due_at = index.salts, self._frames_max
        return index.frames >= self._due_at

    def are_due(self, index: Index) -> bool:
        """Return whether `make` has something to do after a commit that left the log at `index`."""
        return self.is_due(index) or (self._watch.log_size > LOG_BYTES_MAX and time.monotonic() >= self._retry_at)

    def make(self, connection: sqlite3.Connection) -> float | None:
        """Checkpoint if that is due. End the process if a sync or a write fails.

        Return the number of seconds until another try, or None if none is needed.
        """
        if self._watch.lost:
            return self.rescue(connection)
        is_long = self._watch.log_size > LOG_BYTES_MAX
        left_s = self._retry_at - time.monotonic()
        if not (self.is_due(self._watch.seen) or ((is_long or self._is_behind) and left_s <= 0)):
            return left_s if is_long or self._is_behind else None
        self._due_at = self._watch.seen.frames + self._frames_max // 4
        self._retry_at = time.monotonic() + RETRY_S
        try:
            # The next write restarts a log that was copied, and SQLite then truncates the log. If nobody writes, it is
            # truncated here.
            if is_long and self._is_idle():
                self._is_behind = not self._shorten(connection)
            else:
                self._is_behind = not self._checkpoint(connection, "PASSIVE")
            self._watch.verify()
        except FileLost:
            return self.rescue(connection)
        except (sqlite3.Error, OSError) as error:
            self._is_behind = True
            logger.warning("the log cannot be checkpointed now: %s", error)
        return RETRY_S if is_long or self._is_behind else None

    def _is_idle(self) -> bool:
        """Return whether nobody has written to the log since this was last asked."""
        index = self._watch.index()
        before, self._tried_on = self._tried_on, (index.salts, index.frames)
        return self._tried_on == before

    def _shorten(self, connection: sqlite3.Connection) -> bool:
        """Empty a log that has become longer than LOG_BYTES_MAX. Return False if a reader prevents it."""
        if not self._checkpoint(connection, "TRUNCATE"):
            return False
        connection.execute("BEGIN IMMEDIATE")
        try:
            lengthen(connection, self._watch.log)
        finally:
            connection.rollback()
        return True

    def finish(self, connection: sqlite3.Connection) -> None:
        """Copy everything into the database file, and allow SQLite to remove the log if nobody has replaced it."""
        try:
            self._checkpoint(connection, "PASSIVE")
            self._watch.verify()
            self._watch.release()
        except FileLost:
            self.rescue(connection)
        except (sqlite3.Error, OSError) as error:
            logger.warning("the log stays beside the database file, for the next start: %s", error)

    def rescue(self, connection: sqlite3.Connection) -> float | None:
        """Copy the open log into the open database file, after one of the files was removed or replaced.

        Otherwise nobody would find acknowledged commits. Do nothing if another program has written to the files.
        Return the seconds until another try, or None if none is needed.
        """
        try:
            if self._is_rescued or not self._watch.has_whole_log():
                return None
            self._is_rescued = _checkpoint(connection, "PASSIVE", self._watch)
        except (sqlite3.Error, OSError) as error:
            logger.warning("the log cannot be brought into the database file: %s", error)
        if self._is_rescued:
            logger.warning("all that was acknowledged is in the database file that was open, without the log")
        return None if self._is_rescued else RETRY_S

    def _checkpoint(self, connection: sqlite3.Connection, mode: str) -> bool:
        self._watch.verify(with_log=True)  # Raises if another program has written to the log, which must not be copied.
        try:
            return _checkpoint(connection, mode, self._watch)
        finally:
            self._watch.note()


def lengthen(connection: sqlite3.Connection, log: Path) -> None:
    """Make the log as long as it will become, because the sync of a growing file takes twice as long.

    The open transaction of `connection` makes a table that does not fit into the connection's cache, so SQLite writes
    the table to the log. The caller rolls the transaction back.
    """
    ((cache_size,),) = connection.execute("PRAGMA cache_size")
    connection.execute("PRAGMA cache_size = 10")
    try:
        if log.stat().st_size < LOG_BYTES:
            connection.execute(f"CREATE TABLE longer AS SELECT zeroblob({LOG_BYTES})")
    except sqlite3.OperationalError as error:
        end_if_fatal(error)
        logger.warning("there is no room for a log of %d bytes: %s", LOG_BYTES, error)
    finally:
        connection.execute(f"PRAGMA cache_size = {cache_size}")


def end_if_fatal(error: BaseException, watch: FileWatch | None = None, *, in_checkpoint: bool = False) -> None:
    """End the process, without another write or checkpoint, if after `error` nobody knows what is on disk."""
    code = getattr(error, "sqlite_errorcode", None)
    if code not in (_FATAL_IN_CHECKPOINT if in_checkpoint else _FATAL):
        return
    if watch is not None:
        with suppress(OSError):  # The process ends all the same.
            watch.forget_backfill()
    logger.critical(
        "a %s failed (%s), so nobody knows how much of it is on disk. This process ends, and what it has "
        "acknowledged is kept. Find out what is wrong with the disk, and start again: the log is then read from its "
        "beginning",
        "checkpoint of the database file" if in_checkpoint else "sync of the database's log",
        getattr(error, "sqlite_errorname", error),
    )
    # At once, because closing a connection may checkpoint.
    os._exit(os.EX_IOERR)


def _checkpoint(connection: sqlite3.Connection, mode: str, watch: FileWatch) -> bool:
    """Checkpoint, and return whether the whole log is in the database file. Readers may prevent that."""
    try:
        ((is_busy, frames, done),) = connection.execute(f"PRAGMA wal_checkpoint({mode})")
    except sqlite3.Error as error:
        end_if_fatal(error, watch, in_checkpoint=True)
        raise
    return not is_busy and frames == done


def _write_again(log: Path, size: int) -> None:
    """Write the first `size` bytes of the log again, and sync them.

    The last process may have ended because of a failed sync. Then what can be read is not necessarily on disk.
    """
    file = os.open(log, os.O_RDWR | os.O_CLOEXEC)
    try:
        at = 0
        while at < size and (piece := os.pread(file, min(2**20, size - at), at)):
            at += os.pwrite(file, piece, at)
        os.fsync(file)
    finally:
        os.close(file)
