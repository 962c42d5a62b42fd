"""Bound the memory of large answers, which slow readers keep in memory for long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from anyio import CapacityLimiter

LARGE_BYTES_MIN = 2**16
"""Answers below it are not counted: all connections together hold at most 128 MiB of them."""
HELD_BYTES_MAX = 64 * 2**20
"""The most bytes that all large answers in progress may hold together. A single answer may be larger."""
WRITERS_MAX = 4
"""How many large answers are written at a time, each on a thread."""


class LargeAnswers:
    """The large answers that one application is sending. Belongs to one event loop."""

    def __init__(self) -> None:
        self.held_bytes = 0
        self.writers = CapacityLimiter(WRITERS_MAX)
        """The threads that write large answers."""

    @contextmanager
    def hold(self, size: int) -> Iterator[bool]:
        """Reserve `size` bytes during the block. Yield whether there was room."""
        if self.held_bytes and self.held_bytes + size > HELD_BYTES_MAX:
            yield False
            return
        self.held_bytes += size
        try:
            yield True
        finally:
            self.held_bytes -= size
