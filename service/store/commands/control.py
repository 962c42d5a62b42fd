"""Cancel, pause and resume a run: one transaction each, whatever a server is doing with the run.

A cancel raises the lease token, so that the fence refuses what a runner still has to write. The pause of a running run
is only noted; the commit of its step finds the note and pauses the run within the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, null, or_, select, update

from service.core.errors import Conflict, Invalid, NotFound, RungraphError
from service.core.routing.conditions import Reason
from service.core.run import Event, Level, Line
from service.core.state import Changes, State
from service.core.transitions import OVER, Status
from service.store.commands.repeatable import Executed, repeatable
from service.store.database import local_events
from service.store.database.statements import ForRows, Statement, constant
from service.store.database.transaction import Transaction
from service.store.database.writing.writer import Writer
from service.store.rows.family import lock_runs
from service.store.rows.log_lines import insert_lines, rows_of_lines
from service.store.rows.operations.deliveries import announce
from service.store.rows.park_and_wake import delete_waits, wake_those_ready
from service.store.rows.states import read_states
from service.store.rows.steps import NewStep, insert_steps
from service.store.rows.visits import reset_full_visits
from service.store.schema.kept import OPEN, is_kept
from service.store.schema.models import log_lines, runs, signals, visits, waits

Patch = Callable[[State], Changes]
"""A function that returns what a patch changes in a state. It may raise Invalid."""

_LOCKED = Statement(
    select(
        *(runs.c.status, runs.c.step, runs.c.current_node, runs.c.attempt, runs.c.failures, runs.c.pause_asked),
        runs.c.lease_token,
    )
    .where(runs.c.id == bindparam("run_id"), is_kept())
    .with_for_update()
)
_PARENT = Statement(select(runs.c.parent_id).where(runs.c.id == bindparam("run_id"), is_kept()))

_CANCEL = ForRows(
    lambda row: (
        update(runs)
        .where(runs.c.id == row.run_id, runs.c.status.in_(OPEN))
        .values(
            status=constant(Status.CANCELLED),
            current_node=null(),
            lease_owner=null(),
            lease_token=runs.c.lease_token + constant(1),
            due_at=null(),
            missing_tool=null(),
            pause_asked=constant(0),
            finished_at=row.now,
            moved_at=row.now,
            last_seq=runs.c.last_seq + constant(1),
        )
        .returning(runs.c.id, runs.c.last_seq, runs.c.notify)
    ),
    run_id=runs.c.id,
    now=runs.c.moved_at,
)
# Reads the nodes for the log lines of a cancel, before the cancel clears `current_node`.
_NODES = ForRows(
    lambda row: select(runs.c.id, runs.c.current_node).where(runs.c.id == row.run_id, runs.c.status.in_(OPEN)),
    run_id=runs.c.id,
)
_OPEN_CHILDREN = ForRows(
    lambda row: select(runs.c.id).where(runs.c.parent_id == row.run_id, runs.c.status.in_(OPEN)),
    run_id=runs.c.parent_id,
)

_ASK_TO_PAUSE = Statement(update(runs).where(runs.c.id == bindparam("run_id")).values(pause_asked=bindparam("asked")))

# Pauses the runs whose pause was asked for and can take effect. A running run is paused only within the commit of its
# step, by the holder of its lease.
_PAUSE = ForRows(
    lambda row: (
        update(runs)
        .where(
            runs.c.id == row.run_id,
            runs.c.pause_asked == constant(1),
            or_(
                runs.c.status.in_([constant(Status.QUEUED), constant(Status.WAITING)]),
                and_(runs.c.status == constant(Status.RUNNING), runs.c.lease_token == row.token),
            ),
        )
        .values(
            status=constant(Status.PAUSED),
            lease_owner=null(),
            due_at=null(),
            missing_tool=null(),
            pause_asked=constant(0),
            last_seq=runs.c.last_seq + constant(1),
        )
        .returning(runs.c.id, runs.c.last_seq, runs.c.notify)
    ),
    run_id=runs.c.id,
    token=runs.c.lease_token,
)

_RESUME = Statement(
    update(runs)
    .where(runs.c.id == bindparam("run_id"))
    .values(
        status=bindparam("status"),
        step=runs.c.step + bindparam("patched"),
        patches=runs.c.patches + bindparam("patched"),
        attempt=bindparam("attempt"),
        failures=bindparam("failures"),
        pause_asked=constant(0),
        is_resume_unlogged=constant(0),
        error=null(),
        finished_at=null(),
        due_at=bindparam("due"),
        moved_at=bindparam("now"),
        last_seq=runs.c.last_seq + bindparam("count"),
    )
    .returning(runs.c.last_seq, runs.c.notify)
)
_LIMIT = Statement(update(runs).where(runs.c.id == bindparam("run_id")).values(max_steps=bindparam("limit")))
_WAIT = Statement(select(waits.c.due_at).where(waits.c.run_id == bindparam("run_id")))
_RESUMED_LINE = Statement(
    select(log_lines.c.seq).where(
        log_lines.c.run_id == bindparam("run_id"),
        log_lines.c.seq == bindparam("seq"),
        log_lines.c.event == constant(Event.RUN_RESUMED),
        log_lines.c.ts == bindparam("ts"),
    )
)


class _Run(NamedTuple):
    """A row of _LOCKED. The fields are in the order of its columns."""

    status: str
    step: int
    node: str
    attempt: int
    failures: int
    pause_asked: int
    lease_token: int


class Control:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def cancel(self, run_id: str, *, within_s: float | None = None) -> None:
        """Cancel the run and its unfinished descendants. Do nothing if the run is cancelled already.

        Raise NotFound if there is no such run, and Conflict if it is completed or failed.
        """

        def cancel(transaction: Transaction) -> NotFound | Conflict | None:
            parent = transaction.one(_PARENT, run_id=run_id)
            if parent is None:
                return NotFound("run", run_id)
            lock_runs(transaction, [run_id, *filter(None, parent)])
            run = _locked(transaction, run_id)
            if run is None or run.status in OVER:
                transaction.confirm()
                return None if run is None or run.status == Status.CANCELLED else _refusal(run)
            cancel_runs(transaction, [run_id])
            wake_those_ready(transaction, [*filter(None, parent)])
            return None

        await self._done(cancel, within_s, run_id, waits.name)

    async def pause(self, run_id: str, *, within_s: float | None = None) -> str:
        """Pause the run and return its status, which stays `running` until its step is done.

        Raise NotFound if there is no such run, and Conflict if it is over.
        """

        def pause(transaction: Transaction) -> str | NotFound | Conflict:
            run = _locked(transaction, run_id)
            if run is None:
                return NotFound("run", run_id)
            if run.status in OVER:
                return _refusal(run)
            if run.status == Status.PAUSED:
                transaction.confirm()
                return run.status
            transaction.execute(_ASK_TO_PAUSE, run_id=run_id, asked=1)
            # No running run has the token 0, so a running run is left to the commit of its step.
            return Status.PAUSED.value if apply_pauses(transaction, [(run_id, 0)]) else run.status

        return str(await self._done(pause, within_s, run_id))

    async def resume(
        self,
        run_id: str,
        patch: Patch | None = None,
        max_steps: int | None = None,
        *,
        within_s: float | None = None,
    ) -> str:
        """Let a paused or failed run go on, or withdraw a pause that has not taken effect; return the run's status.

        `patch` is committed first, as a step of its own, and the run's node then begins anew. Without a patch, a failed
        step is tried again, and a paused run goes on where it was. `max_steps` replaces the run's limit. Raise NotFound
        if there is no such run, Conflict if its status does not allow this, and Invalid if the patch does not fit.
        """

        def resume(transaction: Transaction) -> Executed[str | RungraphError]:
            run = _locked(transaction, run_id)
            if run is None:
                return Executed(NotFound("run", run_id))
            if run.status == Status.RUNNING and run.pause_asked and patch is None and max_steps is None:
                transaction.execute(_ASK_TO_PAUSE, run_id=run_id, asked=0)
                return Executed(run.status, partial(_status_if_withdrawn, run_id=run_id))
            if run.status not in (Status.PAUSED, Status.FAILED):
                return Executed(_refusal(run, ": only a paused or a failed run can be resumed"))
            changes = None if patch is None else _patched(transaction, run_id, run, patch)
            if isinstance(changes, Invalid):
                return Executed(changes)
            status, last_seq = _resumed(transaction, run_id, run, changes, max_steps)
            ts = transaction.moment.text()
            return Executed(status, partial(_status_if_resumed, run_id=run_id, seq=last_seq, ts=ts))

        return str(await self._done(repeatable(resume), within_s, run_id, waits.name, signals.name, visits.name))

    async def _done(self, command: Any, within_s: float | None, *touches: str) -> Any:
        # Refusals are returned, not raised: they have written nothing, so the rest of the batch can be committed.
        outcome = await self._writer.write(command, touches=touches, within_s=within_s)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def _locked(transaction: Transaction, run_id: str) -> _Run | None:
    row = transaction.one(_LOCKED, run_id=run_id)
    return None if row is None else _Run(*row)


def _status_if_withdrawn(transaction: Transaction, run_id: str) -> str | None:
    """Return the run's status if its pause was withdrawn before it took effect, otherwise None."""
    run = _locked(transaction, run_id)
    is_withdrawn = run is not None and not run.pause_asked and run.status != Status.PAUSED
    return run.status if run is not None and is_withdrawn else None


