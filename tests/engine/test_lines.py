"""Lines: readable while their step goes on, fit for any database, never a reason to fail."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from pathlib import Path
from typing import Any

from service.engine.guard.log_capture import take
from service.engine.lines import current
from service.store.rows.records import LineRecord
from tests.support.engine.harness import Bench, running

ONCE = {"start_node": "a", "nodes": {"a": "tool"}}


class Silent:
    def __repr__(self) -> str:
        raise ValueError("no repr")


def logged(folder: Path, tool: Any) -> list[LineRecord]:
    """The `log` lines of a run of `tool`, which must complete."""

    async def script() -> list[LineRecord]:
        async with running(folder, tool) as bench:
            await bench.start("r", ONCE)
            lines = await bench.lines("r")
            assert lines[-1].event == "run_completed"
            assert [line.seq for line in lines] == list(range(1, len(lines) + 1))
            return [line for line in lines if line.event == "log"]

    return asyncio.run(script())


async def test_lines_can_be_read_before_their_step_ends_and_stay_if_it_fails(tmp_path: Path) -> None:
    read = threading.Event()

    def tool(context: Any) -> None:
        context.log("half way")
        assert read.wait(60)
        raise ValueError

    async def until_read(bench: Bench) -> None:
        async for lines in bench.store.tails.lines("r", 0, gone=lambda _: False):
            if any(line.message == "half way" for line in lines):
                assert (await bench.store.runs.get("r")).step == 0
                read.set()
                return

    async with running(tmp_path, tool) as bench:
        await bench.start("r", ONCE)
        await until_read(bench)
        lines = await bench.lines("r")
    assert [line.event for line in lines] == ["run_started", "log", "step_failed", "run_failed"]


def test_logging_inside_tools_plain_and_async_becomes_lines(tmp_path: Path) -> None:
    logger = logging.getLogger("somebody")

    async def tool(context: Any) -> None:
        logger.debug("not this")
        logger.info("count %d", 3)
        logger.warning("careful")
        try:
            raise KeyError("k")
        except KeyError:
            logger.exception("with a trace")
        await asyncio.to_thread(logger.error, "from a thread of the tool's own")
        context.log("by context", colour="red")

    lines = logged(tmp_path, tool)
    assert [(line.level, line.message) for line in lines] == [
        ("info", "count 3"),
        ("warning", "careful"),
        ("error", "with a trace"),
        ("error", "from a thread of the tool's own"),
        ("info", "by context"),
    ]
    assert "KeyError" in json.loads(lines[2].data)["traceback"]
    assert json.loads(lines[4].data) == {"colour": "red"}
    assert {(line.node, line.step, line.attempt) for line in lines} == {("a", 1, 1)}


def test_whatever_is_logged_is_made_to_fit(tmp_path: Path) -> None:
    def tool(context: Any) -> None:
        context.log("nul \0 and \ud800", value={1, 2}, deep={"a": [Silent(), "\0"]}, nan=float("nan"), big=2**70)
        context.log("é" * 20_000)
        context.log({"no": "string"})
        context.log("much", data="x" * 2**20)

    first, long, odd, much = logged(tmp_path, tool)
    assert first.message == "nul \ufffd and \ufffd"
    data = json.loads(first.data)
    assert data["value"] == "{1, 2}"
    assert data["deep"]["a"][1] == "\ufffd"
    assert (data["nan"], data["big"]) == ("nan", 2**70)
    assert long.message == "é" * 8192
    assert odd.message == "{'no': 'string'}"
    assert list(json.loads(much.data)) == ["cut"]


class Changing(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("changed meanwhile")


def test_nothing_that_is_logged_fails_the_step(tmp_path: Path) -> None:
    class Exits:
        def __repr__(self) -> str:
            raise SystemExit(3)

    def tool(context: Any) -> None:
        shared: list[Any] = [1]
        for _ in range(60):
            shared = [shared, shared]
        cyclic: list[Any] = []
        cyclic += [cyclic, cyclic]
        context.log("names", message="x", self=1)
        context.log("exits", value=Exits())
        context.log("changing", value=Changing())
        context.log("shared", value=shared, cyclic=cyclic)
        # Handed over directly: pytest's own handler would raise.
        for message, trace in (("trace", ("a", "b", "c")), (Exits(), None)):
            record = logging.LogRecord("x", logging.INFO, "file", 1, "", None, None)
            record.msg, record.exc_info = message, trace  # type: ignore[assignment]  # as a tool might
            lines = current.get()
            assert lines is not None
            assert take(record, lines)

    messages = [line.message for line in logged(tmp_path, tool)]
    assert messages[:5] == ["names", "exits", "changing", "shared", "trace"]
    assert len(messages) == 6


def test_beyond_ten_thousand_lines_one_line_counts_the_rest(tmp_path: Path) -> None:
    def tool(context: Any) -> None:
        for number in range(10_007):
            context.log(str(number))

    lines = logged(tmp_path, tool)
    assert len(lines) == 10_001
    assert lines[9_999].message == "9999"
    assert lines[-1].message.startswith("7 more lines")
