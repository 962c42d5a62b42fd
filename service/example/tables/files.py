"""Name files inside the run's folder, and write them atomically."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4


def inside(folder: Path, name: object) -> Path:
    """Return the path of a file in the folder. Raise ValueError if `name` is no bare file name or names a link.

    Names come from the state, which a client may have written.
    """
    if not isinstance(name, str) or name != os.path.basename(name) or name in ("", ".", "..") or "\0" in name:
        raise ValueError(f"not a file name: {name!r}")
    path = folder / name
    if path.is_symlink():
        raise ValueError(f"{name!r} is a link; a file of the run is none")
    return path


def draft_in(folder: Path, name: str) -> Path:
    """Return a new path for a temporary file of the step; its name begins with a dot."""
    return folder / f".{name}.{uuid4().hex}"  # Two attempts may write at the same time.


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to. On success, move that file to `path` durably and atomically."""
    draft = draft_in(path.parent, path.name)
    try:
        yield draft
        _sync(draft)
        os.replace(draft, path)
        _sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def remove_drafts(folder: Path) -> None:
    """Remove the temporary files that a killed attempt has left in the folder.

    This may also remove the files of an attempt that still runs. That attempt has lost its lease, so it cannot commit.
    """
    for path in folder.glob(".*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    with replacing(path) as draft:
        draft.write_text(json.dumps(value, ensure_ascii=True, allow_nan=False), encoding="ascii")


def read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
