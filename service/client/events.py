"""Read server-sent events: the lines of a run, one an event."""

from __future__ import annotations

import json
from typing import Any


class EventReader:
    """Collects the lines of a stream into events (the HTML standard, section 9.2.6), and returns their data."""

    def __init__(self) -> None:
        self._data: list[str] = []

    def feed(self, line: str) -> dict[str, Any] | None:
        """Take one line of the stream, without its end, and return the event that it completes, if it does."""
        if not line:
            data, self._data = self._data, []
            return json.loads("\n".join(data)) if data else None
        field, _, value = line.partition(":")
        if field == "data":
            self._data.append(value.removeprefix(" "))
        return None
