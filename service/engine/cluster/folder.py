"""Check that a worker sees the server's folder of runs: by a file in it whose content the server sends along."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

MARK = ".rungraph-folder"


def mark_of(folder: Path) -> str:
    """Return the content of the folder's mark, which is made if it is missing. Return an empty string if it cannot."""
    place = folder / MARK
    for _ in range(2):
        with suppress(OSError):
            return place.read_text()
        with suppress(OSError):
            _make(place)
    return ""


def is_shared(folder: Path, mark: str) -> bool:
    """Return whether this machine has the folder with that mark."""
    try:
        return bool(mark) and (folder / MARK).read_text() == mark
    except (OSError, ValueError):
        return False


def _make(place: Path) -> None:
    """Write the mark in one piece: several servers may do so at once, and the first one counts."""
    draft = place.with_name(f"{MARK}.{secrets.token_hex(8)}")
    draft.write_text(secrets.token_hex(16))
    try:
        os.link(draft, place)
    finally:
        draft.unlink()
