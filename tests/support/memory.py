"""A place in memory for the files of the tests, where a sync takes no time."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_MEMORY = Path("/dev/shm")
_FREE_BYTES_MIN = 2**32


def memory_folder() -> Path | None:
    """Return a folder in memory, or None if there is none with enough room."""
    has_room = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _FREE_BYTES_MIN
    return _MEMORY if has_room else None
