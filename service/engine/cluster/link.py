"""The server's link to its cluster: a thread whose event loop keeps a connection to the scheduler and makes calls.

Dask's client needs a loop of its own. A call is passed to this loop as a whole, and its outcome is passed back.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from service.core import codec
from service.core.moves import Outcome, WorkerLost
from service.core.run import Level
from service.engine.call import CallInterrupted
from service.engine.cluster.call import ClusterCall, Disconnected, Lost, Overdue
from service.engine.cluster.local import LocalCluster
from service.engine.cluster.messages import TOPICS, Ended, GivenUp, NeedsTools, Request, Unfit, checked
from service.engine.cluster.settings import ClusterSettings
from service.engine.cluster.versions import versions_here
from service.engine.isolation.launcher import SECRETS
from service.engine.timeouts import timed_out
from service.engine.ways.way import Attempt

if TYPE_CHECKING:  # Dask is slow to import, and only the extra `dask` installs it.
    from service.engine.cluster.session import Session

logger = logging.getLogger(__name__)

PAUSE_S_MIN, PAUSE_S_MAX = 0.2, 5.0
"""The shortest and the longest pause between two attempts to connect."""
CLOSE_S = 3.0


class ClusterLink:
    """Keeps a connection to the cluster from `start` to `close`. The engine's loop awaits `ready` and `call`."""

    def __init__(self, settings: ClusterSettings, secret_variables: frozenset[str] = SECRETS) -> None:
        self._settings = settings
        self._local = LocalCluster(settings, secret_variables) if settings.address is None else None
        self._topic = f"rungraph-{secrets.randbelow(TOPICS)}"
        self._versions = versions_here()
        self._tools = ""
        self._digest = ""
        self._session: Session | None = None
        self._connected = asyncio.Event()
        self._changed = asyncio.Event()
        """Set when the reason why there is no connection may have changed, and then replaced by a new event."""
        self._because = "it was not reached yet"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._work, name="rungraph-cluster", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def close(self) -> None:
        """End the connection, and with it the calls that are in flight."""
        if self._loop is not None and self._task is not None and not self._loop.is_closed():
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._task.cancel)
        if self._local is not None:
            self._local.close()
        self._thread.join(CLOSE_S)

    async def ready(self, attempt: Attempt) -> None:
        """Wait until the cluster is connected. Say in the run's log what the attempt waits for."""
        if self._session is None:
            await self._on_loop(self._wait(attempt))

    async def call(self, attempt: Attempt, request: Request) -> Outcome:
        """Have a worker make the call. Raise CallInterrupted if it is unknown how far the call came."""
        outcome: Outcome = await self._on_loop(self._call(attempt, request))
        return outcome

    def request(self, attempt: Attempt, message: list[Any], mark: str) -> Request:
        timeout_s, arguments = attempt.move.timeout_s, self._settings.tool_arguments
        return Request("", self._topic, self._versions, message, timeout_s, self._digest, arguments, mark)

    async def _on_loop(self, coroutine: Any) -> Any:
        loop = self._loop
        if loop is None or loop.is_closed():
            coroutine.close()
            raise asyncio.CancelledError  # The server has stopped.
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))

    def _work(self) -> None:
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                self._task = self._loop.create_task(self._connect())
                self._ready.set()
                with suppress(asyncio.CancelledError):
                    self._loop.run_until_complete(self._task)
        except BaseException:
            logger.critical("the link to the cluster has ended", exc_info=True)
        finally:
            self._ready.set()

    async def _connect(self) -> None:
        """Connect, and connect again whenever the connection is lost, until the link is closed."""
        from service.engine.cluster.session import NotConnected, Session

        _quieten_dask()
        self._tools = codec.encode(self._settings.tools())
        self._digest = hashlib.sha256(self._tools.encode("utf-8", "surrogatepass")).hexdigest()
        pause_s = PAUSE_S_MIN
        while True:
            try:
                address = self._settings.address or await self._start_local()
                session = await Session.connect(address, self._settings.name, self._topic)
            except NotConnected as error:
                self._tell(f"{error}")
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_S_MAX)
                continue
            pause_s = PAUSE_S_MIN
            await self._hold(session)

    async def _hold(self, session: Session) -> None:
        try:
            logger.info("connected with %s", self._settings.name)
            self._session = session
            self._connected.set()
            self._tell(await session.watch())
        finally:
            self._session = None
            self._connected.clear()
            await session.close()

    async def _start_local(self) -> str:
        from service.engine.cluster.session import NotConnected

        assert self._local is not None
        self._tell("it is starting")
        try:
            return await self._local.address()
        except OSError as error:
            raise NotConnected(f"it cannot be started: {error}") from error

    def _tell(self, because: str) -> None:
        if because != self._because:
            self._because = because
            (logger.info if because == "it is starting" else logger.warning)("%s: %s", self._settings.name, because)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait(self, attempt: Attempt) -> Session:
        told = ""
        while (session := self._session) is None:
            what = f"{self._settings.name} ({self._because})"
            if what != told:
                told = what
                note(attempt, f"waits for {what}", {"waits_for": what}, Level.WARNING)
            waits = [asyncio.ensure_future(event.wait()) for event in (self._connected, self._changed)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waits:
                    each.cancel()
        return session

    async def _call(self, attempt: Attempt, request: Request) -> Outcome:
        tools: str | None = None
        told = ""
        refused: set[str] = set()
        session = await self._wait(attempt)
        call = ClusterCall(request._replace(tools=self._digest), attempt.move.resources or {}, attempt.lines)
        while True:
            match answer := await session.call(call, tools):
                case Ended() if await call.finish(answer):
                    return checked(answer.outcome, attempt.run.state, attempt.state_bytes_max)
                case NeedsTools():
                    tools = self._tools
                case Ended():
                    return WorkerLost("the worker has died: another one has made its call")
                case Lost(worker=worker, because=because) if call.has_begun:
                    return WorkerLost(f"the worker {worker} was lost: {because}")
                case Overdue():
                    return timed_out(attempt.move)
                case Disconnected(because=because) if call.has_begun:
                    raise CallInterrupted(f"{self._settings.name} was lost during this attempt: {because}")
                case GivenUp() if call.has_begun:
                    raise CallInterrupted(f"{self._settings.name} has dropped the call during this attempt")
                case Unfit(worker="", because=because) if because != told:
                    told = because
                    what = f"a worker of {self._settings.name} that can be used ({because})"
                    note(attempt, f"waits for {what}", {"waits_for": what}, Level.WARNING)
                    await asyncio.sleep(1)
                case Unfit(worker=worker) if worker and worker not in refused:
                    refused.add(worker)  # The session now excludes it, so the call is submitted again at once.
                case _:
                    await asyncio.sleep(PAUSE_S_MIN)
            session = await self._wait(attempt)


def note(attempt: Attempt, message: str, place: dict[str, str], level: Level) -> None:
    """Add a line that says where the call is. `GET /runs/{id}/why` reads the last such line."""
    attempt.lines.note(message, level, {"cluster": place})


def _quieten_dask() -> None:
    """Silence Dask's own log. The engine reports what matters in the server's log and format."""
    for name in ("distributed", "distributed.client", "bokeh", "tornado"):
        found = logging.getLogger(name)
        found.handlers.clear()
        found.propagate = True
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
