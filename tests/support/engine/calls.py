"""Call the tools of `hostile` in real processes, without a store."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.core.moves import CallTool, Outcome, Succeeded
from service.core.run import Level, Run
from service.core.state import State
from service.core.tool import Tool
from service.core.transitions import Status
from service.core.validation import read_graph
from service.engine.attempt import Attempts
from service.engine.isolation.pool import ProcessPool
from service.engine.lines import LineBuffer
from service.engine.threads import Threads
from service.engine.tool_loop import ToolLoop
from service.engine.ways import Way
from tests.support.engine import hostile

STATE_BYTES_MAX = 2**24
COMMAND = (
    sys.executable,
    "-P",
    "-c",
    "from service.engine.isolation.main import serve; from tests.support.engine.hostile import TOOLS; "
    "serve(lambda _: TOOLS)",
)
DEADLINE_S = 120.0
GRAPH = read_graph({"start_node": "a", "nodes": {"a": "tool"}}, ["tool"])


class Heard(LineBuffer):
    """The lines of an attempt, for who waits for one."""

    def __init__(self, move: CallTool) -> None:
        super().__init__(move)
        self._heard = threading.Condition()

    def keep(self, message: str, level: Level, data: str, at: float) -> bool:
        is_kept = super().keep(message, level, data, at)
        with self._heard:
            self._heard.notify_all()
        return is_kept

    async def until(self, message: str) -> Any:
        """The data of the line that begins so."""
        return await asyncio.to_thread(self._until, message)

    def _until(self, message: str) -> Any:
        with self._heard:
            assert self._heard.wait_for(lambda: self._data(message), DEADLINE_S), f"nobody said {message!r}"
        return json.loads(self._data(message)[0])

    def _data(self, message: str) -> list[str]:
        return [line.data for line in self.rest() if line.message.startswith(message)]


@dataclass
class Carrier:
    has_given_up: bool = False
    begun: int = 0

    async def begin(self) -> None:
        self.begun += 1


@dataclass
class Made:
    """An attempt that goes on."""

    task: asyncio.Task[Outcome]
    lines: Heard
    carrier: Carrier

    async def outcome(self) -> Outcome:
        async with asyncio.timeout(DEADLINE_S):
            return await self.task

    async def pid(self) -> int:
        """Of the process that serves it, as its tool has said."""
        return int((await self.lines.until("begun"))["pid"])


@dataclass
class Calls:
    attempts: Attempts
    isolation: ProcessPool
    state: State = field(default_factory=lambda: State({}))

    def begin(
        self,
        tool: str,
        *,
        isolate: bool = True,
        resources: dict[str, int | float] | None = None,
        timeout_s: float | None = None,
        metadata: dict[str, Any] | None = None,
        **state: Any,
    ) -> Made:
        before = State.of(state, STATE_BYTES_MAX) if state else self.state
        run = Run("r", GRAPH, Status.RUNNING, 6, "a", before)
        move = CallTool("a", tool, metadata or {}, 7, 2, timeout_s, isolate, resources=resources)
        lines, carrier = Heard(move), Carrier()
        attempt = self.attempts.attempt(run, move, lines, carrier)
        return Made(asyncio.get_running_loop().create_task(attempt), lines, carrier)

    async def call(self, tool: str, **options: Any) -> Outcome:
        return await self.begin(tool, **options).outcome()

    async def returned(self, tool: str, **options: Any) -> dict[str, Any]:
        """The values that a tool has set, which has to succeed."""
        outcome = await self.call(tool, **options)
        assert isinstance(outcome, Succeeded), outcome
        return {key: json.loads(entry.text) for key, entry in outcome.changes.set.items()}


@contextmanager
def calls(
    folder: Path,
    *,
    tools: Mapping[str, Tool] = hostile.TOOLS,
    command: Sequence[str] = COMMAND,
    loads: Callable[[], Any] = dict,
    threads: int = 4,
    on_cluster: Callable[[], Way] = lambda: None,  # type: ignore[assignment, return-value]
) -> Iterator[Calls]:
    isolation = ProcessPool(command, STATE_BYTES_MAX, loads)
    tool_loop = ToolLoop(nullcontext)
    tool_loop.start()
    attempts = Attempts(tools, Threads(threads), folder / "runs", STATE_BYTES_MAX, isolation, tool_loop, on_cluster())
    try:
        yield Calls(attempts, isolation)
    finally:
        isolation.close()
        tool_loop.close()


def in_calls(folder: Path, script: Callable[[Calls], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        with calls(folder, **options) as made:
            return await script(made)

    return asyncio.run(run())


def is_alive(pid: int) -> bool:
    """Whether there is such a process that is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until_dead(*pids: int) -> None:
    end = time.monotonic() + DEADLINE_S
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < end, "a process lives on"
        time.sleep(0.005)
