"""Check that a worker sees the server's folder of runs.

The folder contains a file with a random text, the folder's mark. The server sends the mark with each call, and the
worker compares it with the file that it sees.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

MARK = ".rungraph-folder"


def mark_of(folder: Path) -> str:
    """Return the folder's mark, and create its file if it is missing. Return an empty string if that fails."""
    place = folder / MARK
    for _ in range(2):
        with suppress(OSError):
            return place.read_text()
        with suppress(OSError):
            _make(place)
    return ""


def is_shared(folder: Path, mark: str) -> bool:
    """Return whether this machine has the folder and its mark is `mark`. An empty mark never matches."""
    try:
        return bool(mark) and (folder / MARK).read_text() == mark
    except (OSError, ValueError):
        return False


def _make(place: Path) -> None:
    """Create the file with a new mark atomically. Raise OSError if another server has created it first."""
    draft = place.with_name(f"{MARK}.{secrets.token_hex(8)}")
    draft.write_text(secrets.token_hex(16))
    try:
        os.link(draft, place)
    finally:
        draft.unlink()
