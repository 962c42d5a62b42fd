"""Protects the files of SQLite's writing connection, and notices if somebody replaces or changes them.

Protection: SQLite's locks belong to the process, and closing any descriptor of a file drops all locks of the process on
that file ("How To Corrupt An SQLite Database File", 2.2). It is enough that a tool copies the database file. The next
program that opens and closes the database then takes itself for the only user, and removes the log. A lock that belongs
to an open file is not dropped in this way. We hold such a lock on the bytes that SQLite locks while a database is in
use, and another on the index of the log.

Checks: anybody can remove, rename, replace, truncate or overwrite the files without asking for a lock. A later commit
would then go where nobody looks for it. Therefore no commit is acknowledged unless the files were checked after it or
less than FRESH_S before. A check after each of thousands of commits per second would cost a fifth of them.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import NamedTuple, NoReturn

from service.store.database.sqlite.file_lock import is_locked_by_another, lock_bytes, unlock_bytes

logger = logging.getLogger(__name__)

SHARED_BYTES = (0x40000000 + 2, 510)
"""The position and the length of the lock that SQLite holds on the database file: shared by all programs that use it,
and exclusive to remove the log."""
IN_USE_BYTES = (128, 1)
"""The position and the length of the lock that SQLite holds on the index while a program uses it. Without a lock, the
next program that opens the index clears it."""
CHECKPOINT_BYTE = 121
"""The byte of the index that is locked during a checkpoint."""
FRESH_S = 0.005
"""How long a check of the files counts for the commits that follow."""
HEAD_BYTES = 100
"""The length of the database file's header."""

_INDEX = Struct("=I12xI12x8s56xI28xI")
"""The index's header, and what checkpoints store behind its two copies; see https://sqlite.org/walformat.html."""
_INDEX_VERSION = 3007000
_BACKFILLED_AT = 96


class FileLost(sqlite3.OperationalError):
    """The files are no longer those that the connection has open. Nothing is read or written until a restart."""


class Index(NamedTuple):
    """The state of the log."""

    version: int
    frames: int
    """Pages in the log."""
    salts: bytes
    """Random numbers that change whenever the log restarts."""
    backfilled: int
    """How many of the frames have been copied into the database file."""
    attempted: int
    """How many frames a checkpoint has begun to copy."""


