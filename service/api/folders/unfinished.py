"""Mark folders of runs that are not started yet, so that a later server can remove what a dead server has left behind.

A mark is a file in a folder beside the folder of all runs. The process that works on the run's folder keeps the mark
locked. The system releases the lock when the process ends. Each server, when it starts, removes the folders whose marks
are unlocked and whose runs do not exist.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from anyio import to_thread

from service.core.errors import NotFound, Unavailable
from service.store import Store

logger = logging.getLogger(__name__)

MARKS_FOLDER = "unfinished"
"""Name of the folder of marks, which is beside the folder of all runs."""


@contextmanager
def unfinished(runs_folder: Path, run_id: str) -> Iterator[None]:
    """Mark the run's folder as unfinished until the block has started the run or removed the folder.

    Raise Unavailable if the mark cannot be created. If the block raises Unavailable, it is unknown whether the run
    exists. The mark then stays, and the `sweep` of a later start removes the folder if the run does not exist.
    """
    mark = _marks_of(runs_folder) / run_id
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        while (descriptor := _locked(mark)) is None:
            pass  # A starting server has removed the new mark before it was locked.
    except OSError as error:
        raise Unavailable(f"the run's files cannot be kept: {error.strerror}") from error
    try:
        yield
    except Unavailable:
        raise
    except BaseException:
        mark.unlink(missing_ok=True)
        raise
    else:
        mark.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


async def sweep(store: Store, runs_folder: Path) -> None:
    """Remove the folders that dead servers left without a run, and all unlocked marks.

    If the disk or the database fails, log a warning and leave the rest to the next start.
    """
    try:
        for mark in await to_thread.run_sync(lambda: sorted(_marks_of(runs_folder).glob("*"))):
            with _unless_locked(mark) as is_free:
                if is_free:
                    await _sweep(store, runs_folder, mark)
    except (OSError, Unavailable) as error:
        logger.warning("folders of dead servers stay in %s until the next start: %s", runs_folder, error)


async def _sweep(store: Store, runs_folder: Path, mark: Path) -> None:
    folders: tuple[Path, ...] = ()
    try:
        await store.runs.get(mark.name)
    except NotFound:
        folders = (runs_folder / mark.name, runs_folder / f".{mark.name}")
    await to_thread.run_sync(_remove, folders, mark)


def _remove(folders: Iterable[Path], mark: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    mark.unlink(missing_ok=True)


def _locked(mark: Path) -> int | None:
    """Create `mark` and lock it. Return its descriptor, or None if it was removed in between.

    Raise BlockingIOError if a starting server is removing it now.
    """
    descriptor = os.open(mark, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(mark)):
                return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


@contextmanager
def _unless_locked(mark: Path) -> Iterator[bool]:
    """Lock `mark` and yield True, or yield False if a process still holds the lock or the mark is gone.

    Nobody makes a mark anew under the name of one that was removed: each run's id is used once.
    """
    try:
        descriptor = os.open(mark, os.O_WRONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        is_free = False
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_free = True
        yield is_free
    finally:
        os.close(descriptor)


def _marks_of(runs_folder: Path) -> Path:
    return runs_folder.with_name(MARKS_FOLDER)
