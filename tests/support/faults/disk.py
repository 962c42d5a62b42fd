"""A disk whose syncs and writes can be made to fail, and that loses what was not synced: `preload.c`, and power losses.

It is one for processes of their own, which are started with `environment`.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

SECTOR = 512
_HEAD = 16
"""Bytes before the states in a file of notes: the synced size, and how many sectors may have changed."""


class Disk:
    """Of the files whose path has `files` in it."""

    def __init__(self, library: Path, folder: Path, files: str) -> None:
        self._folder = folder
        self._plan = folder / "plan"
        self._undo = folder / "undo"
        self._undo.mkdir(parents=True)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAULTS_FILES": files,
            "FAULTS_PLAN": str(self._plan),
            "FAULTS_UNDO": str(self._undo),
        }

    def fail(self, call: str, suffix: str, nth: str = "1") -> None:
        """Have the `nth` of the calls `call` (sync or write) fail, from now on, on files whose path ends so."""
        # Renamed, so that nobody reads a half of it.
        beside = self._plan.with_suffix(".new")
        beside.write_text(f"{call} {suffix} {nth}\n")
        beside.rename(self._plan)

    @property
    def has_failed(self) -> bool:
        """Whether the call that was to fail has done so."""
        return not self._plan.exists()

    def lose_power(self) -> None:
        """Put each file back to what the disk has of it; all processes that use it have ended."""
        self._plan.unlink(missing_ok=True)
        for notes in self._undo.glob("*.undo"):
            path = Path(notes.with_suffix(".path").read_text())
            if path.exists() and path.stat().st_ino == int(notes.stem):
                _put_back(path, notes.read_bytes(), notes.with_suffix(".old").read_bytes())
            for file in self._undo.glob(f"{notes.stem}.*"):
                file.unlink()


def _put_back(path: Path, notes: bytes, old: bytes) -> None:
    size, sectors = (int.from_bytes(notes[at : at + 8], "little") for at in (0, 8))
    states = notes[_HEAD : _HEAD + sectors]
    with path.open("r+b") as file:
        for sector, state in enumerate(states):
            if state:
                file.seek(sector * SECTOR)
                file.write(old[sector * SECTOR : (sector + 1) * SECTOR])
        file.truncate(size)
        file.flush()
        os.fsync(file.fileno())


@cache
def library() -> Path:
    """Compile the library once for this process. Servers that load the same one are forks of one process."""
    folder = Path(tempfile.mkdtemp(prefix="rungraph-disk-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return library_in(folder)


def library_in(folder: Path) -> Path:
    """The library, compiled; the test is skipped where there is no compiler, or none of Linux's kind of processes."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not Path("/proc/self/fd").exists():
        pytest.skip("a disk that fails takes Linux and a C compiler")
    library = folder / "preload.so"
    source = Path(__file__).with_name("preload.c")
    options = ["-shared", "-fPIC", "-O1", "-Wall", "-o", str(library), str(source), "-ldl", "-lpthread"]
    subprocess.run([compiler, *options], check=True, capture_output=True)
    return library
