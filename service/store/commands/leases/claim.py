"""Claim runs: lease those that are due, and return what a runner needs to execute them.

Queued runs are due at once, waiting runs when their wait is over, running runs when their lease has run out. One query
finds them all.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, null, select, update

from service.core.graph import Graph
from service.core.run import Event, Line, Run, Waited
from service.core.state import State
from service.core.syntax.trace_context import Trace
from service.core.tool import Tool
from service.core.transitions import Status
from service.store.commands.leases.due import Due, DueRuns, put_off
from service.store.commands.leases.takeover import SparedLeases, as_left, insert_lost_attempts, takeover_line
from service.store.commands.operations.left_runs import LeftRuns
from service.store.commands.queueing.waking import Watch
from service.store.commands.repeatable import Executed, repeatable
from service.store.database.statements import ForRows, Statement, constant
from service.store.database.transaction import Transaction
from service.store.database.writing.writer import Writer
from service.store.rows.fence import RENEW, is_held
from service.store.rows.first_states import FirstStates
from service.store.rows.log_lines import insert_lines, rows_of_lines
from service.store.rows.park_and_wake import waits_of
from service.store.rows.records import Claimed, Lease
from service.store.rows.states import read_states
from service.store.rows.visits import visits_of
from service.store.schema.models import graphs, runs

logger = logging.getLogger(__name__)

GRAPHS_CACHED_MAX = 256
LOCKED_S = 5.0
"""How long runs are put off if they need a locked table."""
UNREADABLE_S = 60.0
"""How long runs are put off if this version cannot read their graph."""

_CLAIM = ForRows(
    lambda row: (
        update(runs)
        .where(runs.c.id == row.run_id)
        .values(
            status=constant(Status.RUNNING),
            lease_owner=row.server,
            lease_token=row.token,
            due_at=row.until,
            attempt=row.attempt,
            crashes=row.crashes,
            in_flight=row.in_flight,
            missing_tool=null(),
            is_resume_unlogged=constant(0),
            last_seq=row.last_seq,
            started_at=func.coalesce(runs.c.started_at, row.now),
            moved_at=row.now,
        )
        .returning(runs.c.id)
    ),
    run_id=runs.c.id,
    server=runs.c.lease_owner,
    token=runs.c.lease_token,
    until=runs.c.due_at,
    attempt=runs.c.attempt,
    crashes=runs.c.crashes,
    in_flight=runs.c.in_flight,
    last_seq=runs.c.last_seq,
    now=runs.c.moved_at,
)

_DEFINITION = Statement(select(graphs.c.definition).where(graphs.c.id == bindparam("graph_id")))

# The lock waits for a COMMIT that is still in progress. The condition names only the id, because until the COMMIT ends
# the other columns may have their old values.
_LOCKED = Statement(
    select(runs.c.lease_token, runs.c.lease_owner).where(runs.c.id == bindparam("run_id")).with_for_update()
)


class _Taken(NamedTuple):
    """Rows that were leased, their runs, and whether other due runs remain for the next transaction."""

    rows: list[Due]
    runs: list[Run]
    has_more: bool

    def of(self, kept: Sequence[Due]) -> _Taken:
        return _Taken(list(kept), [run for row, run in zip(self.rows, self.runs, strict=True) if row in kept], True)


class ClaimCommands:
    def __init__(
        self, writer: Writer, cached: FirstStates, server_id: str, lease_s: float, watch: Watch | None = None
    ) -> None:
        self._writer = writer
        self._watch = watch or Watch()
        self._first_states = cached
        self._server_id = server_id
        self._lease_s = lease_s
        self._sees_all = False
        """Whether the last query has found everything that was due and not locked."""
        self._spared = SparedLeases(server_id, lease_s)
        self._left = LeftRuns()
        self._graphs: dict[str, Graph | None] = {}
        """Graphs by id; None marks a graph that this version cannot read."""
        self.next_due_s = 0.0
        """Seconds until another run is due, as the last claim has seen it; at most NEAR_S."""

    async def claim(
        self,
        count: int,
        holding: Collection[str] = (),
        *,
        family: str | None = None,
        tools: Mapping[str, Tool] | None = None,
        bytes_max: float = math.inf,
    ) -> list[Claimed]:
        """Lease up to `count` runs that are due, in order of priority, and the longest due first.

        If `family` is the id of a run, only that run and its descendants are leased. No more runs are leased once their
        states have `bytes_max` bytes. The size of a state is known only when it is read, so a few more may be read.

        A run that needs a tool which is not in `tools` is left to other servers. Runs that other servers have left are
        leased if `tools` has their tool. None means that this server takes runs that need any tool.

        The states of large runs are read in several transactions, so that none takes long. Leases on `holding`, the
        runs that this server executes, are renewed if they have run out: if the database was locked for long, a server
        need not take over from itself. Make one call at a time.
        """
        claimed: list[Claimed] = []
        has_more = True
        which = DueRuns(family, tools)
        while has_more and bytes_max > 0:
            some, has_more = await self._claim(count - len(claimed), holding, which, bytes_max)
            claimed += some
            if has_more:
                bytes_max -= sum(each.run.state.byte_length for each in some)
                holding = {*holding, *(each.run.id for each in some)}
        while len(self._graphs) > GRAPHS_CACHED_MAX:
            del self._graphs[next(iter(self._graphs))]
        return claimed

    def tell_missing(self, tool: str, tools: Mapping[str, Tool]) -> None:
        """Log once that this server lacks `tool`."""
        self._left.tell(tool, tools)

    async def _claim(
        self, count: int, holding: Collection[str], which: DueRuns, bytes_max: float
    ) -> tuple[list[Claimed], bool]:
        """Claim runs in one transaction. Return them, and whether more are due."""
        now_us = 0

        def claim(transaction: Transaction) -> Executed[_Taken]:
            nonlocal now_us
            taken = self._take_due(transaction, count, holding, which, bytes_max)
            now_us = transaction.moment.now_us
            is_done = len(taken.rows) < count and not self._left.must_claim_again
            self.next_due_s = min(which.next_due_s(transaction), self._watch.again_s) if is_done else 0.0
            return Executed(taken, lambda transaction: self._still_taken(transaction, taken))

        taken = await self._writer.write(repeatable(claim), touches=("claims",))
        if self._sees_all and not taken.has_more:
            self._spared.note_emptied(now_us)
        leases = [Lease(row.id, row.lease_token + 1) for row in taken.rows]
        return [Claimed(lease, run) for lease, run in zip(leases, taken.runs, strict=True)], taken.has_more

    def _take_due(
        self, transaction: Transaction, count: int, holding: Collection[str], which: DueRuns, bytes_max: float
    ) -> _Taken:
        transaction.if_free(partial(self._watch.wake, transaction))
        due = self._due(transaction, count, holding, which)
        for row in due:
            if row.graph_id not in self._graphs:
                self._graphs[row.graph_id] = _load(transaction, row.graph_id)
        readable = [as_left(row, graph) for row in due if (graph := self._graphs[row.graph_id]) is not None]
        put_off(transaction, [row.id for row in due if self._graphs[row.graph_id] is None], UNREADABLE_S)
        readable = self._left.leave(transaction, readable, self._graphs, which.tools)
        return (
            self._take_unlocked(transaction, readable, bytes_max)
            if transaction.has_savepoints
            else self._take(transaction, readable, bytes_max)
        )

    def _take(self, transaction: Transaction, due: list[Due], bytes_max: float) -> _Taken:
        """Lease the first runs of `due`: those whose states `read_states` returns for a limit of `bytes_max` bytes."""
        places = [(row.id, row.step) for row in due]
        states = read_states(transaction, places, self._first_states.take(places), bytes_max)
        taken = due[: len(states)]
        self._take_all(transaction, taken)
        claimed = self._runs(transaction, taken, states)
        return _Taken(taken, claimed, has_more=len(taken) < len(due))

    def _take_unlocked(self, transaction: Transaction, due: Sequence[Due], bytes_max: float) -> _Taken:
        """Lease runs like `_take`, but put off those that need a locked table, so that others come next.

        The runs' own rows are not locked: `_DUE` skips locked rows, and every command that writes rows of a run locks
        the run's row first.
        """
        by_tables: dict[tuple[bool, bool, bool], list[Due]] = defaultdict(list)
        for row in due:
            graph = self._graphs[row.graph_id]
            counts_visits = graph is not None and graph.counts_visits
            by_tables[row.crashed, row.may_have_waited, counts_visits].append(row)
        taken = _Taken([], [], has_more=False)
        groups = deque(by_tables.values())
        while groups:
            rows = groups.popleft()
            some = transaction.unless_locked(partial(self._take, transaction, rows, bytes_max))
            if some is None and (parts := _by_sharing(rows)):
                groups.extendleft(parts)
                continue
            if some is None:
                put_off(transaction, [row.id for row in rows], LOCKED_S)
                some = _Taken([], [], has_more=True)
            taken = _Taken(taken.rows + some.rows, taken.runs + some.runs, taken.has_more or some.has_more)
        return taken

    def _still_taken(self, transaction: Transaction, taken: _Taken) -> _Taken | None:
        """Return the part of `taken` on which this server holds the lease; None if it holds none."""
        kept = [row for row in taken.rows if self._has_taken(transaction, row)]
        return taken.of(kept) if kept else None

    def _has_taken(self, transaction: Transaction, due: Due) -> bool:
        return tuple(transaction.one(_LOCKED, run_id=due.id)) == (due.lease_token + 1, self._server_id)

    def _due(self, transaction: Transaction, count: int, holding: Collection[str], which: DueRuns) -> list[Due]:
        until = transaction.moment.text(later_s=self._lease_s)
        left = self._left.due(transaction, which, count)
        while True:
            due = which.due(transaction, count - len(left))
            self._sees_all = len(due) < count - len(left)
            mine = [row for row in due if row.id in holding and row.lease_owner == self._server_id]
            if not mine:
                # Runs of `holding` that are found here are skipped: this server has lost their leases, but is still
                # dropping them. A later claim finds them.
                due = self._spared.exclude(transaction, [row for row in due if row.id not in holding])
                return [row for row in left if row.id not in holding] + due
            for row in mine:
                is_held(transaction, RENEW, row.lease, until=until)

    def _take_all(self, transaction: Transaction, due: Sequence[Due]) -> None:
        """Lease runs that are due, and insert the attempts that a dead server has left unfinished."""
        now, until = transaction.moment.text(), transaction.moment.text(later_s=self._lease_s)
        insert_lost_attempts(transaction, due)
        transaction.each(_CLAIM, [self._lease(row, now, until) for row in due])
        lines = [
            rows_of_lines(transaction, row.id, opening, row.last_seq + len(opening))
            for row in due
            if (opening := _opening_lines(row))
        ]
        insert_lines(transaction, [line for of_run in lines for line in of_run])

    def _lease(self, due: Due, now: str, until: str) -> dict[str, Any]:
        return {
            "run_id": due.id,
            "server": self._server_id,
            "token": due.lease_token + 1,
            "until": until,
            "attempt": due.attempt + due.crashed,
            "crashes": due.crashes + due.crashed,
            "in_flight": int(not due.taken_over),
            "last_seq": due.last_seq + len(_opening_lines(due)),
            "now": now,
        }

    def _runs(self, transaction: Transaction, due: Sequence[Due], states: Sequence[State]) -> list[Run]:
        """Return the runs for the runners."""
        waited = waits_of(transaction, [row.id for row in due if row.may_have_waited])
        graphs_of = {row.id: graph for row in due if (graph := self._graphs[row.graph_id]) is not None}
        counting = {run_id: graph for run_id, graph in graphs_of.items() if graph.counts_visits}
        visited = visits_of(transaction, counting)
        clock_us = transaction.moment.clock_us
        return [
            self._run(row, state, waited.get(row.id), visited.get(row.id, {}), clock_us)
            for row, state in zip(due, states, strict=True)
        ]

    def _run(self, due: Due, state: State, waited: Waited | None, visited: Mapping[str, int], clock_us: int) -> Run:
        graph = self._graphs[due.graph_id]
        if graph is None:
            raise ValueError(f"graph {due.graph_id} cannot be read")
        return Run(
            id=due.id,
            graph=graph,
            status=Status.RUNNING,
            step=due.step,
            node=due.current_node,
            state=state,
            attempt=due.attempt + due.crashed,
            crashes=due.crashes + due.crashed,
            failures=due.failures,
            patches=due.patches,
            max_steps=due.max_steps,
            visits=visited,
            waited=waited,
            claimed_us=clock_us,
            parent_id=due.parent_id,
            depth=due.depth,
            priority=due.priority,
            trace=None if due.traceparent is None else Trace(due.traceparent, due.tracestate),
        )


def _load(transaction: Transaction, graph_id: str) -> Graph | None:
    try:
        return Graph.load(transaction.one(_DEFINITION, graph_id=graph_id)[0])
    except ValueError:
        logger.exception("graph %s cannot be read: a newer version wrote it, and its runs wait for one", graph_id)
        return None


def _by_sharing(due: Sequence[Due]) -> list[list[Due]]:
    """Split `due` into the children and the other runs. Return an empty list if all are of one kind.

    Only a child reads the table of shared values, which may be the table that is locked.
    """
    children = [row for row in due if row.parent_id is not None]
    others = [row for row in due if row.parent_id is None]
    return [children, others] if children and others else []


def _opening_lines(due: Due) -> list[Line]:
    """Return the lines that the claim logs. After a wait there are none: the step logs how the wait ended."""
    if due.status == Status.WAITING:
        return []
    place: dict[str, Any] = {"node": due.current_node, "step": due.step + 1}
    if due.taken_over:
        return [takeover_line(due)]
    if due.started_at is None:
        return [Line(Event.RUN_STARTED, f"started at {due.current_node:.200}")]
    if not due.is_resume_unlogged:
        return []  # The command that resumed the run has logged the resume.
    return [Line(Event.RUN_RESUMED, f"goes on at {due.current_node:.200}", **place)]
