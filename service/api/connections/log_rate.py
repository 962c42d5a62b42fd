"""Limit the log records that clients can cause: one per second of each kind, with a count of the omitted ones."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

LINE_EVERY_S = 1.0
KINDS_MAX = 1000
_KIND_CHARS_MAX = 100
_LOGGERS = ("asyncio", "uvicorn.error", "service.api", "service.store.database.reader")
"""Loggers that report what clients and the network do."""


@dataclass(slots=True)
class _Kind:
    logged_at: float
    omitted: int = 0


class RateLimit(logging.Filter):
    """A filter that passes one record of each kind per LINE_EVERY_S, and all records below WARNING.

    The kind of a record is its logger, its level, the first line of its message before formatting, and its exception.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[tuple[str, int, str, str], _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        now = time.monotonic()
        key = _kind_of(record)
        kind = self._kinds.get(key)
        if kind is not None and now < kind.logged_at + LINE_EVERY_S:
            kind.omitted += 1
            return False
        if kind is not None and kind.omitted:
            record.msg = f"{record.getMessage().rstrip()} (and {kind.omitted} more of this kind)"
            record.args = None
        if len(self._kinds) >= KINDS_MAX:
            self._kinds.clear()
        self._kinds[key] = _Kind(now)
        return True


@contextmanager
def rate_limited_logs() -> Iterator[None]:
    """Apply one RateLimit to the loggers in _LOGGERS during the block."""
    rate_limit = RateLimit()
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(rate_limit)
    try:
        yield
    finally:
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(rate_limit)


def _kind_of(record: logging.LogRecord) -> tuple[str, int, str, str]:
    error = record.exc_info[1] if record.exc_info else None
    first_line = str(record.msg).partition("\n")[0]
    return record.name, record.levelno, first_line[:_KIND_CHARS_MAX], repr(error)[:_KIND_CHARS_MAX]
