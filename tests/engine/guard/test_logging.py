"""What a tool logs, on any thread and whatever became of `logging`, becomes lines of its run and of no other."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from service.core.moves import Succeeded
from service.core.tool import Tool
from tests.support.engine import logging_tools
from tests.support.engine.calls import Calls, Made, in_calls
from tests.support.engine.logging_tools import LOGGER, ON_THREADS, SILENCING, TOOLS, logging_put_back

COMMAND = (
    sys.executable,
    "-P",
    "-c",
    "from service.engine.isolation.main import serve; from tests.support.engine.logging_tools import TOOLS; "
    "serve(lambda _: TOOLS)",
)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    with logging_put_back(logging.getLogger("tests"), LOGGER):
        yield


def messages(made: Made) -> list[str]:
    return [line.message for line in made.lines.rest()]


async def logged(calls: Calls, tool: str, *, isolate: bool = False, **metadata: Any) -> list[str]:
    """What a call that succeeds has logged."""
    made = calls.begin(tool, isolate=isolate, metadata=metadata)
    outcome = await made.outcome()
    assert isinstance(outcome, Succeeded), outcome
    made.lines.close()
    return messages(made)


@pytest.mark.parametrize("tool", ON_THREADS, ids=lambda tool: str(tool.__name__))
def test_what_is_logged_on_a_thread_of_a_tools_is_its_runs(tmp_path: Path, tool: Callable[..., Any]) -> None:
    async def script(calls: Calls) -> None:
        assert await logged(calls, tool.__name__) == ["said"]

    in_calls(tmp_path, script, tools=TOOLS)


def test_isolated_tools_log_on_threads_and_after_silencing_as_well(tmp_path: Path) -> None:
    async def script(calls: Calls) -> None:
        for tool in ON_THREADS:
            assert await logged(calls, tool.__name__, isolate=True) == ["said"], tool
        for tool in SILENCING:
            assert await logged(calls, tool.__name__, isolate=True) == []
            assert await logged(calls, "plainly", isolate=True) == ["said"], tool

    in_calls(tmp_path, script, tools=TOOLS, command=COMMAND)


def test_a_pool_that_outlives_an_attempt_logs_for_whoever_uses_it(tmp_path: Path) -> None:
    async def script(calls: Calls) -> None:
        for isolate in (False, True):
            for number in range(6):
                said = await logged(calls, "on_the_modules_pool", isolate=isolate, says=str(number))
                assert said == [str(number)]

    in_calls(tmp_path, script, tools=TOOLS, command=COMMAND)


@pytest.mark.parametrize("silence", SILENCING, ids=lambda tool: str(tool.__name__))
def test_no_tool_silences_another(tmp_path: Path, silence: Callable[[], None]) -> None:
    silenced = threading.Event()

    def silencing() -> None:
        LOGGER.info("before")
        silence()
        LOGGER.info("after")
        silenced.set()

    def at_the_same_time() -> None:
        assert silenced.wait(20)
        logging.getLogger().info("by the root")
        LOGGER.debug("not this")
        LOGGER.info("meanwhile")

    async def script(calls: Calls) -> None:
        other = asyncio.create_task(logged(calls, "at_the_same_time"))
        assert await logged(calls, "silencing") == ["before", "after"]
        assert await other == ["by the root", "meanwhile"]
        assert await logged(calls, "plainly") == ["said"]

    in_calls(tmp_path, script, tools=logged_tools(silencing, at_the_same_time, logging_tools.plainly))


def logged_tools(*tools: Callable[..., Any]) -> dict[str, Any]:
    return {tool.__name__: Tool.of(tool) for tool in tools}


def test_what_the_author_of_a_logger_has_set_for_it_counts(tmp_path: Path) -> None:
    quiet, below = logging.getLogger("tests.quiet"), logging.getLogger("tests.quiet.below")
    quiet.setLevel(logging.WARNING)
    filtered = logging.getLogger("tests.filtered")
    asked: list[str] = []

    def lets_through(record: logging.LogRecord) -> bool:
        asked.append(record.msg)
        return record.msg != "refused"

    filtered.addFilter(lets_through)

    def tool() -> None:
        for logger in (quiet, below):
            logger.info("too low")
            logger.warning("high enough")
        filtered.info("refused")
        filtered.info("let through")

    async def script(calls: Calls) -> None:
        assert await logged(calls, "tool") == ["high enough", "high enough", "let through"]
        assert asked == ["refused", "let through"]

    try:
        in_calls(tmp_path, script, tools=logged_tools(tool))
    finally:
        quiet.setLevel(logging.NOTSET)
        filtered.filters.clear()


def test_the_processs_own_handlers_hear_what_its_settings_let_through_and_no_more(tmp_path: Path) -> None:
    heard: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    def tool() -> None:
        LOGGER.info("a line alone")
        LOGGER.warning("a line, and heard")

    async def script(calls: Calls) -> None:
        assert await logged(calls, "tool") == ["a line alone", "a line, and heard"]
        assert heard == ["a line, and heard"]
        LOGGER.warning("nobody's")
        LOGGER.info("nobody's at all")
        assert heard == ["a line, and heard", "nobody's"]

    root, ear = logging.getLogger(), Ear()
    root.setLevel(logging.WARNING)
    root.addHandler(ear)
    try:
        in_calls(tmp_path, script, tools=logged_tools(tool))
    finally:
        root.removeHandler(ear)


def test_what_a_thread_logs_that_outlives_its_attempt_is_nobodys_line(tmp_path: Path) -> None:
    leave, left = threading.Event(), threading.Event()

    def leaves_a_thread(context: Any) -> None:
        def late() -> None:
            assert leave.wait(20)
            LOGGER.warning("late")
            context.log("late")
            left.set()

        threading.Thread(target=late, daemon=True).start()

    def meanwhile() -> None:
        leave.set()
        assert left.wait(20)
        LOGGER.info("mine")

    async def script(calls: Calls) -> None:
        first = calls.begin("leaves_a_thread", isolate=False)
        await first.outcome()
        first.lines.close()  # As the runner does.
        assert await logged(calls, "meanwhile") == ["mine"]
        assert messages(first) == []

    in_calls(tmp_path, script, tools=logged_tools(leaves_a_thread, meanwhile))


def test_outside_of_attempts_threads_and_loggers_are_as_ever() -> None:
    def add(one: int, to: int) -> int:
        return to + one

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(add, 1, to=2).result() == 3
        with pytest.raises(KeyError):
            pool.submit({0: 1}.__getitem__, 1).result()
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    with pytest.raises(RuntimeError):
        thread.start()
    assert not logging.getLogger("tests.new").isEnabledFor(logging.DEBUG - 1)
