"""Files of the run's folder: names that stay inside it, and writing that is whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


def inside(folder: Path, name: object) -> Path:
    """The path of a file of the folder; ValueError where `name` is more than a bare file name.

    Names come from the state, which a client may have written.
    """
    if not isinstance(name, str) or name != os.path.basename(name) or name in ("", ".", "..") or "\0" in name:
        raise ValueError(f"not a file name: {name!r}")
    path = folder / name
    if path.is_symlink():
        raise ValueError(f"{name!r} is a link; a file of the run is none")
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it takes `path`'s place, durably and at once."""
    draft = path.with_name(f".{path.name}.{uuid4().hex}")  # two attempts may write at one time
    try:
        yield draft
        _sync(draft)
        os.replace(draft, path)
        _sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