class FileWatch:
    """Watches one database file, its log and its index, between `open` and `close`."""

    def __init__(self) -> None:
        self.lost: str | None = None
        """Why this process can no longer use the database."""
        self._losing = threading.Lock()
        self._files: tuple[int, int, int] | None = None
        """Descriptors of the database file, the log and the index."""
        self._paths = ("", "", "")
        self._ids: tuple[int, ...] = ()
        self.seen = Index(0, 0, b"", 0, 0)
        """The log's state at the last check."""
        self.log_size = 0
        """The log's size at the last check."""
        self._written: tuple[int, int] = (0, 0)
        """The database file's size and modification time, as the last known writer left them."""
        self._salts = b""
        """The salts of the log that has `log_size`. Empty after the log has restarted: SQLite may yet truncate it."""
        self._head = b""
        self._is_copied = False
        """Whether another program's checkpoint has written the database file, or is writing it."""
        self._fresh_until = float("-inf")
        """The time until which the last check counts, on the monotonic clock."""
        self._is_changed = False
        """Whether another program has changed the content of the files. Its ordinary commits do not count."""

    @property
    def log(self) -> Path:
        return Path(self._paths[1])

    def open(self, database: Path) -> None:
        """Begin to watch the files that a connection has opened. Later connections must have opened the same files.

        Raise sqlite3.OperationalError if another program is just closing the database.
        """
        if self._files is not None:
            self.verify()
            return
        self._paths = (str(database), f"{database}-wal", f"{database}-shm")
        try:
            opened = _opened(self._paths)
        except OSError as error:
            raise sqlite3.OperationalError(f"cannot watch {error.filename or database}: {error.strerror}") from error
        self._files = (opened[0], opened[1], opened[2])
        self._ids = tuple(each for found in map(os.fstat, opened) for each in (found.st_ino, found.st_dev))
        _watches.add(self)
        self.note()
        self.verify()

    def note(self) -> None:
        """Accept the database file as it is now, because the writer itself has just written it."""
        if self._files is not None:
            found = os.fstat(self._files[0])
            self._written = (found.st_size, found.st_mtime_ns)
            self._head = os.pread(self._files[0], HEAD_BYTES, 0)
            self.seen = self.index()

    def index(self) -> Index:
        """Return the log's current state."""
        assert self._files is not None
        head = os.pread(self._files[2], _INDEX.size, 0)
        return Index(*_INDEX.unpack(head)) if len(head) == _INDEX.size else Index(0, 0, b"", 0, 0)

    def look(self) -> str | None:
        """Check the paths. Return why the database can no longer be used, or None. Any thread may call this."""
        if self.lost is None and self._files is not None:
            with suppress(OSError):  # A file that cannot be checked just now is not lost.
                self._identities()
        return self.lost

    def has_just_looked(self) -> bool:
        """Whether the last check still counts, so that a commit need not `verify`."""
        return time.monotonic() < self._fresh_until and self.lost is None

    def verify(self, *, with_log: bool = False) -> Index:
        """Check the files and return the log's state. Only the writer may call this.

        Raise FileLost if another program has replaced, cut or overwritten the files. Its commits and checkpoints
        through SQLite are allowed. `with_log`: compare the log's beginning as well.
        """
        try:
            return self._verified(with_log=with_log)
        except OSError as error:
            raise sqlite3.OperationalError(f"cannot look at {self._paths[0]}: {error.strerror}") from error

    def _verified(self, *, with_log: bool) -> Index:
        found = None if self.lost else self._identities()
        if found is None:
            raise FileLost(self.lost)
        database, log = found
        index = self.index()
        # SQLite may truncate a log that it has restarted, and a restarted log has new salts.
        if log.st_size < self.log_size and index.salts == self._salts:
            self._change(f"{self._paths[1]} was cut short")
        self.log_size = log.st_size
        self._salts = index.salts if index.frames and index.salts == self.seen.salts else b""
        if (database.st_size, database.st_mtime_ns) != self._written:
            self._examine(database)
        if with_log and not self._has_log_of(index):
            self._change(f"{self._paths[1]} was overwritten")
        self.seen = index
        self._fresh_until = time.monotonic() + FRESH_S
        return index

    def lose_content(self) -> NoReturn:
        """Note that another program has put other content into the database, and raise FileLost."""
        self._change(f"{self._paths[0]} was given other content or another user_version by another program")

    def has_whole_log(self) -> bool:
        """Whether the open log is what the writer has written, and nobody has put another log in its place."""
        if self._files is None or self._is_changed or not self._has_log_of(self.index()):
            return False
        try:
            found = os.stat(self._paths[1])
        except OSError:
            return True
        return found.st_size == 0 or (found.st_ino, found.st_dev) == self._ids[2:4]

    def forget_backfill(self) -> None:
        """Make the next checkpoint of any program begin at the log's first frame.

        A program that has the database open keeps the index, and with it the number of frames that SQLite believes to
        be in the database file.
        """
        if self._files is not None and self.index().version == _INDEX_VERSION:
            os.pwrite(self._files[2], bytes(4), _BACKFILLED_AT)

    def release(self) -> None:
        """Allow SQLite to remove the log when the last connection closes."""
        if self._files is not None:
            unlock_bytes(self._files[0], *SHARED_BYTES)

    def close(self) -> None:
        """Stop watching. All connections of this process must be closed, because this drops their locks."""
        files, self._files = self._files or (), None
        for file in files:
            os.close(file)

    def __del__(self) -> None:
        self.close()

    def _identities(self) -> tuple[os.stat_result, os.stat_result] | None:
        """Return the status of the database file and of the log, or None if a path no longer leads to the open file."""
        stat, paths = os.stat, self._paths
        path = ""
        try:
            # A link in the place of the file would lead a restart to another log than ours.
            database = os.lstat(path := paths[0])
            log = stat(path := paths[1])
            index = stat(path := paths[2])
        except (FileNotFoundError, NotADirectoryError):
            self._lose(f"{path} was removed or moved away")
            return None
        ids = (database.st_ino, database.st_dev, log.st_ino, log.st_dev, index.st_ino, index.st_dev)
        if ids != self._ids:
            at = next(place for place in range(3) if ids[2 * place :][:2] != self._ids[2 * place :][:2])
            self._lose(f"{paths[at]} was replaced")
            return None
        return database, log

    def _examine(self, found: os.stat_result) -> None:
        """Find out who has written the database file. Only a checkpoint of another program is allowed."""
        assert self._files is not None
        is_going_on = is_locked_by_another(self._files[2], CHECKPOINT_BYTE)
        self._is_copied = self._is_copied or is_going_on or self.index()[2:] != self.seen[2:]
        if is_going_on:
            return
        head = os.pread(self._files[0], HEAD_BYTES, 0)
        if not self._is_copied and (head != self._head or found.st_size < self._written[0]):
            self._change(f"{self._paths[0]} was overwritten")
        self._written, self._head, self._is_copied = (found.st_size, found.st_mtime_ns), head, False

    def _has_log_of(self, index: Index) -> bool:
        """Whether the open log is the one that `index` describes."""
        assert self._files is not None
        if not index.frames or os.pread(self._files[1], 8, 16) == index.salts:
            return True
        return self.index().salts != index.salts  # The log has just restarted.

    def _change(self, what: str) -> NoReturn:
        """Raise FileLost, because another program has changed what is in the files."""
        self._is_changed = True
        self._lose(what)
        raise FileLost(self.lost)

    def _lose(self, what: str) -> None:
        with self._losing:
            if self.lost is not None:
                return
            self.lost = f"{what} while this server had it open"
        logger.critical(
            "%s. It reads and writes nothing any more. Stop it, put the database file and the files beside it back, "
            "and start it again",
            self.lost,
        )


def _opened(paths: Sequence[str]) -> list[int]:
    """Open the database file, the log and the index at `paths`. Lock the database file and the index as in use."""
    opened: list[int] = []
    try:
        for path in paths:
            opened.append(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        if not (
            lock_bytes(opened[0], *SHARED_BYTES, alone=False) and lock_bytes(opened[2], *IN_USE_BYTES, alone=False)
        ):
            busy = sqlite3.OperationalError("database is locked")
            busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise busy
    except BaseException:
        for file in opened:
            os.close(file)
        raise
    return opened


_watches: weakref.WeakSet[FileWatch] = weakref.WeakSet()


def _close_in_child() -> None:
    """Close the files in a forked child, which would otherwise keep their locks after this process has ended."""
    for watch in list(_watches):
        watch.close()


os.register_at_fork(after_in_child=_close_in_child)
