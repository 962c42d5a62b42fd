"""Queue the commits of steps, each alone or, for a run that gets ahead of the disk, as a chain."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from service.core.errors import LeaseLost
from service.core.run import Line, Run, Transition, WaitKind
from service.core.transitions import OVER, Status
from service.store.commands.commit import Commit, Moved, commit_all
from service.store.commands.queueing.admission import Asking
from service.store.commands.queueing.waking import Watch
from service.store.database.writing.queued_write import QueuedWrite, Touches
from service.store.database.writing.writer import Writer
from service.store.rows.records import Lease
from service.store.schema.models import attempts, signals, visits, waits


class Steps:
    def __init__(self, writer: Writer, watch: Watch) -> None:
        self._writer = writer
        self._watch = watch

    async def commit(
        self,
        lease: Lease,
        transition: Transition,
        *,
        started: float,
        finished: float,
        lines: Sequence[Line] = (),
        is_alone: bool = False,
        frees: str | None = None,
        asking: Asking | None = None,
    ) -> Run:
        """Commit `transition` after `lines` of the attempt that led to it, and return the run as it is then.

        One transaction writes position, status, decision, changes and lines, and what the transition does to others: it
        consumes a signal, starts or cancels children, wakes a parent. Raise LeaseLost if the lease no longer holds;
        nothing is written then. A commit of unknown outcome may be repeated.

        `started` and `finished` are times of the attempt on the monotonic clock. `is_alone` means that no other run's
        step can join the transaction, so it need not wait for one. `frees` is the limit whose slot the attempt had.
        With `asking`, the next attempt gets its slot in the same transaction. If no slot is free, the run is parked.
        """
        moved = Moved(transition, started, finished, (*lines, *transition.lines))
        asked = Commit(lease, (moved,), transition, frees, asking)
        run = await self._writer.write_with_others(
            commit_all, asked, touches=(lease.run_id, *_touched(transition)), at_once=is_alone
        )
        if run is None:
            raise LeaseLost(lease.run_id, lease.token)
        if asking is not None:
            self._watch.note(run)
        return run

    def defer(self, lease: Lease, moves: Sequence[Moved]) -> Chain:
        """Queue a chain that begins with `moves`, to be committed with other writes or soon after DEFER_S.

        The chain takes further transitions until its commit begins. The result of its `future` is the run as it is
        after the last transition, or None if the lease no longer holds.
        """
        chain = Chain(lease, moves)
        chain.queue(self._writer)
        return chain

    def defer_again(self, chain: Chain) -> None:
        """Queue `chain` once more after its future has raised Unavailable. It is committed as a whole or not at all."""
        chain.sealed()  # The chain may be committed already. It is read back by its last step, so no step may be added.
        chain.queue(self._writer)

    def hasten(self, *, is_alone: bool) -> None:
        """Have the waiting chains committed now. `is_alone` is as in `commit`."""
        self._writer.hasten(at_once=is_alone)

    def commit_overdue(self, now: float) -> None:
        """If the running loop commits inline and a write is overdue at the monotonic time `now`, commit what waits."""
        self._writer.commit_overdue(now)


class Chain:
    """Transitions of one run that wait to be committed together.

    One task adds them, while any thread may begin the commit.
    """

    def __init__(self, lease: Lease, moves: Sequence[Moved]) -> None:
        self.moves = list(moves)
        self._lease = lease
        self._lock = threading.Lock()
        self._is_sealed = False
        self._write: QueuedWrite[Run | None]
        self.future: asyncio.Future[Run | None]
        self.queued_at: float
        """When the chain was queued, on the monotonic clock."""

    def add(self, moved: Moved) -> bool:
        """Append a transition, or return False if the commit has begun."""
        with self._lock:
            if self._is_sealed:
                return False
            self._write.weight += 1
            if touched := _touched(moved.transition):
                self._write.touches += touched
            self.moves.append(moved)
        return True

    def sealed(self) -> Commit:
        """Return what to commit. From now on nothing is added."""
        with self._lock:
            self._is_sealed = True
        return Commit(self._lease, self.moves, self.moves[-1].transition, is_ahead=True)

    def queue(self, writer: Writer) -> None:
        touched = (name for moved in self.moves for name in _touched(moved.transition))
        self._write = writer.defer(commit_all, self, touches=(self._lease.run_id, *touched))
        self._write.weight = len(self.moves)
        assert isinstance(self._write.future, asyncio.Future)
        self.future = self._write.future
        self.queued_at = self._write.queued_at


def _touched(transition: Transition) -> Touches:
    """Return what a commit touches besides its run: its parent, the children's graphs, and seldom written tables."""
    run, wait = transition.run, transition.wait
    if run.status is Status.RUNNING and not transition.has_side_effects:
        return ()
    tells_parent = run.parent_id is not None and run.status in OVER
    asks = tells_parent or (wait is not None and wait.kind in (WaitKind.SIGNAL, WaitKind.CHILDREN))
    touched = {
        str(run.parent_id): tells_parent,
        signals.name: asks or transition.consumes is not None,
        waits.name: asks or wait is not None or transition.ends_wait or transition.cancels_children,
        visits.name: bool(run.visits),
        attempts.name: transition.error is not None,
        **{child.graph_id: True for child in transition.starts},
    }
    return tuple(name for name, is_touched in touched.items() if is_touched)
