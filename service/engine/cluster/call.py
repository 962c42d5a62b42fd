"""One call on the cluster, as the server follows it: its lines, the worker that makes it, and how it ends."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from service.core import codec
from service.core.run import Level
from service.engine.cluster.messages import Ended, Request
from service.engine.lines import LineBuffer, fitted

ARRIVE_S = 10.0
"""How long to wait, after a call has ended, for lines that were sent before its end."""

OVERDUE_S = 30.0
"""How long after the timeout to wait for the worker to enforce it."""


class Lost(NamedTuple):
    """The worker that makes the call has died or left the cluster."""

    worker: str
    because: str


class Disconnected(NamedTuple):
    """The scheduler is gone or has dropped the call, or a worker has sent a malformed answer."""

    because: str


class Overdue(NamedTuple):
    """The worker has not enforced the timeout within OVERDUE_S."""


class Released(NamedTuple):
    """No worker has the call. It is submitted again, since workers that were excluded or have joined may make it."""


End = Lost | Disconnected | Overdue | Released
"""How a call ends without an answer."""


class Told(IntEnum):
    """What the run's log already says about a call that waits for a worker."""

    NOTHING = 0
    WAITS = 1
    UNFIT = 2
    """The log also names workers that cannot be used."""


class ClusterCall:
    """A call on the cluster. It is used only on the loop of ClusterLink."""

    def __init__(self, request: Request, resources: Mapping[str, int | float], lines: LineBuffer) -> None:
        self.request = request
        self.resources = resources
        self.lines = lines
        self.worker: str | None = None
        """The address of the worker that has begun the call; None before it begins."""
        self.assigned: str | None = None
        """The address of the worker that has taken the call, and may still load the tools; None if no worker has."""
        self.ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        """Set if the call ends without an answer. If a release is taken back, a new future replaces this one."""
        self.told = Told.NOTHING
        self.allowed: list[str] | None = None
        """The addresses of the workers that may make the call; None if all may."""
        self._execution = ""
        self._name = ""
        self._batches = 0
        self._arrived = asyncio.Event()

    @property
    def has_begun(self) -> bool:
        return self.worker is not None

    def renew(self) -> None:
        """Make the call ready to be submitted. From now on, messages of a former submission are ignored."""
        self.request = self.request._replace(call_id=secrets.token_hex(16))
        self.ended = asyncio.get_running_loop().create_future()
        self.allowed = self.assigned = None

    def excludes(self, worker: str) -> bool:
        """Return whether the call still waits for a worker and `worker` is not allowed to make it."""
        is_waiting = self.assigned is None and not self.has_begun
        return is_waiting and self.allowed is not None and worker not in self.allowed

    def leave(self, worker: str) -> None:
        """Note that `worker` has left the cluster.

        The call is lost if it had begun there. If it had only been taken, it waits for a worker again.
        """
        if self.worker == worker:
            self.lose("it has left the cluster")
        elif self.assigned == worker:
            self.assigned = None
            if self.allowed is not None:  # Workers that have joined since the call was submitted are not in `allowed`.
                self.end(Released())

    def end(self, how: End) -> None:
        if not self.ended.done():
            self.ended.set_result(how)

    def lose(self, because: str) -> None:
        """End the call, because its worker is lost."""
        self.end(Lost(f"{self._name} ({self.worker})", because))

    def note(self, message: str, place: dict[str, str], level: Level = Level.INFO) -> None:
        """Add a line that says where the call is. `GET /runs/{id}/why` reads the last such line."""
        self.lines.note(message, level, {"cluster": place})

    def take(self, event: Mapping[str, Any], dashboard: str) -> None:
        """Process an event that a worker has sent. Ignore an event of an unknown shape."""
        match event:
            case {"kind": "assigned", "address": str(address)}:
                self._take_release_back()
                self.assigned = address
            case {"kind": "begun", "execution": str(execution), "name": str(name), "address": str(address)}:
                self._begin(execution, name, address, dashboard)
            case {"kind": "lines", "execution": self._execution, "number": int(number), "lines": str(lines)}:
                if number == self._batches + 1:
                    self._batches = number
                    self._keep(codec.loads(lines))
                    self._arrived.set()

    async def finish(self, answer: Ended) -> bool:
        """Wait for the last lines, and add them to the run's log.

        If the call has begun and `answer` is from another execution of its task, return False and add nothing.
        """
        if self.has_begun and answer.execution != self._execution:
            return False
        try:
            async with asyncio.timeout(ARRIVE_S):
                while self._batches < answer.batches:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            self.lines.add(f"lines of this step were lost: {answer.batches - self._batches} batches", Level.WARNING)
        self._keep(answer.lines)
        self.lines.leave_out(answer.left_out)
        return True

    def _begin(self, execution: str, name: str, address: str, dashboard: str) -> None:
        self._take_release_back()
        if self.has_begun:
            # Dask repeats the call of a dead worker. This attempt ends, and the next one makes the call.
            self.lose("its call was begun by another worker")
            return
        self.worker, self._name, self._execution = address, name[:200], execution
        link = {"dashboard": dashboard} if dashboard else {}
        self.note(f"called on the worker {self._name} ({address})", {"worker": self._name, "address": address, **link})
        if (timeout_s := self.request.timeout_s) is not None:
            asyncio.get_running_loop().call_later(timeout_s + OVERDUE_S, self.end, Overdue())

    def _take_release_back(self) -> None:
        """Take back a release that was not acted upon yet, because a worker makes the call after all."""
        if self.ended.done() and isinstance(self.ended.result(), Released):
            self.ended = asyncio.get_running_loop().create_future()

    def _keep(self, lines: Any) -> None:
        now = time.monotonic()
        for line in lines if isinstance(lines, list) else ():
            match line:
                case [str(message), str(level), str(data), int(age) | float(age)] if level in tuple(Level):
                    values = codec.loads(data)
                    text, data = fitted(message, values if isinstance(values, dict) else {"data": values})
                    self.lines.keep(text, Level(level), data, now - max(0.0, age))
