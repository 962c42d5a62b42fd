"""A log that clients cannot fill: of lines of one kind, one a second, with a count of those that were left out."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

LINE_EVERY_S = 1.0
KINDS_MAX = 1000
_KIND_CHARS_MAX = 100
_LOGGERS = ("asyncio", "uvicorn.error", "service.api")
"""Those that log what clients and the network do."""


@dataclass(slots=True)
class _Kind:
    told_at: float
    left_out: int = 0


class Sparing(logging.Filter):
    """Lets one record of a kind through in LINE_EVERY_S; a kind is a first line of a message with its exception."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[tuple[str, int, str, str], _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        now = time.monotonic()
        key = _kind_of(record)
        kind = self._kinds.get(key)
        if kind is not None and now < kind.told_at + LINE_EVERY_S:
            kind.left_out += 1
            return False
        if kind is not None and kind.left_out:
            record.msg = f"{record.getMessage().rstrip()} (and {kind.left_out} more of this kind)"
            record.args = None
        if len(self._kinds) >= KINDS_MAX:
            self._kinds.clear()
        self._kinds[key] = _Kind(now)
        return True


@contextmanager
def sparing_logs() -> Iterator[None]:
    """Meanwhile what clients cause is logged sparingly."""
    sparing = Sparing()
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(sparing)
    try:
        yield
    finally:
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(sparing)


def _kind_of(record: logging.LogRecord) -> tuple[str, int, str, str]:
    error = record.exc_info[1] if record.exc_info else None
    first_line = str(record.msg).partition("\n")[0]
    return record.name, record.levelno, first_line[:_KIND_CHARS_MAX], repr(error)[:_KIND_CHARS_MAX]
