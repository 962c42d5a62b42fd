"""Copy a run's folder for a fork. The copy is complete and on disk, or it does not exist.

Nothing outside the folder is read or written. Links are copied as links. Sockets, devices, FIFOs and files under
temporary names are omitted, and so is what a tool removes during the copy. If a file grows during the copy, its new end
may be missing.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import logging
import os
import re
import shutil
import stat
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn

logger = logging.getLogger(__name__)

SYNCED_ONE_BY_ONE_MAX = 100
"""How many files and folders of a copy are synced one by one. For the rest, one sync of the file system is faster."""
PIECE_BYTES = 2**20

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# O_NONBLOCK, because the file may have been replaced by a FIFO without a writer, for which the open would wait.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW

_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ESTALE})
"""Errors of opening a file or folder that was removed or replaced a moment ago."""
_CANNOT_COPY = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM})
"""Errors of `copy_file_range` if it cannot copy between two files. They are then copied without it."""
_FICLONE = 0x40049409
"""Linux's ioctl that lets two files share blocks until one of them is written."""

# Temporary names of files that are being written. They are not copied, since the copies would never be renamed.
_DRAFT = re.compile(r"\..+\.[0-9a-f]{32}", re.DOTALL)
_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def copy_folder(source: Path, target: Path) -> None:
    """Create `target` as a durable copy of the folder `source`, atomically.

    Create nothing if `source` does not exist or is removed during the copy. Raise OSError, with the file's name within
    the folder, if the copy fails; nothing is left behind then.
    """
    draft = target.with_name(f".{target.name}")
    if not source.is_dir():
        return
    draft.mkdir(0o700)
    try:
        _Copy(os.path.realpath(source), str(draft)).make()
        draft.rename(target)
        sync(target.parent)
    except FileNotFoundError:
        _remove(draft)  # The whole folder has just been removed.
    except BaseException:
        _remove(draft)
        raise


