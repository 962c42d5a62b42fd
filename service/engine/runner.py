"""The carrier of one run: core decides, the store commits, the runner carries values between them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from service.core.after import after
from service.core.children import count_children
from service.core.errors import AttemptError, LeaseLost, Unavailable
from service.core.graph import SignalNode, SleepNode, Until
from service.core.moves import CallTool, Failed, Gather, Move, Outcome, Receive, Sleep, next_move
from service.core.run import Run, Transition
from service.core.transitions import Status
from service.engine.attempt import Attempts
from service.engine.lines import LineBuffer
from service.engine.timestamps import instant_at
from service.store import Store
from service.store.rows.records import Claimed

logger = logging.getLogger(__name__)

PAUSE_S_MIN, PAUSE_S_MAX = 0.1, 2.0
"""Between two tries of what the database cannot take now."""

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
    def is_waiting(self) -> bool:
        """Whether the run is parked, so that it may be due again at any time."""
        return self._run.status is Status.WAITING

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
        outcome = await (self._call(move) if isinstance(move, CallTool) else self._look(move))
        transition = after(self._run, move, outcome, self._attempts.state_bytes_max)
        self.is_committing = True
        run = await self._commit(transition, started, time.monotonic())
        self.is_committing = False
        self.lines = None
        return run

    async def _call(self, move: CallTool) -> Outcome:
        self.lines = LineBuffer(move)
        outcome = await self._attempts.attempt(self._run, move, self.lines, carrier=self)
        self.lines.close()
        await self.lines.settle()
        return outcome

    async def _look(self, move: Move) -> Outcome | None:
        """What there is to see in the state, the mailbox or the children; None where `move` asks for nothing."""
        pause = self._pause()
        while True:
            try:
                return await self._seen(move)
            except AttemptError as error:
                return Failed(error.type, str(error))
            except Unavailable as error:
                await pause(error)

    async def _seen(self, move: Move) -> Outcome | None:
        run, store = self._run, self._store
        match move:
            case Sleep(node=SleepNode(sleep=Until(until=place))):
                return instant_at(run.state, place)
            case Receive(node=SignalNode(signal=name)):
                return await store.signals.oldest(run.id, name)
            case Gather():
                total, bytes_max = count_children(run.state, move.node), self._attempts.state_bytes_max
                return await store.children.gathered(run, move, total, bytes_max)
            case _:
                return None

    async def _commit(self, transition: Transition, started: float, finished: float) -> Run:
        """Commit, with the lines that are still to be written, as often as it takes."""
        pause = None
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
                pause = pause or self._pause()
                await pause(error)

    def _pause(self) -> Callable[[Unavailable], Awaitable[None]]:
        """What to do, each time for longer, when a database that is locked or full cannot do it: it fails no run."""
        pause_s = PAUSE_S_MIN

        async def pause(error: Unavailable) -> None:
            nonlocal pause_s
            logger.warning("step %d of run %s waits: %s", self._run.step + 1, self.lease.run_id, error)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_S_MAX)

        return pause