def _status_if_resumed(transaction: Transaction, run_id: str, seq: int, ts: str) -> str | None:
    """Return the run's status if its log line `seq` reports a resume at `ts`, otherwise None."""
    run = _locked(transaction, run_id)
    row = transaction.one(_RESUMED_LINE, run_id=run_id, seq=seq, ts=ts)
    return run.status if run is not None and row is not None else None


def _refusal(run: _Run, why: str = "") -> Conflict:
    return Conflict(f"the run is {run.status}{why}")


def cancel_runs(transaction: Transaction, run_ids: Sequence[str], because: str = "cancelled") -> None:
    """Cancel the unfinished runs of `run_ids` and their descendants, level by level."""
    now = transaction.moment.text()
    while run_ids:
        lock_runs(transaction, run_ids)
        nodes = dict(transaction.each(_NODES, [{"run_id": run_id} for run_id in run_ids]))
        # Once its row is updated, a run starts no more children. So the search below finds all of them.
        cancelled = transaction.each(_CANCEL, [{"run_id": run_id, "now": now} for run_id in nodes])
        lines = [
            (run_id, last_seq, Line(Event.RUN_CANCELLED, because, Level.WARNING, node=nodes[run_id]))
            for run_id, last_seq, _ in cancelled
        ]
        _insert_lines(transaction, lines)
        announce(transaction, [run_id for run_id, _, notify in cancelled if notify is not None])
        ended = [run_id for run_id, *_ in cancelled]
        delete_waits(transaction, ended)
        run_ids = _open_children(transaction, ended)
        because = "cancelled with its parent"
        transaction.topics.add(local_events.REVOKED)


