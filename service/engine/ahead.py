"""Track how far a run is ahead of the disk: the steps of pure tools that were executed but are not committed yet.

Nobody outside can tell whether such a step was executed, so a crash may lose it. Anything that can be seen outside or
cannot be undone, such as a call of a tool that is not pure, must wait for `settle` (external synchrony: Nightingale et
al., "Rethink the Sync", OSDI 2006).
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Awaitable, Callable
from enum import Enum, auto

from service.core.errors import LeaseLost, Unavailable
from service.core.run import Run
from service.core.transitions import Status
from service.engine.figures import Figures
from service.store import Store
from service.store.commands.commit import Moved
from service.store.commands.steps import Chain
from service.store.database.writing.queued_write import OVERDUE_S
from service.store.rows.records import Lease

STEPS_MAX = 256
"""The most steps that a run may be ahead of the disk."""
BYTES_MAX = 2**20
"""The most bytes of changes and log lines that a run may be ahead of the disk. The last step may exceed them."""
RETRY_S = 0.1
"""The pause before a commit is tried again in the background, after the database was unavailable."""

Pause = Callable[[Unavailable], Awaitable[None]]


class Ahead:
    """The steps that one run is ahead of the disk, in one chain, and the commit of this chain.

    The store begins the commit soon after DEFER_S or earlier, even while a slow tool is running. No step is added
    during the commit, so the bounds hold for all steps that are not durable.
    """

    def __init__(
        self, lease: Lease, store: Store, figures: Figures, is_alone: Callable[[], bool], abandon: Callable[[], None]
    ) -> None:
        """`abandon` is called if the run does not go on after the steps, for example because the run was cancelled."""
        self._lease = lease
        self._steps = store.steps
        self._figures = figures
        self._is_alone = is_alone
        # A weak reference, since the runner refers to this object: a cycle would keep the state of a run that is over.
        self._abandon = weakref.WeakMethod(abandon)
        self._chain: Chain | None = None
        self._byte_count = 0
        self._is_settling = False
        self._retry: asyncio.TimerHandle | None = None

    @property
    def is_empty(self) -> bool:
        return self._chain is None

    @property
    def is_held_up(self) -> bool:
        """Whether the database was unavailable for the steps. Later writes of the run must wait for their commit."""
        return self._chain is not None and _outcome(self._chain) is _Outcome.REFUSED

    @property
    def has_ended(self) -> bool:
        """Whether the run does not go on after the steps. `settle` then returns the run or raises the reason."""
        return self._chain is not None and _outcome(self._chain) is _Outcome.ENDED

    def add(self, moved: Moved) -> bool:
        """Add a step, or return False if the commit of the earlier steps has begun: call `settle` first."""
        if (chain := self._chain) is not None:
            if chain.future.done() and _outcome(chain) is _Outcome.COMMITTED:
                self._finish(chain)
            elif not chain.add(moved):
                return False
        if self._chain is None:
            self._byte_count = 0
            self._chain = self._steps.defer(self._lease, [moved])
            self._chain.future.add_done_callback(self._decided)
        self._byte_count += _byte_count(moved)
        return True

    def is_overdue(self, now: float) -> bool:
        """Return whether the steps have waited for OVERDUE_S at `now`, a monotonic time."""
        chain = self._chain
        return chain is not None and now - chain.queued_at >= OVERDUE_S

    def is_full(self, now: float) -> bool:
        """Return whether the steps must be committed before another one is executed. `now` is a monotonic time."""
        chain = self._chain
        if chain is None or chain.future.done():
            return False
        return len(chain.moves) >= STEPS_MAX or self._byte_count >= BYTES_MAX or now - chain.queued_at >= OVERDUE_S

    async def settle(self, pause: Pause) -> Run | None:
        """Wait until all steps are durable. Return the run as their commit has left it, or None if there were no steps.

        Raise LeaseLost if the lease no longer holds. `pause` is awaited while the database is unavailable.
        """
        self._is_settling = True
        try:
            while (chain := self._chain) is not None:
                if not chain.future.done():
                    self._steps.hasten(is_alone=self._is_alone())
                try:
                    run = await chain.future
                except Unavailable as error:
                    await pause(error)
                    self._try_again()
                else:
                    self._finish(chain)
                    if run is None:
                        raise LeaseLost(self._lease.run_id, self._lease.token)
                    return run
            return None
        finally:
            self._is_settling = False

    def _decided(self, future: asyncio.Future[Run | None]) -> None:
        """Act on the outcome of the commit, unless `settle` waits for it."""
        chain = self._chain
        if chain is None or future is not chain.future or self._is_settling:
            return
        match _outcome(chain):
            case _Outcome.REFUSED:
                self._retry = asyncio.get_running_loop().call_later(RETRY_S, self._try_again)
            case _Outcome.COMMITTED:
                self._finish(chain)
            case _Outcome.ENDED:
                if (abandon := self._abandon()) is not None:
                    abandon()

    def close(self) -> None:
        """Cancel the next attempt to commit the steps in the background, if one is scheduled."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _try_again(self) -> None:
        self.close()
        chain = self._chain
        if chain is not None and chain.future.done():
            self._steps.defer_again(chain)
            chain.future.add_done_callback(self._decided)

    def _finish(self, chain: Chain) -> None:
        self._chain = None
        if chain.future.result() is None:
            return
        self._figures.note_chain(chain.moves, time.monotonic())


class _Outcome(Enum):
    COMMITTED = auto()
    """The steps are durable, and the run goes on after them."""
    REFUSED = auto()
    """The database was unavailable: the same commit must be tried again."""
    ENDED = auto()
    """The run does not go on: the lease was lost, the run rests, or there was a fault."""


def _outcome(chain: Chain) -> _Outcome | None:
    """Return the outcome of the chain's commit, or None while it is unknown."""
    future = chain.future
    if not future.done() or future.cancelled():
        return None
    if (error := future.exception()) is not None:
        return _Outcome.REFUSED if isinstance(error, Unavailable) else _Outcome.ENDED
    run = future.result()
    return _Outcome.COMMITTED if run is not None and run.status is Status.RUNNING else _Outcome.ENDED


def _byte_count(moved: Moved) -> int:
    count = 0
    for line in moved.lines:
        count += len(line.message) + len(line.data)
    if (step := moved.transition.step) is not None:
        for entry in step.changes.set.values():
            count += entry.byte_length
    return count
