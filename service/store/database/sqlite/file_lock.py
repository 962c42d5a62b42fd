"""The ownership of a SQLite file: only one server uses a file, whatever names the file has.

The owner holds two locks, which end with its process in any case. The lock on `FILE.lock` tells everybody the owner's
address. The lock on the database file itself holds for all names of the file, and even if somebody removes `FILE.lock`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import time
from pathlib import Path
from struct import pack, unpack
from typing import IO

from service.core.errors import StartRefused

OWNER_BYTE = 0x40000000 + 512
"""The byte of the database file that its owner locks. It is the first one after those that SQLite locks."""
OWNER_ATTRIBUTE = "user.rungraph.owner"
"""The extended attribute of the database file that contains the owner's address, if the file system supports it."""

_FLOCK = "hhqqi0q"
"""C's struct flock: type, whence, start, length, process."""


class FileLock:
    """The locks of one server on one database file."""

    def __init__(self, file: IO[str], database: int) -> None:
        self._file = file
        self._database = database
        # A forked child would otherwise keep the locks after this process has ended.
        os.register_at_fork(after_in_child=self.release)

    @classmethod
    def take(cls, database: Path, address: str) -> FileLock:
        """Own `database` as the server at `address`. Raise StartRefused if another server owns it or if that fails."""
        path = lock_path(database)
        try:
            database.parent.mkdir(parents=True, exist_ok=True)
            # Mode "w" would remove the owner's address, which a refused server reads.
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+")
        except OSError as error:
            raise StartRefused(f"cannot open {path}: {error.strerror}") from error
        try:
            _flock(file)
        except OSError as error:
            owner = file.read().strip()
            file.close()
            raise _owned(database, owner) from error
        try:
            ownership = cls(file, _open_alone(database))
        except BaseException:
            file.close()
            raise
        ownership.move_to(address)
        return ownership

    def move_to(self, address: str) -> None:
        """Store the owner's address."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(address + "\n")
        self._file.flush()
        _set_attribute(self._database, address)

    def release(self) -> None:
        """Release the file. Close SQLite's connections first, because this drops all their locks."""
        self._file.close()
        if self._database >= 0:
            os.close(self._database)
            self._database = -1


def owner_of(database: Path) -> str | None:
    """Return the address of the server that owns `database`, or None if no server does."""
    try:
        file = lock_path(database).open("r")
    except OSError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return file.read().strip() or None
    return None


def lock_path(database: Path) -> Path:
    return database.with_name(database.name + ".lock")


def canonical(path: str) -> Path:
    """Return the path of the file at `path` without links, because SQLite names the log after the path.

    The file need not exist. Raise StartRefused if `path` cannot lead to a file, such as a link to itself.
    """
    try:
        found = Path(os.path.realpath(path))
        found.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return found  # Opening it will give a better message.
    except (OSError, ValueError) as error:
        raise StartRefused(f"{path!r} names no file: {getattr(error, 'strerror', None) or error}") from error
    return found


def lock_bytes(file: int, start: int, length: int, *, alone: bool) -> bool:
    """Lock a range of `file`, shared or `alone`, and return whether that succeeded. Locking it again has no effect.

    Unlike SQLite's locks this one belongs to the open file and not to the process. It stays when another descriptor of
    the same file is closed, and it conflicts with SQLite's locks, including those of this process. Python supports such
    locks only on Linux. Elsewhere this function does nothing.
    """
    return _lock_bytes(file, fcntl.F_WRLCK if alone else fcntl.F_RDLCK, start, length)


def unlock_bytes(file: int, start: int, length: int) -> None:
    _lock_bytes(file, fcntl.F_UNLCK, start, length)


def is_locked_by_another(file: int, start: int) -> bool:
    """Whether the byte at `start` is locked through another open file. On systems other than Linux: always True."""
    if sys.platform != "linux":
        return True
    found = fcntl.fcntl(file, fcntl.F_OFD_GETLK, pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, 1, 0))
    return bool(unpack(_FLOCK, found)[0] != fcntl.F_UNLCK)


def _lock_bytes(file: int, kind: int, start: int, length: int) -> bool:
    if sys.platform != "linux":
        return True
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, pack(_FLOCK, kind, os.SEEK_SET, start, length, 0))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _flock(file: IO[str]) -> None:
    """Lock `file` or raise OSError. Try several times, because `owner_of` holds the lock for a moment."""
    for remaining in reversed(range(5)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if not remaining:
                raise
            time.sleep(0.02)


def _open_alone(database: Path) -> int:
    """Open the file at `database`, create it if necessary, take the owner's lock, and return the descriptor."""
    try:
        file = os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StartRefused(f"cannot open {database}: {error.strerror}") from error
    try:
        if not lock_bytes(file, OWNER_BYTE, 1, alone=True):
            raise _owned(database, _attribute(file))
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise StartRefused(f"cannot use {database}: it is no regular file")
        if found.st_nlink > 1:
            raise StartRefused(
                f"{database} has {found.st_nlink} names (hard links), and SQLite keeps a log of its own for each: "
                f"what one log holds is lost under another name. Find them with `find / -samefile {database}`, and "
                "remove all but the one under which the file was last served"
            )
    except OSError as error:
        os.close(file)
        raise StartRefused(f"cannot lock {database}: {error.strerror}") from error
    except StartRefused:
        os.close(file)
        raise
    return file


def _owned(database: Path, owner: str) -> StartRefused:
    return StartRefused(
        f"{database} is owned by the server at {owner or 'an unknown address'}: on SQLite one server owns the file. "
        "Stop that one, or use PostgreSQL to share the work among servers."
    )


def _attribute(file: int) -> str:
    """Return the owner's address from the file's attribute, or an empty text if there is none."""
    if sys.platform != "linux":
        return ""
    try:
        return os.getxattr(file, OWNER_ATTRIBUTE).decode(errors="replace")
    except OSError:
        return ""


def _set_attribute(file: int, address: str) -> None:
    if sys.platform != "linux":
        return
    try:
        os.setxattr(file, OWNER_ATTRIBUTE, address.encode())
    except OSError:
        return  # Not supported, or no room. The refusal of another server may then name no address.
