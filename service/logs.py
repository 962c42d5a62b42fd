"""The log of the process: one line for each event, as text for people or as JSON for programs.

In JSON, a record that concerns a run has the members `run`, `node`, `step` and `attempt` as far as they are known. A
record that a tool logs concerns the attempt that calls the tool.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from service.engine.lines import LineBuffer, current

FIELDS = ("event", "run", "node", "step", "attempt")
"""The attributes of a record that become members of its JSON object."""
_OURS = ("service", "uvicorn")
"""The loggers whose level `configure` sets. All others keep the level of the root logger, which is WARNING."""
_TEXT = "%(levelname)s: %(name)s: %(message)s"


def configure(log_format: str, level: str) -> None:
    """Write the log records of this process to stderr, unless the root logger has handlers. Set the level of _OURS."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(handlers=[handler])
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object in one line. A traceback is one member."""

    def format(self, record: logging.LogRecord) -> str:
        members: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message_of(record),
            **_place_of_tool(),
        }
        given = {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
        if record.exc_info and record.exc_info[0] is not None:
            given["traceback"] = self.formatException(record.exc_info)
        if record.stack_info:
            given["stack"] = self.formatStack(record.stack_info)
        # Core's encoder would refuse lone surrogates, and a tool may log any text.
        return json.dumps(members | given, default=repr)


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # A tool's argument may raise anything.
        return f"{record.msg!r:.1000} ({type(error).__name__} in its arguments)"


def _place_of_tool() -> Mapping[str, Any]:
    """Return the fields that name the attempt whose tool is running, or no fields if the caller is not a tool."""
    lines = current.get()
    return lines.place if isinstance(lines, LineBuffer) else {}
