"""Large answers are held while they are sent, and slow readers hold them long: all of them together are bounded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

LARGE_BYTES_MIN = 2**20
HELD_BYTES_MAX = 128 * 2**20
"""Of all large answers that are being sent. One alone may be larger."""


class Large:
    """The large answers of one application that are being sent. Belongs to one event loop."""

    def __init__(self) -> None:
        self.held_bytes = 0

    @contextmanager
    def hold(self, size: int) -> Iterator[bool]:
        """Whether there is room for an answer of that size, which is taken meanwhile."""
        if self.held_bytes and self.held_bytes + size > HELD_BYTES_MAX:
            yield False
            return
        self.held_bytes += size
        try:
            yield True
        finally:
            self.held_bytes -= size
