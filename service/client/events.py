"""Read server-sent events: the lines of a run, one an event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


class EventReader:
    """Collects the text of a stream into events (the HTML standard, section 9.2.6), and returns their data.

    Lines end with a line feed alone. Other characters at which Python splits lines may be part of the data.
    """

    def __init__(self) -> None:
        self._rest = ""
        self._data: list[str] = []

    def feed(self, text: str) -> Iterator[dict[str, Any]]:
        """Take the next text of the stream, and yield the events that it completes."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            field, _, value = line.removesuffix("\r").partition(":")
            if field == "data":
                self._data.append(value.removeprefix(" "))
            elif not field and not value and self._data:
                data, self._data = self._data, []
                yield json.loads("\n".join(data))
