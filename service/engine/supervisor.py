"""The owner of the engine's tasks: claims runs that are due, and starts a runner for each.

It always reconciles: hints make it look at once, and without any it looks every second, so a run that
nobody carries is picked up by whoever finds it, at start and always.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from service.core.errors import LeaseLost, Unavailable
from service.engine.attempt import Attempts
from service.engine.runner import Runner
from service.engine.tool_loop import ToolLoop
from service.store import Store
from service.store.records import Lease
from service.store.servers import AHEAD_MAX
from service.store.wake import CLAIMABLE, REVOKED

logger = logging.getLogger(__name__)

POLL_S = 1.0
YIELD_S = 0.05
"""How long runs are left to a server that has less to do."""
CLAIMS_MAX = 100
"""Runs claimed in one transaction."""


@dataclass(slots=True, eq=False)
class _Carried:
    runner: Runner
    task: asyncio.Task[None] | None = None
    """None while it goes over from one loop to the other."""


class Supervisor:
    """Lives on the engine's loop; `runners` and `lost` may be used from other threads.

    Its runners are carried there as well, or on the tools' loop.
    """

    def __init__(
        self,
        store: Store,
        attempts: Attempts,
        active_runs_max: int,
        tool_loop: ToolLoop,
        family: str | None = None,
    ) -> None:
        """`family`: the id of the run to claim, with its descendants; all others are left to the servers."""
        self._tool_loop = tool_loop
        self._store = store
        self._family = family
        self._attempts = attempts
        self._active_runs_max = active_runs_max
        self._carried: dict[str, _Carried] = {}
        self._tasks: asyncio.TaskGroup
        self.is_claiming = False
        """Whether runs can be claimed, as far as that depends on this process and not on the database."""
        self._stopping = False
        self._polite = True
        self._batch = AHEAD_MAX
        self._woken = asyncio.Event()
        self._revoked = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def runners(self) -> list[Runner]:
        return [carried.runner for carried in list(self._carried.values())]

    def has_room(self) -> bool:
        return len(self._carried) < self._active_runs_max

    def has_heard(self) -> bool:
        """Whether leases may have been taken back since this was last asked."""
        heard = self._revoked.is_set()
        self._revoked.clear()
        return heard

    def stop(self) -> None:
        """Claim no more, and let every run rest at its next step boundary."""
        self._stopping = True
        self._woken.set()
        for runner in self.runners():
            runner.stop()

    def cancel(self) -> None:
        """End every attempt now; what a tool still returns is refused."""
        for carried in list(self._carried.values()):
            self._give_up(carried)

    def lost(self, lease: Lease) -> None:
        """Stop carrying a run whose lease no longer holds. From any thread."""
        self._loop.call_soon_threadsafe(self._lose, lease)

    async def run(self) -> None:
        """Until `stop`, and then until every runner has come to rest."""
        async with asyncio.TaskGroup() as self._tasks:
            subscribe = self._store.wake.subscribe
            with subscribe(CLAIMABLE) as self._woken, subscribe(REVOKED) as self._revoked:
                await self._enter()
                while not self._stopping:
                    self._woken.clear()
                    await self._rest(await self._claim())
            # Those of this loop are waited for by the group; the others may have to come back to it.
            while self._carried:
                self._woken.clear()
                await self._rest(POLL_S)

    async def _enter(self) -> None:
        entered = self._family is not None
        while not (entered or self._stopping):
            try:
                await (self._store.servers.join() if self._store.is_shared else self._store.leases.seize())
                entered = True
            except Unavailable as error:
                logger.warning("no run can be claimed yet: %s", error)
                await self._rest(POLL_S)

    async def _claim(self) -> float:
        """Claim what is due and there is room for; for how many seconds there is nothing to claim, unless woken."""
        room = min(self._active_runs_max - len(self._carried), CLAIMS_MAX)
        if room <= 0:
            return POLL_S
        try:
            share = await self._share(room)
            claim = self._store.leases.claim
            claimed = await claim(share, self._carried.keys(), family=self._family) if share else []
            self.is_claiming = True
        except Unavailable as error:
            self.is_claiming = True
            logger.warning("no run can be claimed now: %s", error)
            return POLL_S
        except Exception as error:
            self.is_claiming = self._store.is_databases(error)
            # A fault of ours, or a database that somebody else is changing: those that are carried go on.
            logger.exception("no run can be claimed now")
            return POLL_S
        self._take_up([_Carried(Runner(each, self._store, self._attempts, self._has_one)) for each in claimed])
        if len(claimed) < share:
            return min(POLL_S, self._store.leases.next_due_s)
        return 0.0 if self._polite else YIELD_S

    async def _share(self, room: int) -> int:
        """How many runs to claim now: a fair share, or after the others had their turn a batch of what is left."""
        if self._family is not None or not self._store.is_shared:
            return room
        if not self._polite:
            # More each time: others that leave so much may be gone.
            batch, self._batch = min(room, self._batch), min(self._batch * 2, CLAIMS_MAX)
            self._polite = True
            return batch
        share = await self._store.servers.share(room, len(self._carried))
        self._polite = share == room
        if self._polite:
            self._batch = AHEAD_MAX
        return share

    def _take_up(self, claimed: list[_Carried]) -> None:
        there = []
        for carried in claimed:
            if self._stopping:  # Asked for while the claim was on its way.
                carried.runner.stop()
            self._carried[carried.runner.lease.run_id] = carried
            if carried.runner.needs_tool_loop:
                there.append(carried)
            else:
                self._begin_here(carried)
        if there:
            self._tool_loop.call(self._begin_there, there)  # All at once: they go over in one hop.

    def _begin_here(self, carried: _Carried) -> None:
        carried.task = self._tasks.create_task(self._carry(carried, is_tool_loop=False))

    def _begin_there(self, several: list[_Carried]) -> None:
        for carried in several:
            carried.task = asyncio.get_running_loop().create_task(self._carry(carried, is_tool_loop=True))

    async def _carry(self, carried: _Carried, *, is_tool_loop: bool) -> None:
        runner, run_id = carried.runner, carried.runner.lease.run_id
        is_at_rest = True
        try:
            if runner.has_given_up:  # While it went over.
                return
            is_at_rest = await runner.carry(is_tool_loop=is_tool_loop)
            if is_at_rest and runner.is_unfinished:
                await self._store.leases.release(runner.lease, interrupted=False)
        except LeaseLost as lost:
            logger.warning(
                "%s, and what came of its step is refused: the run was cancelled, or another server carries it", lost
            )
        except Unavailable as error:
            logger.warning("run %s is left to its lease: %s", run_id, error)
        except Exception:
            # A fault of ours must cost the other runs nothing; this one is taken over when its lease ends.
            logger.exception("run %s was dropped", run_id)
        finally:
            if is_at_rest:
                self._put_down(carried)
        if not is_at_rest:
            self._hand_over(carried, from_tool_loop=is_tool_loop)

    def _hand_over(self, carried: _Carried, *, from_tool_loop: bool) -> None:
        """Have a run carried on the other loop from here on."""
        carried.task = None
        if from_tool_loop:
            self._call_here(self._begin_here, carried)
        else:
            self._tool_loop.call(self._begin_there, [carried])

    def _put_down(self, carried: _Carried) -> None:
        """Of any loop: the run is not carried any more."""
        is_full = len(self._carried) >= self._active_runs_max
        run_id = carried.runner.lease.run_id
        if self._carried.get(run_id) is carried:
            del self._carried[run_id]
        if is_full or carried.runner.is_waiting or self._stopping:
            self._call_here(
                self._woken.set
            )  # There is room again; or what it waits for has come before it was put down.

    def _call_here(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function` on this loop: at once where that is the one that runs."""
        if self._tool_loop.is_here():
            with suppress(RuntimeError):  # This loop has ended.
                self._loop.call_soon_threadsafe(function, *arguments)
        else:
            function(*arguments)

    def _give_up(self, carried: _Carried) -> None:
        carried.runner.give_up()
        if (task := carried.task) is None:
            return  # It goes over to the other loop, and is given up there.
        if task.get_loop() is self._loop:
            task.cancel()
        else:
            self._tool_loop.call(task.cancel)

    def _has_one(self) -> bool:
        return len(self._carried) == 1

    def _lose(self, lease: Lease) -> None:
        carried = self._carried.get(lease.run_id)
        if carried is None or carried.runner.lease != lease or carried.runner.has_given_up:
            return
        # One that has come to rest meanwhile, or just comes to it, gives its lease back and has lost nothing.
        if carried.runner.is_unfinished and not carried.runner.is_committing:
            logger.warning("the lease %d on run %s was lost, or taken back by a cancel", lease.token, lease.run_id)
            self._give_up(carried)

    async def _rest(self, seconds: float) -> None:
        if seconds:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
