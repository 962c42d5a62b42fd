"""Execute one run: core decides its next move, the runner makes the move, and the store commits the transition.

A call of a pure tool does not wait until the steps before it are committed; see `ahead`.

A run is executed on the engine's loop, or on the tools' loop while its moves need that loop; see `tool_loop`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from service.core import codec
from service.core.after import after
from service.core.errors import AttemptError, LeaseLost, Unavailable
from service.core.graph import SignalNode, SleepNode, Until
from service.core.join import count_children
from service.core.moves import CallTool, Failed, Gather, Move, Outcome, Receive, Sleep, WorkerLost
from service.core.next_move import next_move
from service.core.run import Event, Level, Line, Run, Transition
from service.core.transitions import Status
from service.engine import ahead
from service.engine.ahead import Ahead
from service.engine.attempt import Attempts, Needs
from service.engine.lines import LineBuffer, events, log_events
from service.engine.slot import Parked, Slot
from service.engine.timestamps import read_moment
from service.spans import RunSpans, begin_run
from service.store import Store
from service.store.commands.commit import Moved
from service.store.rows.records import Claimed

logger = logging.getLogger(__name__)

PAUSE_S_MIN, PAUSE_S_MAX = 0.1, 2.0
"""The first and the longest pause between attempts to use a database that is unavailable."""

YIELD_S = 0.005
"""How long the only run of this server may keep the loop from other tasks."""
SLICE_S = 0.001
"""How long a run that is ahead of the disk may keep the loop from other tasks, if this server executes other runs."""

CONFIRMS_MAX = 2
"""How often an attempt may check its slot. On a busy database, a check may take so long that another one is due."""


class Runner:
    """Executes one run from its claim until the run rests, the runner is told to stop or the lease is lost."""

    def __init__(
        self, claimed: Claimed, store: Store, attempts: Attempts, is_alone: Callable[[], bool] = lambda: False
    ) -> None:
        """`is_alone` returns whether this server executes no other run."""
        self.lease = claimed.lease
        self._run = claimed.run
        self._store = store
        self._attempts = attempts
        self._is_alone = is_alone
        self._logs_events = events.isEnabledFor(logging.INFO)
        self._unlogged: list[Transition] = []
        """Steps that are ahead of the disk. Their events are logged once the steps are durable."""
        self._spans: RunSpans | None = None
        """The OpenTelemetry spans of the run; None if the process does not trace."""
        self._yielded_at = time.monotonic()
        # A server that died may have lost up to STEPS_MAX steps. Now each of them is committed before the next begins.
        # So a step that kills servers is found: it is the first step that is not committed.
        self._alone_until = self._run.step + ahead.STEPS_MAX if self._run.crashes else 0
        self._needs: dict[tuple[str, bool], Needs] = {}
        """A cache of what the calls at a node need. The key is the node and whether the tool is isolated."""
        self._may_need_slots = attempts.may_need_slots(claimed.run.graph)
        self._ahead = Ahead(self.lease, store, attempts.figures, is_alone, self._abandon)
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._given_up = False
        self.is_committing = False
        """Whether a commit is in progress. If so, only its fence decides whether the lease holds."""
        self._slot = Slot(self.lease, store, attempts, is_alone)
        self.lines: LineBuffer | None = None
        """The log lines of the attempt in progress; None if no attempt is."""
        self.missing_tool: str | None = None
        """The tool that the run needs next, or CLUSTER, if this server lacks it; None if the server lacks nothing."""

    @property
    def run_id(self) -> str:
        return self.lease.run_id

    @property
    def is_unfinished(self) -> bool:
        return next_move(self._run) is not None

    @property
    def is_waiting(self) -> bool:
        """Whether the run is parked, so that it may become due at any time."""
        return self._run.status is Status.WAITING

    @property
    def state_bytes(self) -> int:
        """The size of the run's state in bytes."""
        return self._run.state.byte_length

    @property
    def is_stopping(self) -> bool:
        return self._stopping

    @property
    def is_attempting(self) -> bool:
        return self.lines is not None

    @property
    def has_given_up(self) -> bool:
        return self._given_up

    @property
    def is_held_up(self) -> bool:
        """Whether earlier steps wait for an unavailable database. Later writes of the run must wait too."""
        return self._ahead.is_held_up

    def give_up(self) -> None:
        """Note that the engine will cancel this runner's task. A cancel without this note counts as the tool's own."""
        self._given_up = True

    def stop(self) -> None:
        """Stop at the next step boundary."""
        self._stopping = True

    async def carry(self) -> None:
        """Execute steps until the run rests, `stop` is called, or the run needs a tool that this server lacks.

        Raise LeaseLost, with nothing written, if the lease no longer holds. Raise CallInterrupted if something other
        than the called tool has ended its call, for example a tool of another run that broke the tools' loop.
        """
        self._spans = begin_run(self._run)
        try:
            await self._carry()
        finally:
            if self._spans is not None:
                self._spans.end(self._run)

    async def _carry(self) -> None:
        tool_loop = self._attempts.tool_loop
        while not self._stopping and self.missing_tool is None and (move := next_move(self._run)) is not None:
            if isinstance(move, CallTool) and self._needs_of(move).tool_loop:
                await tool_loop.visit(self.run_id, partial(self._carry_here, is_tool_loop=True)).end()
            else:
                await self._carry_here(is_tool_loop=False)

    async def _carry_here(self, *, is_tool_loop: bool) -> None:
        """Execute steps on the running loop until the run rests, or until it needs the other loop."""
        self._task = asyncio.current_task()
        try:
            await self._carry_on(is_tool_loop)
            self._run = await self._settle()  # The chain of steps that are ahead belongs to this loop.
        finally:
            self._ahead.close()

    async def _carry_on(self, is_tool_loop: bool) -> None:
        while not self._stopping and (move := next_move(self._run)) is not None:
            runs_ahead = False
            if isinstance(move, CallTool):
                needs = self._needs_of(move)
                self.missing_tool = needs.missing
                if needs.missing is not None or needs.tool_loop is not is_tool_loop:
                    return
                runs_ahead = not needs.commits and self._may_run_ahead()
            self._run = await self._make_move(move, runs_ahead)
            if (carried_s := time.monotonic() - self._yielded_at) > SLICE_S and self._must_yield(carried_s):
                await asyncio.sleep(0)  # Let other tasks of the loop run.
                self._yielded_at = time.monotonic()

    def _must_yield(self, carried_s: float) -> bool:
        """Return whether the run must yield to other tasks now. It last did so `carried_s` (more than SLICE_S) ago."""
        if self._is_alone():
            return carried_s > YIELD_S
        return not self._ahead.is_empty

    def _needs_of(self, move: CallTool) -> Needs:
        place = (move.node, move.isolate)
        if (needs := self._needs.get(place)) is None:
            needs = self._needs[place] = self._attempts.needs_of(move)
        return needs

    def report(self, message: str, level: Level, data: dict[str, Any]) -> None:
        """Add a line to the run's log. Between attempts, drop the line if `is_held_up`. Any thread may call this."""
        lines, run = self.lines, self._run
        if lines is not None:
            lines.add(message, level, data)
        elif not self.is_held_up:
            place = (run.node, run.step + 1, run.attempt)
            line = Line(Event.LOG, message, level, *place, codec.encode(data), time.monotonic())
            self._store.logs.append(self.lease, [line])

    async def begin(self) -> None:
        """Confirm the attempt's slot. After a crash, also record that the attempt begins, so that its crash counts."""
        if self._may_need_slots:
            await self._confirm_slot()
        if self._run.crashes:
            if not await self._store.leases.begin(self.lease):
                raise LeaseLost(self.lease.run_id, self.lease.token)
            await self._confirm_slot()

    async def _confirm_slot(self) -> None:
        """If the attempt got its slot a while ago, make sure that it has one. Raise Parked if no slot is free."""
        confirms = 0
        while self._slot.is_stale and confirms < CONFIRMS_MAX:
            confirms += 1
            self.is_committing = True  # As in `_enter`.
            try:
                await self._slot.confirm(self._run, self._pause())
            except Parked as parked:
                self._run = parked.run
                raise
            finally:
                self.is_committing = False

    async def _make_move(self, move: Move, runs_ahead: bool) -> Run:
        """Make a move, commit its transition, and return the run after the commit. Park a run that gets no slot.

        With `runs_ahead`, do not wait for a commit: add the transition to those that will be committed together.
        """
        if not runs_ahead:
            if not self._ahead.is_empty and (run := await self._settle()).status is not Status.RUNNING:
                return run
            may_need_slot = self._may_need_slots or self._run.waited is not None
            if may_need_slot and isinstance(move, CallTool) and (parked := await self._enter(move)) is not None:
                return parked
        started = time.monotonic()
        if self._spans is not None:
            self._spans.begin_step(self._run, move)
        try:
            outcome = await (self._call(move) if isinstance(move, CallTool) else self._observe(move))
        except Parked as parked_late:
            self._slot.leave()
            self.lines = None
            return parked_late.run
        except asyncio.CancelledError:
            if self._task is None or not self._ahead.has_ended:
                raise
            self._task.uncancel()  # `_abandon` has cancelled the task only to end the attempt.
            return await self._settle()
        transition = after(self._run, move, outcome, self._attempts.state_bytes_max)
        finished = time.monotonic()
        if runs_ahead:
            return await self._go_ahead(transition, started, finished)
        self.is_committing = True
        run = await self._commit(transition, started, finished)
        self._report(move, transition, started, finished)
        self._run = run  # Before `is_committing`: `Supervisor._drop`, on another thread, reads the two in reverse.
        self.is_committing = False
        self.lines = None
        return run

    def _may_run_ahead(self) -> bool:
        """Return whether a pure tool may be called before all earlier steps are committed."""
        return self._run.step >= self._alone_until and self._slot.limit is None and self._run.waited_for_slot is None

    async def _go_ahead(self, transition: Transition, started: float, finished: float) -> Run:
        """Add `transition` to the steps ahead of the disk. Commit them if the run rests then, or a bound is reached."""
        lines = () if self.lines is None else self.lines.rest()
        moved = Moved(transition, started, finished, (*lines, *transition.lines))
        while not self._ahead.add(moved):
            if (run := await self._settle()).status is not Status.RUNNING:
                return run  # The run was paused before this step. Nobody has seen the step, so it is dropped.
        self.lines = None
        self._run = transition.run
        if self._spans is not None:
            self._spans.end_step(transition, is_committed=False)
        if self._logs_events:
            self._unlogged.append(transition)
        if self._ahead.is_overdue(finished):
            self._store.steps.commit_overdue(finished)
        if transition.run.status is not Status.RUNNING or self._ahead.is_full(finished):
            return await self._settle()
        return transition.run

    async def _settle(self) -> Run:
        """Wait until all steps are durable, and return the run. Raise LeaseLost if the lease no longer holds."""
        self.is_committing = True
        run = self._run = await self._ahead.settle(self._pause()) or self._run
        self.is_committing = False
        if self._spans is not None:
            self._spans.end_committed()
        for transition in self._unlogged:
            log_events(self.run_id, transition.lines)
        self._unlogged.clear()
        return run

    def _abandon(self) -> None:
        """Cancel the attempt in progress, because the run does not go on after the earlier steps."""
        if self.lines is not None and self._task is not None:
            self.give_up()
            self._task.cancel()

    async def _enter(self, move: CallTool) -> Run | None:
        """Get a slot if `move` needs one. Return the parked run if no slot is free, and None otherwise."""
        if not self._slot.is_needed(self._run):
            return None
        self.is_committing = True  # Parking the run releases its lease, which must not look lost.
        try:
            self._run = await self._slot.enter(self._run, move, self._pause())
        finally:
            self.is_committing = False
        return None if self._run.status is Status.RUNNING else self._run

    def _report(self, move: Move, transition: Transition, started: float, finished: float) -> None:
        """Count a committed transition in the metrics, end its span and log its events."""
        attempt_s = finished - started if isinstance(move, CallTool) else None
        self._attempts.figures.note(transition, time.monotonic() - started, attempt_s)
        if self._spans is not None:
            self._spans.end_step(transition)
        if self._logs_events:
            log_events(self.run_id, transition.lines)

    async def _call(self, move: CallTool) -> Outcome:
        lines = self.lines = LineBuffer(move, self.lease.run_id)
        outcome = await self._attempts.attempt(self._run, move, lines, carrier=self, spans=self._spans)
        if self._spans is not None:
            self._spans.end_attempt(outcome)
        if lines.close():
            await lines.settle()
        return await self._count_losses(move, outcome) if isinstance(outcome, WorkerLost) else outcome

    async def _count_losses(self, move: CallTool, lost: WorkerLost) -> WorkerLost:
        """Return `lost` with its `losses`: how many attempts of the step in a row have lost their worker."""
        pause = self._pause()
        while True:
            try:
                return lost._replace(losses=1 + await self._store.history.losses(self.run_id, move.step))
            except Unavailable as error:
                await pause(error)

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
        """Commit the transition and the lines not stored yet. Ask for the next attempt's slot. Retry if Unavailable."""
        pause = None
        while True:
            lines = () if self.lines is None else self.lines.rest()
            asks = self._may_need_slots and not self._stopping
            asking, asked_at = self._slot.next_after(transition) if asks else None, time.monotonic()
            try:
                run = await self._store.steps.commit(
                    self.lease,
                    transition,
                    started=started,
                    finished=finished,
                    lines=lines,
                    is_alone=self._is_alone(),
                    frees=self._slot.limit,
                    asking=asking,
                )
            except Unavailable as error:
                pause = pause or self._pause()
                await pause(error)
                continue
            if self._may_need_slots:
                self._slot.leave()
            if asking is not None and run.status is Status.RUNNING:
                self._slot.hold(asking, asked_at)
            return run

    def _pause(self) -> Callable[[Unavailable], Awaitable[None]]:
        """Return a function that pauses, each time for longer. A locked or full database makes no run fail."""
        pause_s = PAUSE_S_MIN

        async def pause(error: Unavailable) -> None:
            nonlocal pause_s
            run, step = self._run, self._run.step + 1
            place = {"run": run.id, "node": run.node, "step": step, "attempt": run.attempt}
            logger.warning("step %d of run %s waits: %s", step, run.id, error, extra=place)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_S_MAX)

        return pause
