"""Claim runs that are due, including those of dead servers, and start a runner for each.

The supervisor owns all tasks of the engine. It polls at least once a second, and events make it poll at once. So a due
run is claimed even if its event is lost.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from service.core.errors import LeaseLost, Unavailable
from service.core.metrics import Metric
from service.engine.attempt import Attempts
from service.engine.call import CallInterrupted
from service.engine.heartbeat import flush
from service.engine.runner import Runner
from service.store import Store
from service.store.commands.servers import AHEAD_MAX
from service.store.database.local_events import CLAIMABLE, REVOKED
from service.store.rows.records import Claimed, Lease

logger = logging.getLogger(__name__)

POLL_S = 1.0
YIELD_S = 0.05
"""How long due runs are left to servers that execute fewer runs, before this server claims some of them."""
CLAIMS_MAX = 100
"""The most runs that one claim takes."""
MEASURE_EVERY_S = 0.25
"""How often the states of all carried runs are measured."""
FULL_SHARE = 7 / 8
"""If runs wait for room, large runs are stopped until the states have at most this share of `active_bytes_max`."""


class Supervisor:
    """Claims runs. Call `run`, `stop` and `cancel` on the engine's loop; any thread may call the other methods."""

    def __init__(
        self, store: Store, attempts: Attempts, active_runs_max: int, active_bytes_max: float, family: str | None = None
    ) -> None:
        """If `family` is the id of a run, claim only this run and its descendants.

        No run is claimed while the states of all carried runs have `active_bytes_max` bytes or more in total.
        """
        self._store = store
        self._family = family
        self._attempts = attempts
        self._active_runs_max = active_runs_max
        self._active_bytes_max = active_bytes_max
        self._state_bytes = 0
        """The size of the states of all carried runs when last measured, plus the states of the runs claimed since."""
        self._measured_at = 0.0
        self._is_short_of_bytes = False
        """Whether the last claim used up the room for states, so that other due runs may wait for room."""
        self._carried: dict[str, tuple[Runner, asyncio.Task[None]]] = {}
        self.is_claiming = False
        """Whether the last claim met no fault, other than one of the database. False before the first claim."""
        self._stopping = False
        self._takes_share = True
        self._batch = AHEAD_MAX
        self._woken = asyncio.Event()
        self._revoked = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def runners(self) -> list[Runner]:
        return [runner for runner, _ in list(self._carried.values())]

    def metrics(self) -> Sequence[Metric]:
        carried = len(self._carried)
        free = max(0, self._active_runs_max - carried)
        return (
            *self._attempts.figures.metrics(),
            Metric("engine_runs", "gauge", "Runs that this server executes.", carried),
            Metric("engine_free_slots", "gauge", "Runs that this server could execute besides.", free),
        )

    def has_room(self) -> bool:
        return len(self._carried) < self._active_runs_max

    def must_check_leases(self) -> bool:
        """Return whether leases may have been revoked since the last call."""
        heard = self._revoked.is_set()
        self._revoked.clear()
        return heard

    def stop(self) -> None:
        """Claim no more runs, and stop every run at its next step boundary."""
        self._stopping = True
        self._woken.set()
        for runner in self.runners():
            runner.stop()

    def cancel(self) -> None:
        """Cancel every attempt now; results that tools return later are refused."""
        for runner, task in list(self._carried.values()):
            runner.give_up()
            task.cancel()

    def drop(self, lease: Lease) -> None:
        """Stop executing the run of a lease that no longer holds. Any thread may call this."""
        self._loop.call_soon_threadsafe(self._drop, lease)

    async def run(self) -> None:
        """Claim runs until `stop`, and then wait until every runner has stopped."""
        async with asyncio.TaskGroup() as tasks:
            subscribe = self._store.events.subscribe
            with subscribe(CLAIMABLE) as self._woken, subscribe(REVOKED) as self._revoked:
                await self._join()
                while not self._stopping:
                    self._woken.clear()
                    await self._wait_for_work(min(await self._claim(tasks), self._next_look_s()))

    async def _join(self) -> None:
        joined = self._family is not None
        while not (joined or self._stopping):
            try:
                await (self._store.servers.join() if self._store.is_shared else self._store.leases.seize())
                joined = True
            except Unavailable as error:
                logger.warning("no run can be claimed yet: %s", error)
                await self._wait_for_work(POLL_S)

    async def _claim(self, tasks: asyncio.TaskGroup) -> float:
        """Start the runs of schedules, and claim due runs if there is room.

        Return the number of seconds until the next claim. An event makes the next claim come earlier.
        """
        if self._family is None:
            self._store.schedules.look()
        room = min(self._active_runs_max - len(self._carried), CLAIMS_MAX)
        if room <= 0:
            return POLL_S
        if (room_bytes := self._room_bytes()) <= 0:
            return MEASURE_EVERY_S
        try:
            share = await self._count_to_claim(room)
            claimed = await self._claim_up_to(share, room_bytes) if share else []
            self.is_claiming = True
        except Unavailable as error:
            self.is_claiming = True
            logger.warning("no run can be claimed now: %s", error)
            return POLL_S
        except Exception as error:
            self.is_claiming = self._store.is_databases(error)
            # The engine has a fault, or the schema is being changed. Runs that are carried already go on.
            logger.exception("no run can be claimed now")
            return POLL_S
        claimed_bytes = sum(each.run.state.byte_length for each in claimed)
        self._state_bytes += claimed_bytes
        self._is_short_of_bytes = claimed_bytes >= room_bytes
        for each in claimed:
            runner = Runner(each, self._store, self._attempts, self._is_alone)
            if self._stopping:  # `stop` was called during the claim.
                runner.stop()
            self._carried[each.lease.run_id] = (runner, tasks.create_task(self._carry(each, runner)))
        if self._is_short_of_bytes:
            return MEASURE_EVERY_S
        if len(claimed) < share:
            return min(POLL_S, self._store.leases.next_due_s)
        return 0.0 if self._takes_share else YIELD_S

    async def _claim_up_to(self, count: int, bytes_max: float) -> list[Claimed]:
        held, tools = self._carried.keys(), self._attempts.tools
        return await self._store.leases.claim(count, held, family=self._family, tools=tools, bytes_max=bytes_max)

    def _room_bytes(self) -> float:
        """Return how many bytes of states may still be claimed.

        Every MEASURE_EVERY_S seconds, measure the states of the carried runs, and stop large runs if there is no room.
        """
        now = time.monotonic()
        if now >= self._measured_at + MEASURE_EVERY_S:
            self._measured_at = now
            sizes = {runner: runner.state_bytes for runner in self.runners()}
            self._state_bytes = sum(sizes.values())
            share = FULL_SHARE if self._is_short_of_bytes else 1
            if self._state_bytes > share * self._active_bytes_max:
                self._stop_large_runs(sizes, share * self._active_bytes_max)
        return self._active_bytes_max - self._state_bytes

    def _stop_large_runs(self, sizes: Mapping[Runner, int], bytes_max: float) -> None:
        """Stop runs of at least average size until the states of the other runs have at most `bytes_max` bytes.

        A run stops at its next step boundary. It is queued again behind the runs that are due, so that large runs take
        turns. The run that was claimed last always goes on.
        """
        going_on = {runner: size for runner, size in sizes.items() if not runner.is_stopping}
        excess, mean = sum(going_on.values()) - bytes_max, sum(going_on.values()) / max(1, len(going_on))
        for runner, size in list(going_on.items())[:-1]:  # The runs that have been carried longest come first.
            if excess > 0 and size >= mean:
                runner.stop()
                excess -= size

    def _next_look_s(self) -> float:
        return POLL_S if self._family is not None else self._store.schedules.next_look_s()

    async def _count_to_claim(self, room: int) -> int:
        """Return how many runs to claim now: a fair share, or a batch of those that other servers have left."""
        if self._family is not None or not self._store.is_shared:
            return room
        if not self._takes_share:
            # The batch grows each time: servers that leave that many runs unclaimed may be dead.
            batch, self._batch = min(room, self._batch), min(self._batch * 2, CLAIMS_MAX)
            self._takes_share = True
            return batch
        share = await self._store.servers.share(room, len(self._carried))
        self._takes_share = share == room
        if self._takes_share:
            self._batch = AHEAD_MAX
        return share

    async def _carry(self, claim: Claimed, runner: Runner) -> None:
        run_id = claim.lease.run_id
        try:
            await self._carry_to_rest(claim.lease, runner)
        except LeaseLost as lost:
            logger.warning(
                "%s, so the outcome of its step is refused: the run was cancelled, or another server carries it",
                lost,
                extra={"run": run_id},
            )
        except Unavailable as error:
            logger.warning("run %s is left to its lease: %s", run_id, error, extra={"run": run_id})
        except Exception:
            # A fault of the engine must not affect other runs; this run is taken over when its lease ends.
            logger.exception("run %s was dropped", run_id, extra={"run": run_id})
        finally:
            if len(self._carried) >= self._active_runs_max or runner.is_waiting:
                self._woken.set()  # There is room again, or what the run waits for may already have come.
            if self._carried.get(run_id, (None,))[0] is runner:
                del self._carried[run_id]

    async def _carry_to_rest(self, lease: Lease, runner: Runner) -> None:
        interruption: str | None = None
        try:
            await runner.carry()
        except CallInterrupted as error:
            logger.warning("run %s goes on from its last commit: %s", lease.run_id, error, extra={"run": lease.run_id})
            flush(self._store, runner)
            interruption = str(error) if runner.is_attempting else None
        if (tool := runner.missing_tool) is not None:
            self._store.leases.tell_missing(tool, self._attempts.tools)
        if runner.is_unfinished:
            await self._store.leases.release(
                lease, interrupted=interruption is not None, because=interruption, missing_tool=tool
            )

    def _is_alone(self) -> bool:
        return len(self._carried) == 1

    def _drop(self, lease: Lease) -> None:
        runner, task = self._carried.get(lease.run_id, (None, None))
        if runner is None or task is None or runner.lease != lease:
            return
        # A run that rests has released its lease, and the fence of a commit checks the lease itself. `is_committing` is
        # read first: a runner, perhaps on the tools' loop, sets its run before it resets `is_committing`.
        if not runner.is_committing and runner.is_unfinished:
            message = "the lease %d on run %s was lost, or revoked by a cancel"
            logger.warning(message, lease.token, lease.run_id, extra={"run": lease.run_id})
            runner.give_up()
            task.cancel()

    async def _wait_for_work(self, seconds: float) -> None:
        if seconds:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
