"""The engine: a thread with its own event loop, on which runs are executed.

Async tools have another thread and another loop. An async tool that blocks holds up other async tools and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from service.core.errors import StartRefused, Unavailable
from service.core.metrics import Metric
from service.core.tool import Tool
from service.engine.attempt import Attempts
from service.engine.cluster.link import ClusterLink
from service.engine.cluster.settings import ClusterSettings
from service.engine.guard import forks
from service.engine.guard.block_detector import BlockDetector
from service.engine.guard.lifeline import Lifeline
from service.engine.guard.watchdog import LoopCheck, Watchdog
from service.engine.heartbeat import Heartbeat, flush
from service.engine.isolation.launcher import secrets_of
from service.engine.isolation.pool import ProcessPool
from service.engine.supervisor import Supervisor
from service.engine.threads import Threads
from service.engine.tool_loop import ToolLoop
from service.engine.ways.on_cluster import OnCluster
from service.store import Store

logger = logging.getLogger(__name__)

GRACE_S = 10.0
"""How long running steps may go on after a stop was requested."""
LAST_WRITES_S = 1.5
"""How long a stop waits for the database to release runs."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The settings of an engine."""

    runs_folder: Path
    active_runs_max: int
    tool_threads_max: int
    state_bytes_max: int
    lease_s: float
    isolated_command: tuple[str, ...] = ()
    """The command that starts a process for isolated tools; see isolation/main.py."""
    isolated_tools: Callable[[], Any] = dict
    """Returns the JSON value that tells such a process which tools to load."""
    active_bytes_max: float = math.inf
    """No further run is claimed while the states of all runs in progress have this many bytes or more in total."""
    cluster: ClusterSettings | None = None
    """The cluster that calls tools, or None if there is none."""


