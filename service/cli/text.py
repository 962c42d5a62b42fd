"""Format runs and lines of the log as text: pure functions.

A line of the log becomes one line of text: control characters in it are escaped. The lines of a traceback follow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from service.core import codec

CELL_CHARS_MAX = 32

_MARKS = {"warning": "!", "error": "✗"}


def brief(line: dict[str, Any]) -> str:
    """Return a line of the log as it is shown while the run goes on: without the date."""
    return f"{line['ts'][11:23]} {_said(line)}"


def full(line: dict[str, Any]) -> str:
    """Return a line of the log with its date, the data that the tool added, and its traceback below."""
    below = traceback_of(line)
    data = {name: value for name, value in line["data"].items() if name != "traceback" or not isinstance(value, str)}
    added = f" {shown(codec.encode(data))}" if data else ""
    return "\n".join([f"{line['ts'][:10]} {line['ts'][11:23]} {_said(line)}{added}", *below])


def traceback_of(line: dict[str, Any]) -> list[str]:
    """Return the lines of the traceback in the data of `line`, printable and indented. No traceback gives no lines."""
    trace = line["data"].get("traceback")
    return [f"    {shown(each)}" for each in trace.splitlines()] if isinstance(trace, str) else []


def shown(text: str) -> str:
    """Return `text` in one line: characters that move a cursor or end a line are escaped."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text)


def cell(text: str) -> str:
    """Return `text` cut to the width of a cell, or a dash if it is empty."""
    text = shown(text[: CELL_CHARS_MAX + 1])
    return (text if len(text) <= CELL_CHARS_MAX else text[: CELL_CHARS_MAX - 1] + "…") or "-"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return `rows` as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def duration(started_at: str | None, finished_at: str | None, now: datetime) -> str:
    """Return the time from start to end, or until `now` if there is no end yet. A dash: there is no start yet."""
    if started_at is None:
        return "-"
    end = now if finished_at is None else datetime.fromisoformat(finished_at)
    seconds = max(0.0, (end - datetime.fromisoformat(started_at)).total_seconds())
    if seconds < 60:
        return f"{seconds:.3f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 24 else f"{hours // 24} d {hours % 24:02} h"


def _said(line: dict[str, Any]) -> str:
    return f"{_MARKS.get(line['level'], ' ')} {shown(line['node'] or ''):9} {shown(line['message'])}"
