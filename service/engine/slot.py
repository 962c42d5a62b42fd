"""Get a slot of a limit for the next attempt of a run.

If an attempt follows a step at once, the transaction that commits the step also asks for the attempt's slot. Otherwise,
a transaction of its own asks for the slot. If no slot is free, the transaction that asks also parks the run.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from service.core.after import after
from service.core.errors import Unavailable
from service.core.moves import CallTool, NoSlot
from service.core.next_move import next_move
from service.core.queueing.limits import MARGIN_US_MAX
from service.core.run import Run, Transition, Waited
from service.core.transitions import Status
from service.engine.attempt import Attempts
from service.store import Store
from service.store.commands.queueing.admission import Asking
from service.store.rows.records import Lease

FRESH_S = MARGIN_US_MAX / 1e6
"""An attempt first checks that it still holds its slot if it got the slot more than this many seconds ago."""

Pause = Callable[[Unavailable], Awaitable[None]]


class Parked(Exception):  # no error
    """Raised instead of calling the tool if the attempt has lost its slot and its run was parked."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.id)
        self.run = run


class Slot:
    """The slot of a limit that the next attempt of a run holds, or none."""

    def __init__(self, lease: Lease, store: Store, attempts: Attempts, is_alone: Callable[[], bool]) -> None:
        self.limit: str | None = None
        """The limit that the slot belongs to; None if the attempt holds no slot."""
        self._lease = lease
        self._store = store
        self._attempts = attempts
        self._is_alone = is_alone
        self._got_at: float | None = None
        """When the attempt asked for the slot that it holds, on the monotonic clock; None if it holds no slot."""
        self._waited: Waited | None = None
        """The run's wait for the slot; None if the run has not waited."""

    def is_needed(self, run: Run) -> bool:
        """Return whether `run` must ask for a slot before its next attempt.

        A run that has waited for a slot must ask even if no limit applies to it any more: asking ends its wait.
        """
        return self._got_at is None and (run.waited_for_slot is not None or self._attempts.limit_of(run) is not None)

    @property
    def is_stale(self) -> bool:
        """Whether the attempt has waited to begin for so long that others may have taken its slot."""
        return self._got_at is not None and time.monotonic() - self._got_at > FRESH_S

    def leave(self) -> None:
        """Forget the slot, because its attempt is over."""
        self.limit = self._got_at = self._waited = None

    def hold(self, asking: Asking, asked_at: float) -> None:
        """Note that the next attempt has got the slot that it asked for at `asked_at`, a monotonic time."""
        self.limit, self._got_at = asking.limit, None if asking.limit is None else asked_at

    async def enter(self, run: Run, move: CallTool, pause: Pause) -> Run:
        """Ask for the slot that `move` needs. Return the run, which is parked if no slot is free."""
        asking, asked_at = self._asking(run, move, self._attempts.limit_of(run)), time.monotonic()
        entered = await self._acquire(asking, pause)
        if entered.status is Status.RUNNING:
            self._waited = run.waited_for_slot
            self.hold(asking, asked_at)
        return entered

    async def confirm(self, run: Run, pause: Pause) -> None:
        """Make sure that the attempt still has its slot, or gets another one. Raise Parked if no slot is free."""
        move = next_move(run)
        if isinstance(move, CallTool):
            # If the run has to wait again, it keeps its place in the queue.
            waiting = run if self._waited is None else run._replace(waited=self._waited)
            asking, asked_at = self._asking(waiting, move, self.limit)._replace(is_again=True), time.monotonic()
            entered = await self._acquire(asking, pause)
            if entered.status is not Status.RUNNING:
                raise Parked(entered)
            self.hold(asking, asked_at)

    def next_after(self, transition: Transition) -> Asking | None:
        """Return the next attempt's request for a slot; None if it does not follow at once or has no limit."""
        run = transition.run
        if transition.step is None or run.status is not Status.RUNNING:
            return None
        limit = self._attempts.limit_of(run)
        move = None if limit is None else next_move(run)
        return self._asking(run, move, limit) if isinstance(move, CallTool) else None

    def _asking(self, run: Run, move: CallTool, limit: str | None) -> Asking:
        parked = after(run, move, NoSlot(limit or ""), self._attempts.state_bytes_max)
        return Asking(self._lease, run, limit, parked)

    async def _acquire(self, asking: Asking, pause: Pause) -> Run:
        while True:
            try:
                return await self._store.limits.acquire(asking, is_alone=self._is_alone())
            except Unavailable as error:
                await pause(error)
