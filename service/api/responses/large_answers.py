"""Bound the memory of large answers. An answer stays in memory until its client has read it, which may take long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from anyio import CapacityLimiter

LARGE_BYTES_MIN = 2**16
"""Smaller answers are not counted: with one on each of CONNECTIONS_MAX connections, they take at most 128 MiB."""
HELD_BYTES_MAX = 64 * 2**20
"""The most bytes of all large answers in progress together. An answer may be larger if no other is in progress."""
WRITERS_MAX = 4
"""How many answers with large states are encoded at a time, each on a thread."""


class LargeAnswers:
    """The large answers that one application is sending. Belongs to one event loop."""

    def __init__(self) -> None:
        self.held_bytes = 0
        self.writers = CapacityLimiter(WRITERS_MAX)
        """Limits the threads that encode answers with large states."""

    @contextmanager
    def hold(self, size: int) -> Iterator[bool]:
        """Reserve `size` bytes until the block ends, and yield True. If there is no room for them, only yield False."""
        if self.held_bytes and self.held_bytes + size > HELD_BYTES_MAX:
            yield False
            return
        self.held_bytes += size
        try:
            yield True
        finally:
            self.held_bytes -= size
