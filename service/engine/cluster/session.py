"""One connection to the scheduler of a cluster, which submits calls and receives their events."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import warnings
from collections.abc import Mapping
from concurrent import futures
from contextlib import suppress
from typing import Any, cast

from distributed import Client, Future, KilledWorker
from distributed.comm.core import CommClosedError

from service.engine.cluster.call import ClusterCall, Disconnected, End, Lost, Released, Told
from service.engine.cluster.messages import Answer, Unfit, decode_answer
from service.engine.cluster.versions import describe_misfit, versions_here, versions_of_report
from service.engine.cluster.worker import make_call
from service.engine.cluster.workers import Workers

logger = logging.getLogger(__name__)

CONNECT_S = 5.0
CLOSE_S = 1.0
WATCH_S = 0.2
"""How soon a lost connection is noticed if no call is in flight."""
TELL_S = 1.0
"""A call that has not begun after this time writes to its run's log what it waits for."""
NAMED_MAX = 3
"""The most unusable workers that the log line of a waiting call names."""


class NotConnected(Exception):
    """The scheduler cannot be reached; the message says why."""


class Session:
    """A connection to a scheduler, used on one loop. It is not used again after it was lost."""

    def __init__(self, client: Client, name: str, topic: str) -> None:
        self._client = client
        self._name = name
        self._topic = topic
        self._stream = client.scheduler_comm
        self._calls: dict[str, ClusterCall] = {}
        self._workers = Workers(client, name, self._tell_all, self._release)
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Set to the reason when the connection is lost."""

    @classmethod
    async def connect(cls, address: str, name: str, topic: str) -> Session:
        """Connect to the scheduler. Raise NotConnected if that fails."""
        client: Client | None = None
        session: Session | None = None
        try:
            async with asyncio.timeout(2 * CONNECT_S):
                # Dask warns of differing versions, for example. `_begin` checks the versions itself.
                with warnings.catch_warnings(action="ignore"):
                    client = Client(
                        address, asynchronous=True, timeout=CONNECT_S, set_as_default=False, name="rungraph"
                    )
                    await client
                session = cls(client, name, topic)
                await session._begin()
                return session
        except (Exception, asyncio.CancelledError) as error:
            if session is not None:
                session._workers.close()
            if client is not None:
                await _close(client)
            if (task := asyncio.current_task()) and task.cancelling():
                raise asyncio.CancelledError from error  # The link is being closed.
            raise NotConnected(_describe(error, has_answered=session is not None)) from error

    async def close(self) -> None:
        self.lose("the connection was closed")
        self._workers.close()
        await _close(self._client)

    async def watch(self) -> str:
        """Wait until the connection is lost, and return the reason."""
        while not self.lost.done():
            if self._client.status != "running" or self._client.scheduler_comm is not self._stream:
                self.lose("the connection with the scheduler was lost")
            await asyncio.wait([self.lost], timeout=WATCH_S)
        return self.lost.result()

    def lose(self, because: str) -> None:
        if not self.lost.done():
            self.lost.set_result(because)
        for call in list(self._calls.values()):
            call.end(Disconnected(because))

    async def call(self, call: ClusterCall, tools: str | None) -> Answer | End:
        """Have a worker make the call. Return its answer, or how the call ended without one.

        `tools` are the tools to send with the call, as JSON; None if the worker may have them already. If cancelled,
        the worker gives up the call.
        """
        call.renew()
        self._calls[call.request.call_id] = call
        future: Future[Any] | None = None
        teller = asyncio.get_running_loop().call_later(TELL_S, self._tell, call)
        try:
            workers = await self._fitting_workers()
            if self.lost.done():
                return Disconnected(self.lost.result())
            call.allowed = workers
            future = self._submit(call, tools)
            result = asyncio.ensure_future(_result(future))
            while not result.done() and not call.ended.done():
                ends: list[asyncio.Future[Any]] = [result, call.ended]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if call.ended.done():
                result.cancel()
                return call.ended.result()
            return self._noted(result.result())
        finally:
            teller.cancel()
            if future is not None:
                future.release()
            del self._calls[call.request.call_id]

    def _submit(self, call: ClusterCall, tools: str | None) -> Future[Any]:
        text = call.request.encode()
        key = f"{call.request.tool:.100}-{secrets.token_hex(16)}"  # The dashboard groups keys by their beginnings.
        with warnings.catch_warnings(action="ignore"):  # Dask warns of large arguments.
            return self._client.submit(
                make_call,
                text,
                tools,
                key=key,
                pure=False,
                resources=dict(call.resources) or None,
                workers=call.allowed,
            )

    async def _fitting_workers(self) -> list[str] | None:
        """Return the addresses of the workers that fit, or None if no worker is unfit or the connection is lost.

        If there are unfit workers and none that fits, wait until that changes.
        """
        while self._workers.unfit and not self.lost.done():
            if fitting := self._workers.fitting:
                return fitting
            self._workers.changed.clear()
            change = asyncio.ensure_future(self._workers.changed.wait())
            ends: list[asyncio.Future[Any]] = [change, self.lost]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            change.cancel()
        return None

    def _tell_all(self) -> None:
        for call in self._calls.values():
            if call.told:
                self._tell(call)

    def _tell(self, call: ClusterCall) -> None:
        """Write to the run's log what a call that has not begun waits for.

        The line is written once, and a second time if a worker turns out to be unfit later.
        """
        unfit = [
            f"; the worker {address} cannot be used: {because}"
            for address, because in itertools.islice(self._workers.unfit.items(), NAMED_MAX)
        ]
        if call.has_begun or call.told >= (told := Told.UNFIT if unfit else Told.WAITS):
            return
        call.told = told
        demands = ", ".join(f"{name} {amount:g}" for name, amount in call.resources.items())
        what = f"a worker of {self._name}" + (f" with {demands}" if demands else "") + "".join(unfit)
        call.note(f"waits for {what}", {"waits_for": what})

    def _noted(self, answer: Answer | End) -> Answer | End:
        if isinstance(answer, Unfit) and answer.worker:
            self._workers.refuse(answer.worker, answer.because)
        return answer

    async def _begin(self) -> None:
        """Subscribe to events, and find the workers. Raise NotConnected if the scheduler's versions are not ours."""
        self._client.subscribe_topic(self._topic, self._take)
        self._client.subscribe_topic("all", self._hear)
        ours = versions_here()
        theirs = versions_of_report(await cast(Any, self._client.scheduler).versions(packages=[]))
        if misfit := describe_misfit({name: ours[name] for name in ("dask", "distributed")}, theirs):
            raise NotConnected(f"its scheduler does not fit: {misfit}")
        await self._workers.begin()

    def _take(self, event: tuple[float, Any]) -> None:
        """Pass a worker's event to its call. Ignore an event for another server that shares the topic."""
        message = event[1]
        call = self._calls.get(message.get("call", "")) if isinstance(message, Mapping) else None
        if call is not None:
            call.take(message, self._dashboard())

    def _hear(self, event: tuple[float, Any]) -> None:
        """Handle an event of the scheduler: a worker has joined or left the cluster."""
        match event[1]:
            case {"action": "add-worker", "worker": str(worker)}:
                self._workers.add(worker)
            case {"action": "remove-worker", "worker": str(worker)}:
                self._workers.remove(worker)
                for call in list(self._calls.values()):
                    call.leave(worker)

    async def _release(self, worker: str) -> None:
        """Release the calls that no worker has taken and the new `worker` can make. They are then submitted again."""
        if not (excluding := [call for call in self._calls.values() if call.excludes(worker)]):
            return
        found = await self._workers.resources(worker) if any(call.resources for call in excluding) else {}
        for call in self._calls.values():
            if call.excludes(worker) and _are_met(call.resources, found):
                call.end(Released())

    def _dashboard(self) -> str:
        try:
            return str(self._client.dashboard_link or "")
        except Exception:  # The link depends on the scheduler's answer and on Dask's configuration.
            return ""


