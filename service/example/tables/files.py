"""Files of the run's folder: names that stay inside it, and writing that is whole or not at all."""

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
    """The path of a file of the folder; ValueError where `name` is more than a bare file name.

    Names come from the state, which a client may have written.
    """
    if not isinstance(name, str) or name != os.path.basename(name) or name in ("", ".", "..") or "\0" in name:
        raise ValueError(f"not a file name: {name!r}")
    path = folder / name
    if path.is_symlink():
        raise ValueError(f"{name!r} is a link; a file of the run is none")
    return path


def draft_in(folder: Path, name: str) -> Path:
    """A new path for something that does not outlast the step; its name begins with a dot."""
    return folder / f".{name}.{uuid4().hex}"  # Two attempts may write at one time.


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it takes `path`'s place, durably and at once."""
    draft = draft_in(path.parent, path.name)
    try:
        yield draft
        _sync(draft)
        os.replace(draft, path)
        _sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def remove_drafts(folder: Path) -> None:
    """Remove what an attempt that was killed left behind.

    The drafts of an attempt that still runs may go too: it has lost its lease, and what it would commit is refused.
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
