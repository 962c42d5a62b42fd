"""The log of a server: each line one event, with the run, node and attempt that it concerns."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from service.core.errors import StartRefused
from service.logs import JsonFormatter
from service.settings import Settings
from tests.support.system.process import serving

TOOLS = """
import logging
from service import tool

@tool
def noisy():
    try:
        {}["missing"]
    except KeyError:
        logging.getLogger("mine").exception("two\\nlines of %s", "mine")

@tool
def failing():
    raise ValueError("boom")
"""
GRAPH = {"start_node": "a", "nodes": {"a": "noisy", "b": "failing"}, "edges": {"a": "b"}}


def test_a_server_logs_each_event_as_a_json_object_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOLS)
    with serving(tmp_path, tools=["tools.py"], RUNGRAPH_LOG_FORMAT="json", RUNGRAPH_LOG_LEVEL="info") as server:
        run_id = server.run(server.create(GRAPH))
        assert server.follow(run_id)["status"] == "failed"
        server.stop()
    lines = [line for line in server.said.splitlines() if not line.startswith("Rungraph serves")]
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert all({"ts", "level", "logger", "message"} <= record.keys() for record in records)
    events = [
        (each["event"], each["node"], each["attempt"])
        for each in records
        if each.get("run") == run_id
        if "event" in each
    ]
    assert events == [("step_completed", "a", 1), ("step_failed", "b", 1), ("run_failed", "b", 1)]
    [noise] = [each for each in records if each["logger"] == "mine"]
    assert (noise["message"], noise["run"], noise["node"], noise["step"]) == ("two\nlines of mine", run_id, "a", 1)
    assert noise["traceback"].endswith("KeyError: 'missing'")
    asked = [each["message"] for each in records if each["logger"] == "uvicorn.access"]
    assert any("POST /graph/run" in message for message in asked)


class Unspeakable:
    def __str__(self) -> str:
        raise ValueError("not this one")

    __repr__ = __str__


def test_a_record_that_cannot_be_formatted_is_a_line_all_the_same() -> None:
    record = logging.LogRecord("mine", logging.ERROR, "file", 1, "it is %s", (Unspeakable(),), None)
    found = json.loads(JsonFormatter().format(record))
    assert found["message"] == "'it is %s' (ValueError in its arguments)"


def test_a_misspelt_setting_is_named_with_the_one_that_was_meant() -> None:
    given = {"RUNGRAPH_DATABSE_URL": "x", "RUNGRAPH_TOOL": "x", "RUNGRAPH_MINE": "x", "RUNGRAPH_PORT": "8000"}
    assert Settings.from_environment(given).warnings == (
        "RUNGRAPH_DATABSE_URL is not the name of a setting; did you mean RUNGRAPH_DATABASE_URL?",
        "RUNGRAPH_TOOL is not the name of a setting; did you mean RUNGRAPH_TOOLS?",
    )


@pytest.mark.parametrize("name", ["RUNGRAPH_LOG_FORMAT", "RUNGRAPH_LOG_LEVEL"])
def test_a_setting_of_the_log_that_is_none_is_refused(name: str) -> None:
    assert Settings.from_environment({"RUNGRAPH_LOG_FORMAT": "JSON"}).log_format == "json"
    with pytest.raises(StartRefused, match=f"{name} is 'odd'; it takes one of"):
        Settings.from_environment({name: "odd"})