def _are_met(demands: Mapping[str, float], found: Mapping[str, float] | None) -> bool:
    """Return whether the resources `found` at a worker meet the demands. Return True if they are unknown (None)."""
    return found is None or all(found.get(name, 0) >= amount for name, amount in demands.items())


async def _result(future: Future[Any]) -> Answer | End:
    try:
        answer = await future
    except KilledWorker as error:
        return Lost("", f"{error}")
    except futures.CancelledError as error:  # Dask has cancelled the future. This task was not cancelled.
        return Disconnected(f"the cluster has dropped the call: {error}")
    except Exception as error:  # Whatever prevents a worker from running our function.
        return Unfit("", f"{type(error).__name__}: {error}")
    try:
        return decode_answer(answer)
    except (ValueError, TypeError) as error:  # Unlike an unfit worker, this one may have called the tool.
        return Disconnected(f"a worker has sent a malformed answer: {error}")


def _describe(error: BaseException, *, has_answered: bool) -> str:
    """Return in words why the scheduler cannot be used. Log the traceback of an unexpected error.

    `has_answered` tells whether Dask's client has connected.
    """
    match error:
        case NotConnected():
            return f"{error}"
        case TimeoutError():
            return "it does not answer"
        case OSError() if not isinstance(error, CommClosedError):
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            return f"{error}" if cause is error or not f"{cause}" else f"{error}: {cause}"
        case _ if has_answered and not isinstance(error, CommClosedError | asyncio.CancelledError):
            # This may be a bug in Rungraph.
            logger.warning("the scheduler has answered, but cannot be used", exc_info=error)
            return f"its scheduler cannot be used ({type(error).__name__}: {error})"
        case _:  # For example, another service listens there, or tls:// is used without certificates.
            logger.debug("Dask's client cannot connect", exc_info=error)
            return f"no scheduler of Dask with this configuration answers there ({type(error).__name__}: {error})"


async def _close(client: Client) -> None:
    with suppress(Exception):  # For example because the scheduler has ended.
        async with asyncio.timeout(CLOSE_S):
            await client.close(timeout=CLOSE_S)
