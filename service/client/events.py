"""Read server-sent events. Each event holds one log line of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


class EventReader:
    """Parses the text of a stream as events (the HTML standard, section 9.2.6), and yields the data of each event.

    Only a line feed, or a carriage return and a line feed, ends a line. The other characters at which `str.splitlines`
    splits may be part of the data.
    """

    def __init__(self) -> None:
        self._rest = ""
        self._data: list[str] = []

    def feed(self, text: str) -> Iterator[dict[str, Any]]:
        """Take the next text of the stream, and yield the data of the events that this text completes."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            field, _, value = line.removesuffix("\r").partition(":")
            if field == "data":
                self._data.append(value.removeprefix(" "))
            elif not field and not value and self._data:
                data, self._data = self._data, []
                yield json.loads("\n".join(data))
