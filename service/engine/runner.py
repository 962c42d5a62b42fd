"""The carrier of one run: core decides, the store commits, the runner carries values between them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from service.core.errors import LeaseLost, Unavailable
from service.core.run import CallTool, Move, Outcome, Run, Transition, after, next_move
from service.engine.attempt import Attempts
from service.engine.lines import LineBuffer
from service.store import Store
from service.store.records import Claimed

logger = logging.getLogger(__name__)

PAUSE_S_MIN, PAUSE_S_MAX = 0.1, 2.0
"""Between two tries of a commit that the database cannot take now."""

YIELD_S = 0.005
"""For how long a run that waits for nothing may keep the loop."""


class Runner:
    """Carries one run from its claim to its rest, or until it is told to stop or loses its lease."""

    def __init__(
        self, claimed: Claimed, store: Store, attempts: Attempts, is_alone: Callable[[], bool] = lambda: False
    ) -> None:
        """`is_alone`: whether no other run is carried just now."""
        self.lease = claimed.lease
        self._run = claimed.run
        self._store = store
        self._attempts = attempts
        self._is_alone = is_alone
        self._yielded_at = time.monotonic()
        self._stopping = False
        self._given_up = False
        self.is_committing = False
        """Whether a commit is on its way; its own fence says then whether the lease holds."""
        self.lines: LineBuffer | None = None
        """The lines of the attempt that is going on."""

    @property
    def is_unfinished(self) -> bool:
        return next_move(self._run) is not None

    @property
    def is_attempting(self) -> bool:
        return self.lines is not None

    @property
    def has_given_up(self) -> bool:
        return self._given_up

    def give_up(self) -> None:
        """To be said before its task is cancelled: a cancel without it is a tool's own."""
        self._given_up = True

    def stop(self) -> None:
        """Rest at the next step boundary."""
        self._stopping = True

    async def carry(self) -> None:
        """Step by step until the run rests. LeaseLost: somebody else carries it now; nothing was written."""
        while not self._stopping and (move := next_move(self._run)) is not None:
            self._run = await self._make(move)
            if self._is_alone() and time.monotonic() - self._yielded_at > YIELD_S:
                # It may never have waited for anything; the loop has others to hear.
                await asyncio.sleep(0)
                self._yielded_at = time.monotonic()

    async def begin(self) -> None:
        """Note that an attempt begins, of a run that was taken over: only then is its next takeover a crash."""
        if self._run.crashes and not await self._store.leases.begin(self.lease):
            raise LeaseLost(self.lease.run_id, self.lease.token)

    async def _make(self, move: Move) -> Run:
        """One move and its commit; the run as it is then."""
        started = time.monotonic()
        outcome: Outcome | None = None
        if isinstance(move, CallTool):
            self.lines = LineBuffer(move)
            outcome = await self._attempts.attempt(self._run, move, self.lines, carrier=self)
            self.lines.close()
            await self.lines.settle()
        transition = after(self._run, move, outcome)
        self.is_committing = True
        run = await self._commit(transition, started, time.monotonic())
        self.is_committing = False
        self.lines = None
        return run

    async def _commit(self, transition: Transition, started: float, finished: float) -> Run:
        """Commit, as often as it takes: a database that is locked or full fails no run."""
        pause_s = PAUSE_S_MIN
        while True:
            lines = () if self.lines is None else self.lines.rest()
            try:
                return await self._store.steps.commit(
                    self.lease,
                    transition,
                    started=started,
                    finished=finished,
                    lines=lines,
                    is_alone=self._is_alone(),
                )
            except Unavailable as error:
                logger.warning("step %d of run %s waits: %s", transition.run.step, self.lease.run_id, error)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, PAUSE_S_MAX)