def cancel_children(transaction: Transaction, parent_ids: Sequence[str]) -> None:
    """Cancel the unfinished children of the runs `parent_ids`, after the runs' nodes have failed or begun anew."""
    cancel_runs(transaction, _open_children(transaction, parent_ids), "cancelled: the parent's node has ended")


def _open_children(transaction: Transaction, parent_ids: Sequence[str]) -> list[str]:
    return [child for (child,) in transaction.each(_OPEN_CHILDREN, [{"run_id": run_id} for run_id in parent_ids])]


def apply_pauses(transaction: Transaction, leases: Collection[tuple[str, int]]) -> set[str]:
    """Pause those runs of `leases` whose pause was asked for, and return their ids.

    A running run is paused only if its lease has the given token.
    """
    paused = transaction.each(_PAUSE, [{"run_id": run_id, "token": token} for run_id, token in leases])
    line = Line(Event.RUN_PAUSED, "paused on request")
    _insert_lines(transaction, [(run_id, last_seq, line) for run_id, last_seq, _ in paused])
    announce(transaction, [run_id for run_id, _, notify in paused if notify is not None])
    return {run_id for run_id, *_ in paused}


def _insert_lines(transaction: Transaction, lines: Sequence[tuple[str, int, Line]]) -> None:
    """Insert one log line for each run, given as the run's id, the `last_seq` that counts the line, and the line."""
    rows = [row for run_id, last_seq, line in lines for row in rows_of_lines(transaction, run_id, [line], last_seq)]
    insert_lines(transaction, rows)


def _patched(transaction: Transaction, run_id: str, run: _Run, patch: Patch) -> Changes | Invalid:
    try:
        return patch(read_states(transaction, [(run_id, run.step)])[0])
    except Invalid as error:
        return error


def _resumed(
    transaction: Transaction, run_id: str, run: _Run, patch: Changes | None, max_steps: int | None
) -> tuple[str, int]:
    """Let the run go on, and return its status and last `seq`."""
    if max_steps is not None:
        transaction.execute(_LIMIT, run_id=run_id, limit=max_steps)
    reset_full_visits(transaction, run_id, run.node)
    now = transaction.moment.text()
    lines = [Line(Event.RUN_RESUMED, f"resumed at {run.node:.200}", node=run.node)]
    status, due = Status.QUEUED, now
    attempt, failures = run.attempt, run.failures
    if patch is not None:
        _insert_patch(transaction, run_id, run, patch)
        lines.insert(0, Line(Event.STEP_COMPLETED, f"patched → {run.node:.200} (patch)", step=run.step + 1, attempt=0))
        attempt, failures = 1, 0
    elif run.status == Status.FAILED:
        attempt, failures = run.attempt + 1, 0
    elif (wait := transaction.one(_WAIT, run_id=run_id)) is not None:
        status, due = Status.WAITING, wait[0]
    last_seq, notify = transaction.one(
        _RESUME,
        run_id=run_id,
        status=status.value,
        patched=int(patch is not None),
        attempt=attempt,
        failures=failures,
        due=due,
        now=now,
        count=len(lines),
    )
    insert_lines(transaction, rows_of_lines(transaction, run_id, lines, last_seq))
    wake_those_ready(transaction, [run_id])
    if notify is not None:
        announce(transaction, [run_id])
    transaction.topics.add(local_events.CLAIMABLE)
    return status.value, last_seq


def _insert_patch(transaction: Transaction, run_id: str, run: _Run, patch: Changes) -> None:
    """Insert the patch as the next step. The node begins anew, so delete the run's wait and cancel its children."""
    now = transaction.moment.text()
    step = NewStep(
        run_id=run_id,
        step=run.step + 1,
        node=None,
        attempt=0,
        lease_token=run.lease_token,
        next_node=run.node,
        reason=Reason.PATCH.value,
        evaluated="[]",
        is_abridged=0,
        started_at=now,
        finished_at=now,
        duration_ms=0.0,
    )
    insert_steps(transaction, [(step, patch)])
    delete_waits(transaction, [run_id])
    cancel_children(transaction, [run_id])
