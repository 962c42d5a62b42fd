"""The archive of a backup: a tar file with `rungraph.db` and the folder `runs`."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import SpooledTemporaryFile

from service.core.errors import StartRefused

DATABASE, RUNS = "rungraph.db", "runs"
SPOOLED_BYTES_MAX = 8 * 2**20
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # Refuses a symbolic link, and does not block on a FIFO.


def write(archive: Path, database: Path, runs_folder: Path) -> None:
    """Write a durable archive of a database that nobody changes, and of the folder of runs, which may change.

    Only regular files are included. Files and folders whose names begin with a dot are left out, since tools may still
    be writing them.
    """
    draft = archive.with_name(f".{archive.name}.draft")
    try:
        with open(draft, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                tar.add(database, DATABASE)
                for path in _files_below(runs_folder):
                    _add(tar, path, f"{RUNS}/{path.relative_to(runs_folder)}")
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, archive)
        sync(archive.absolute().parent)
    finally:
        draft.unlink(missing_ok=True)


def extract(archive: Path, folder: Path) -> None:
    """Extract an archive into `folder`. Raise StartRefused if it is not an archive that `write` can have made."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                first, _, rest = member.name.partition("/")
                if not member.isreg() or (member.name != DATABASE and not (first == RUNS and rest)):
                    raise StartRefused(f"{archive} is no backup of Rungraph: it has {member.name!r:.200} in it")
                tar.extract(member, folder, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise StartRefused(f"cannot read {archive}: {error}") from error
    if not (folder / DATABASE).is_file():
        raise StartRefused(f"{archive} is no backup of Rungraph: it has no {DATABASE}")


def sync_all(folder: Path) -> None:
    """Wait until `folder` and everything in it are on disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            sync(Path(place, name))
        sync(Path(place))


def sync(path: Path) -> None:
    """Wait until a file's content is on disk, or the names of the files in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files_below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """Add a file as it is now. Leave it out if it has been removed meanwhile or is not a regular file."""
    with suppress(FileNotFoundError), SpooledTemporaryFile(SPOOLED_BYTES_MAX) as copied:
        try:
            descriptor = os.open(path, _FILE)
        except OSError as error:
            if path.is_symlink():
                return
            raise error
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                return
            shutil.copyfileobj(file, copied)
        member = tarfile.TarInfo(name)
        # The file may grow or shrink while it is read, so the size is that of the copy.
        member.size, member.mtime, member.mode = copied.tell(), int(found.st_mtime), stat.S_IMODE(found.st_mode)
        copied.seek(0)
        tar.addfile(member, copied)