def sync(path: Path) -> None:
    """Sync a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Copy:
    """One copy in progress. A place is a path within the folder; "" is the folder itself."""

    def __init__(self, source: str, draft: str) -> None:
        self._source = source
        self._draft = draft
        self._folders: list[tuple[str, os.stat_result]] = []
        self._links: list[tuple[bool, str]] = []
        self._first: dict[tuple[int, int], str] = {}
        """The place of the first copied name of each file that has several names, by device and inode."""
        self._can_clone = sys.platform == "linux"
        self._unsynced = 0
        self._synced = 0

    def make(self) -> None:
        places = [""]
        while places:
            places += self._enter(places.pop())
        # Absolute links come first. Relative links may lead through them, and must then find them redirected.
        for _, place in sorted(self._links):
            self._keep_inside(place)
        # Innermost folders first, because a folder's mode may forbid entering it.
        for place, found in reversed(self._folders):
            with _opened(os.path.join(self._draft, place), _FOLDER) as folder:
                os.fchmod(folder, stat.S_IMODE(found.st_mode))
                os.utime(folder, ns=(found.st_atime_ns, found.st_mtime_ns))
                self._sync(folder)
        if self._unsynced:
            with _opened(self._draft, _FOLDER) as folder:
                _sync_file_system(folder)

    def _enter(self, place: str) -> list[str]:
        """Copy what is directly in a folder. Return the places of its subfolders."""
        with ExitStack() as opened:
            try:
                source = opened.enter_context(_opened(os.path.join(self._source, place), _FOLDER))
                names = [name for name in os.listdir(source) if not _DRAFT.fullmatch(name)]
                if place:
                    os.mkdir(os.path.join(self._draft, place), 0o700)
                target = opened.enter_context(_opened(os.path.join(self._draft, place), _FOLDER))
            except OSError as error:
                if error.errno in _GONE and place:
                    return []
                _name(error, place)
            self._folders.append((place, os.fstat(source)))
            return [inner for name in names if (inner := self._entry(place, name, source, target))]

    def _entry(self, folder: str, name: str, source: int, target: int) -> str | None:
        """Copy the file or link `name` and return None. Copy no folder, but return its path within the run's folder.

        Omit an entry of any other kind, and one that was just removed.
        """
        place = os.path.join(folder, name)
        try:
            found = os.stat(name, dir_fd=source, follow_symlinks=False)
            match stat.S_IFMT(found.st_mode):
                case stat.S_IFDIR:
                    return place
                case stat.S_IFREG:
                    self._copy_file(place, name, source, target)
                case stat.S_IFLNK:
                    self._copy_link(place, name, source, target, found)
                case kind:
                    self._log_omitted(place, kind)
        except OSError as error:
            if error.errno not in _GONE:
                _name(error, place)
        return None

    def _copy_file(self, place: str, name: str, source: int, target: int) -> None:
        with _opened(name, _FILE, dir_fd=source) as old:
            found = os.fstat(old)
            if not stat.S_ISREG(found.st_mode):
                self._log_omitted(place, stat.S_IFMT(found.st_mode))
                return
            first = self._first.setdefault((found.st_dev, found.st_ino), place) if found.st_nlink > 1 else place
            if first != place:
                os.link(os.path.join(self._draft, first), name, dst_dir_fd=target, follow_symlinks=False)
                return
            with _opened(name, _NEW, 0o600, dir_fd=target) as new:
                self._copy_content(old, new, found.st_size)
                # Drop set-uid and set-gid, since the copy may have another owner.
                os.fchmod(new, stat.S_IMODE(found.st_mode) & ~(stat.S_ISUID | stat.S_ISGID))
                os.utime(new, ns=(found.st_atime_ns, found.st_mtime_ns))
                self._sync(new)

    def _copy_content(self, old: int, new: int, size: int) -> None:
        """Give the file `new` the content of `old`. Share the blocks if the file system can; otherwise copy them.

        Holes stay holes."""
        if self._can_clone:
            try:
                fcntl.ioctl(new, _FICLONE, old)
                return
            except OSError:
                self._can_clone = False  # If the copying below fails too, its error is clearer.
        os.truncate(new, size)
        end = 0
        while end < size:
            start, end = _data_after(old, end, size)
            if (reached := _copy_range(old, new, start, end)) < end:
                os.truncate(new, reached)  # The file was truncated meanwhile.
                return

    def _copy_link(self, place: str, name: str, source: int, target: int, found: os.stat_result) -> None:
        there = os.readlink(name, dir_fd=source)
        os.symlink(there, name, dir_fd=target)
        os.utime(name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=target, follow_symlinks=False)
        self._links.append((not os.path.isabs(there), place))

    def _keep_inside(self, place: str) -> None:
        """If the link at `place` leads into the old folder, redirect it to the same place in the copy.

        Otherwise a write through the link would change the old run's files. Other links stay as they are.
        """
        link = os.path.join(self._draft, place)
        there = self._place_in_source(os.path.join(os.path.dirname(link), os.readlink(link)))
        if there is None:
            return
        found = os.lstat(link)
        os.unlink(link)
        os.symlink(os.path.relpath(os.path.join("/", there), os.path.join("/", os.path.dirname(place))), link)
        os.utime(link, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)

    def _place_in_source(self, path: str) -> str | None:
        """Return the place in the old folder to which `path` leads, or None if it leads elsewhere.

        If the last segment of `path` is a link, it is not followed.
        """
        head, name = os.path.split(path.rstrip("/"))
        real = os.path.realpath(path) if name in ("", ".", "..") else os.path.join(os.path.realpath(head), name)
        if real == self._source:
            return ""
        return real.removeprefix(self._source + "/") if real.startswith(self._source + "/") else None

    def _log_omitted(self, place: str, kind: int) -> None:
        logger.warning("%a in %s is %s, which a fork does not copy", place, self._source, _KINDS.get(kind, "no file"))

    def _sync(self, descriptor: int) -> None:
        if self._synced < SYNCED_ONE_BY_ONE_MAX or _SYNCFS is None:
            os.fsync(descriptor)
            self._synced += 1
        else:
            self._unsynced += 1


@contextmanager
def _opened(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> Any:
    descriptor = os.open(path, flags, mode, dir_fd=dir_fd)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _data_after(file: int, position: int, size: int) -> tuple[int, int]:
    """Return the start and end of the next data from `position` on. Both are `size` if only a hole is left."""
    if not hasattr(os, "SEEK_DATA"):
        return position, size
    try:
        start = os.lseek(file, position, os.SEEK_DATA)
        return min(start, size), min(os.lseek(file, start, os.SEEK_HOLE), size)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size, size
        return position, size  # The file system does not support holes.


def _copy_range(old: int, new: int, start: int, end: int) -> int:
    """Copy the bytes from `start` to `end`. Return the position reached, which is lower if the old file is shorter."""
    by_system = hasattr(os, "copy_file_range")
    while start < end:
        length = min(end - start, PIECE_BYTES * 64)
        if by_system:
            try:
                copied = os.copy_file_range(old, new, length, start, start)
            except OSError as error:
                if error.errno not in _CANNOT_COPY:
                    raise
                by_system = False
                continue
        else:
            copied = os.pwrite(new, os.pread(old, min(length, PIECE_BYTES), start), start)
        if not copied:
            break
        start += copied
    return start


def _name(error: OSError, place: str) -> NoReturn:
    """Raise `error` with `place` as its file name."""
    error.filename, error.filename2 = place, None
    raise error


def _remove(folder: Path) -> None:
    folders = [str(folder)]
    while folders:
        path = folders.pop()
        os.chmod(path, 0o700)  # The copied mode may forbid access.
        folders += [entry.path for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
    shutil.rmtree(folder, ignore_errors=True)


# Python has no function for the system call `syncfs`. None if the C library has none either.
_SYNCFS = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


def _sync_file_system(descriptor: int) -> None:
    if _SYNCFS is not None and _SYNCFS(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