class Engine:
    """Executes runs from `start` until `stop`: all runs, or only the run with the id `family` and its descendants."""

    def __init__(
        self, store: Store, tools: Mapping[str, Tool], settings: EngineSettings, *, family: str | None = None
    ) -> None:
        self._store = store
        self._family = family
        self._tools = tools
        self._settings = settings
        self._threads = Threads(settings.tool_threads_max)
        self._isolation = ProcessPool(
            settings.isolated_command, settings.state_bytes_max, settings.isolated_tools, secrets_of(store.is_shared)
        )
        self._cluster = None
        if settings.cluster is not None:
            self._cluster = ClusterLink(settings.cluster, secrets_of(store.is_shared))
        self._supervisor: Supervisor | None = None
        self._heartbeat: Heartbeat | None = None
        self._tool_loop: ToolLoop | None = None
        self._detector: BlockDetector | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_asked_at: float | None = None
        self._ready = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, name="rungraph-engine", daemon=True)

    def start(self) -> None:
        self._lifeline = Lifeline()
        forks.tie_children(self._lifeline)
        self._thread.start()
        self._ready.wait()
        if self._supervisor is None:
            raise StartRefused("the engine could not start; see the log")

    def ask_to_stop(self) -> None:
        """Stop claiming runs, and stop the runs in progress at their next step boundary.

        Return at once. Any thread and any signal handler may call this.
        """
        if self._stop_asked_at is None and self._loop is not None and self._supervisor is not None:
            self._stop_asked_at = time.monotonic()
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._supervisor.stop)

    async def stop(self) -> None:
        """Stop the engine. Wait until every run rests or is released, but little longer than GRACE_S."""
        self.ask_to_stop()
        asked_at = self._stop_asked_at or time.monotonic()
        await asyncio.to_thread(self._done.wait, max(0.0, asked_at + GRACE_S - time.monotonic()))
        if not self._done.is_set():
            await self._release_the_rest()
        await self._leave()
        if self._tool_loop is not None:
            await asyncio.to_thread(self._tool_loop.close)
        if self._cluster is not None:
            await asyncio.to_thread(self._cluster.close)
        await asyncio.to_thread(self._isolation.close)
        await asyncio.to_thread(self._threads.close)
        forks.tie_children(None)
        self._lifeline.close()  # Otherwise the interpreter would wait at its exit for children of multiprocessing.

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def metrics(self) -> Sequence[Metric]:
        """Return what this engine has counted since its start."""
        if self._supervisor is None or self._heartbeat is None:
            return ()
        age_s = self._heartbeat.renewal_age_s()
        renewed = Metric("lease_renewal_age_seconds", "gauge", "Time since leases were last renewed.", age_s)
        return (*self._supervisor.metrics(), renewed)

    async def answer(self) -> None:
        """Wait until the engine's loop has answered. Return at once if the loop has ended or was never started."""
        here = asyncio.get_running_loop()
        answered: asyncio.Future[None] = here.create_future()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(here.call_soon_threadsafe, _answer, answered)
            await answered

    def describe_block(self) -> str | None:
        """Describe the async tool that has blocked all others for at least a second, or return None."""
        return None if self._detector is None else self._detector.describe()

    def watch(self, watchdog: Watchdog) -> None:
        """Let `watchdog` check that this engine can execute runs. Call this after `start`."""
        if self._loop is not None:
            watchdog.add("the engine's loop does not move", LoopCheck(self._loop))
        # Only the thread of the tools' loop is checked: a tool that blocks that loop is no reason to end the server.
        watchdog.add("it can call no async tool", lambda: self._tool_loop is not None and self._tool_loop.is_alive())
        watchdog.add("it can claim no run", self._is_claiming, once_well=True)
        watchdog.add("it renews no lease", lambda: self._heartbeat is not None and self._heartbeat.is_alive())

    def _is_claiming(self) -> bool:
        return self._supervisor is not None and self._supervisor.is_claiming

    async def _release_the_rest(self) -> None:
        """Release the runs that are still in progress. Use the caller's loop, because the engine's loop may be busy."""
        if self._supervisor is None or self._loop is None:
            return
        try:
            async with asyncio.timeout(LAST_WRITES_S):
                runners = self._supervisor.runners()
                for runner in runners:
                    flush(self._store, runner)
                # Release them concurrently, so that one commit writes all releases.
                release = self._store.leases.release
                await asyncio.gather(*(release(runner.lease, interrupted=runner.is_attempting) for runner in runners))
        except (TimeoutError, Unavailable) as error:
            logger.warning("runs are left to their leases: %s", error or "the database is busy")
        # Cancel after the release: `runners` does not list a runner whose task has ended. Since the release, the fence
        # refuses whatever the runners still commit.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._supervisor.cancel)

    async def _leave(self) -> None:
        if self._store.is_shared and self._family is None:
            try:
                async with asyncio.timeout(LAST_WRITES_S):
                    await self._store.servers.leave()
            except (TimeoutError, Unavailable) as error:
                logger.warning("other servers do not know of this stop: %s", error or "the database is busy")

    def _work(self) -> None:
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                runner.run(self._supervise())
        except BaseException:
            logger.critical("the engine has stopped", exc_info=True)
        finally:
            self._done.set()
            self._ready.set()

    async def _supervise(self) -> None:
        settings = self._settings
        self._tool_loop = tool_loop = ToolLoop(partial(self._store.committing_inline, only_own=True))
        tool_loop.start()
        attempts = Attempts(
            self._tools,
            self._threads,
            settings.runs_folder,
            settings.state_bytes_max,
            self._isolation,
            tool_loop,
            self._start_cluster(),
        )
        self._supervisor = Supervisor(
            self._store, attempts, settings.active_runs_max, settings.active_bytes_max, self._family
        )
        self._detector = BlockDetector(tool_loop, self._supervisor.runners)
        self._heartbeat = heartbeat = Heartbeat(
            self._store,
            self._supervisor.runners,
            self._supervisor.drop,
            renew_every_s=settings.lease_s / 3,
            as_server=self._family is None,
            has_room=self._supervisor.has_room,
            must_check_leases=self._supervisor.must_check_leases,
            check_loop=self._detector.check,
        )
        heartbeat.start()
        self._ready.set()
        try:
            with self._store.committing_inline():
                await self._supervisor.run()
        finally:
            heartbeat.stop()

    def _start_cluster(self) -> OnCluster | None:
        if self._cluster is None or self._settings.cluster is None:
            return None
        self._cluster.start()
        return OnCluster(self._cluster, self._settings.cluster.calls_max)


def _answer(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
