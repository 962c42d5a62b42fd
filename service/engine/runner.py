"""Carry one run: core decides its next move, the runner makes the move, and the store commits the transition."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from service.core.after import after
from service.core.errors import AttemptError, LeaseLost, Unavailable
from service.core.graph import SignalNode, SleepNode, Until
from service.core.join import count_children
from service.core.moves import CallTool, Failed, Gather, Move, Outcome, Receive, Sleep, next_move
from service.core.run import Run, Transition
from service.core.transitions import Status
from service.engine.attempt import Attempts
from service.engine.lines import LineBuffer
from service.engine.timestamps import read_moment
from service.store import Store
from service.store.rows.records import Claimed

logger = logging.getLogger(__name__)

PAUSE_S_MIN, PAUSE_S_MAX = 0.1, 2.0
"""The pauses between attempts to use a database that is unavailable."""

YIELD_S = 0.005
"""How long a run that never waits may keep the loop from other tasks."""


class Runner:
    """Carries one run from its claim until it rests, is told to stop or loses its lease."""

    def __init__(
        self, claimed: Claimed, store: Store, attempts: Attempts, is_alone: Callable[[], bool] = lambda: False
    ) -> None:
        """`is_alone` returns whether this server carries no other run."""
        self.lease = claimed.lease
        self._run = claimed.run
        self._store = store
        self._attempts = attempts
        self._is_alone = is_alone
        self._yielded_at = time.monotonic()
        self._stopping = False
        self._given_up = False
        self.is_committing = False
        """Whether a commit is in progress; its fence decides whether the lease holds."""
        self.lines: LineBuffer | None = None
        """The lines of the current attempt."""

    @property
    def is_unfinished(self) -> bool:
        return next_move(self._run) is not None

    @property
    def is_waiting(self) -> bool:
        """Whether the run is parked, so that it may become due at any time."""
        return self._run.status is Status.WAITING

    @property
    def is_attempting(self) -> bool:
        return self.lines is not None

    @property
    def has_given_up(self) -> bool:
        return self._given_up

    def give_up(self) -> None:
        """Announce that the engine cancels this runner's task. A cancel without this is the tool's doing."""
        self._given_up = True

    def stop(self) -> None:
        """Stop at the next step boundary."""
        self._stopping = True

    async def carry(self) -> None:
        """Execute steps until the run rests. Raise LeaseLost, with nothing written, if the lease no longer holds."""
        while not self._stopping and (move := next_move(self._run)) is not None:
            self._run = await self._make_move(move)
            if self._is_alone() and time.monotonic() - self._yielded_at > YIELD_S:
                # The run may never have waited; let other tasks of the loop run.
                await asyncio.sleep(0)
                self._yielded_at = time.monotonic()

    async def begin(self) -> None:
        """Record that an attempt of a run that was taken over begins, so that its next takeover counts as a crash."""
        if self._run.crashes and not await self._store.leases.begin(self.lease):
            raise LeaseLost(self.lease.run_id, self.lease.token)

    async def _make_move(self, move: Move) -> Run:
        """Make a move, commit its transition, and return the run after that."""
        started = time.monotonic()
        outcome = await (self._call(move) if isinstance(move, CallTool) else self._observe(move))
        transition = after(self._run, move, outcome, self._attempts.state_bytes_max)
        self.is_committing = True
        finished, figures = time.monotonic(), self._attempts.figures
        run = await self._commit(transition, started, finished)
        if isinstance(move, CallTool):
            figures.attempts.observe(finished - started)
        if transition.step is not None:
            figures.steps.observe(time.monotonic() - started)
        if transition.error is not None or transition.run.status is not Status.RUNNING:
            figures.count(transition)
        self.is_committing = False
        self.lines = None
        return run

    async def _call(self, move: CallTool) -> Outcome:
        self.lines = LineBuffer(move)
        outcome = await self._attempts.attempt(self._run, move, self.lines, carrier=self)
        self.lines.close()
        await self.lines.settle()
        return outcome

    async def _observe(self, move: Move) -> Outcome | None:
        """Return the outcome of a move that calls no tool: read the state, the mailbox or the children."""
        pause = self._pause()
        while True:
            try:
                return await self._read_outcome(move)
            except AttemptError as error:
                return Failed(error.type, str(error))
            except Unavailable as error:
                await pause(error)

    async def _read_outcome(self, move: Move) -> Outcome | None:
        run, store = self._run, self._store
        match move:
            case Sleep(node=SleepNode(sleep=Until(until=place))):
                return read_moment(run.state, place)
            case Receive(node=SignalNode(signal=name)):
                return await store.signals.oldest(run.id, name)
            case Gather():
                total, bytes_max = count_children(run.state, move.node), self._attempts.state_bytes_max
                return await store.children.gathered(run, move, total, bytes_max)
            case _:
                return None

    async def _commit(self, transition: Transition, started: float, finished: float) -> Run:
        """Commit the transition and the lines that are not stored yet; retry while the database is unavailable."""
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
        """Return a function that pauses, each time for longer. A database that is locked or full fails no run."""
        pause_s = PAUSE_S_MIN

        async def pause(error: Unavailable) -> None:
            nonlocal pause_s
            logger.warning("step %d of run %s waits: %s", self._run.step + 1, self.lease.run_id, error)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_S_MAX)

        return pause
