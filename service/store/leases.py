"""Verbs on leases: who may write a run, and until when. Where a run is claimed.

Safety rests on the token: every write of a run names it, and each claim raises it. Time only decides when
another server may try.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, null, select, text, update

from service.core import codec
from service.core.graph import Graph
from service.core.run import Event, Level, Line, Run
from service.core.state import State
from service.core.transitions import Status
from service.store import wake
from service.store.logs import rows_of_lines
from service.store.records import Claimed, Lease
from service.store.servers import Servers
from service.store.sql import Each, Statement, constant
from service.store.states import STATES_AT, states_of
from service.store.tables import attempts, graphs, log_lines, runs
from service.store.transaction import Transaction
from service.store.writer import Writer

logger = logging.getLogger(__name__)

GRAPHS_CACHED_MAX = 256
STATES_LENGTH_MAX = 4 * 2**20
"""Of states that one transaction reads, beyond the first: nobody else writes meanwhile."""
ENTRY_LENGTH = 100
"""What a key takes to read, as if it were bytes of its value."""
UNREADABLE_S = 60.0
"""How long runs are put off whose graph this version cannot read."""

_HELD = (
    runs.c.id == bindparam("run_id"),
    runs.c.lease_token == bindparam("token"),
    runs.c.status == Status.RUNNING.value,
)

_SELECT_DUE = (
    select(
        *(runs.c.id, runs.c.graph_id, runs.c.status, runs.c.step, runs.c.current_node, runs.c.attempt),
        *(runs.c.crashes, runs.c.in_flight, runs.c.last_seq, runs.c.lease_token, runs.c.lease_owner),
        *(runs.c.started_at, runs.c.moved_at),
    )
    # Its status need not be asked: a CHECK leaves a due time to claimable runs alone. Asked as well, SQLite
    # would read the index by status, which is to say every run that waits, and sort.
    .where(runs.c.due_at <= bindparam("now"))
    .order_by(runs.c.due_at, runs.c.id)
    .limit(bindparam("count"))
    .with_for_update(skip_locked=True)
)
_DUE = Statement(_SELECT_DUE)
_DUE_ONE = Statement(_SELECT_DUE.where(runs.c.id == bindparam("only")))

_CLAIM = Each(
    lambda given: (
        update(runs)
        .where(runs.c.id == given.run_id)
        .values(
            status=constant(Status.RUNNING),
            lease_owner=given.server,
            lease_token=given.token,
            due_at=given.until,
            attempt=given.attempt,
            crashes=given.crashes,
            in_flight=given.in_flight,
            last_seq=given.last_seq,
            started_at=func.coalesce(runs.c.started_at, given.now),
            moved_at=given.now,
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

# Locked, which waits for a COMMIT that is still going on: found by its id alone, for so far it shows nothing else.
_LOCKED = Statement(
    select(runs.c.lease_token, runs.c.lease_owner).where(runs.c.id == bindparam("run_id")).with_for_update()
)

_PUT_OFF = Statement(update(runs).where(runs.c.id == bindparam("run_id")).values(due_at=bindparam("until")))

_BEGIN = Statement(update(runs).where(*_HELD).values(in_flight=1, moved_at=bindparam("now")).returning(runs.c.id))

_RENEW = Statement(update(runs).where(*_HELD).values(due_at=bindparam("until")).returning(runs.c.id))

# Differs from SQLite, where one lease after the other is no round trip each, with all rows locked meanwhile.
_RENEW_ALL = Statement(
    text(
        "UPDATE runs SET due_at = :until WHERE status = 'running' AND (id, lease_token) IN"
        " (SELECT value ->> 0, CAST(value ->> 1 AS bigint) FROM json_array_elements(CAST(:leases AS json)))"
        " RETURNING id, lease_token"
    )
)

_RELEASE = Statement(
    update(runs)
    .where(*_HELD)
    .values(
        status=Status.QUEUED.value,
        lease_owner=null(),
        due_at=bindparam("now"),
        attempt=runs.c.attempt + bindparam("interrupted"),
    )
    .returning(runs.c.step, runs.c.attempt, runs.c.moved_at)
)

# The second one only where the clock was set back: a run was never queued in the future.
_SEIZE = Statement(update(runs).where(runs.c.status == Status.RUNNING.value).values(due_at=bindparam("now")))
_SEIZE_QUEUED = Statement(
    update(runs)
    .where(runs.c.due_at > bindparam("now"), runs.c.status == Status.QUEUED.value)
    .values(due_at=bindparam("now"))
)


class _Due(NamedTuple):
    """A row of _DUE, its columns in that order."""

    id: str
    graph_id: str
    status: str
    step: int
    current_node: str
    attempt: int
    crashes: int
    in_flight: int
    last_seq: int
    lease_token: int
    lease_owner: str | None
    started_at: Any
    moved_at: Any

    @property
    def taken_over(self) -> bool:
        """Whether a server that is gone left it running."""
        return self.status == Status.RUNNING

    @property
    def crashed(self) -> bool:
        """Whether that server was, as far as anybody knows, in the middle of an attempt."""
        return self.taken_over and bool(self.in_flight)


class _Taken(NamedTuple):
    """Runs that are leased now, and whether others that are due were left for the next transaction."""

    runs: list[tuple[_Due, State]]
    has_more: bool


class Leases:
    def __init__(self, writer: Writer, servers: Servers, server_id: str, lease_s: float) -> None:
        self._writer = writer
        self._servers = servers
        self._server_id = server_id
        self._lease_s = lease_s
        self._graphs: dict[str, Graph | None] = {}
        """None: one that this version cannot read."""

    async def claim(self, count: int, holding: Collection[str] = (), *, only: str | None = None) -> list[Claimed]:
        """Lease up to `count` runs that are due (`only`: that one), the longest due first.

        One transaction; where their states are large several, so that none takes long. Leases on `holding`, the
        runs that this server carries, are renewed where they have run out: a database that was locked for long is
        no reason to take over from oneself. One call at a time.
        """
        claimed: list[Claimed] = []
        has_more = True
        while has_more:
            some, has_more = await self._claim(count - len(claimed), holding, only)
            claimed += some
            if has_more:
                holding = {*holding, *(each.run.id for each in some)}
        while len(self._graphs) > GRAPHS_CACHED_MAX:
            del self._graphs[next(iter(self._graphs))]
        return claimed

    async def _claim(self, count: int, holding: Collection[str], only: str | None) -> tuple[list[Claimed], bool]:
        """Those claimed, and whether there are more that are due."""
        taken = _Taken([], has_more=False)

        def verb(transaction: Transaction) -> _Taken:
            nonlocal taken
            if kept := [each for each in taken.runs if self._has_taken(transaction, each[0])]:
                return _Taken(kept, taken.has_more)  # The COMMIT had only looked like a failure.
            taken = self._take_due(transaction, count, holding, only)
            return taken

        runs, has_more = await self._writer.write(verb)
        return [self._claimed(due, state) for due, state in runs], has_more

    async def begin(self, lease: Lease) -> bool:
        """Note that an attempt of a run taken over begins now; False where the lease no longer holds."""
        return await self._writer.write(
            lambda transaction: self._held(transaction, _BEGIN, lease, now=transaction.moment.text())
        )

    def renew(self, leases: Sequence[Lease], *, as_server: bool = True, has_room: bool = True) -> Future[list[Lease]]:
        """Extend `leases`, all that this server has; those that no longer hold come back.

        `as_server`: and say that it lives, and with `has_room` that it takes its part of the runs.
        """

        def verb(transaction: Transaction) -> list[Lease]:
            until = transaction.moment.text(later_s=self._lease_s)
            if as_server:
                self._servers.seen(transaction, len(leases) if has_room else None)
            if transaction.dialect == "sqlite":
                return [lease for lease in leases if not self._held(transaction, _RENEW, lease, until=until)]
            pairs = codec.encode([[lease.run_id, lease.token] for lease in leases])
            held = {Lease(*row) for row in transaction.all(_RENEW_ALL, leases=pairs, until=until)}
            return [lease for lease in leases if lease not in held]

        return self._writer.submit(verb)

    async def release(self, lease: Lease, *, interrupted: bool) -> None:
        """Give a run back unfinished, so that any server goes on at once; `interrupted`: within an attempt."""

        def verb(transaction: Transaction) -> None:
            now = transaction.moment.text()
            parameters = {"run_id": lease.run_id, "token": lease.token}
            row = transaction.one(_RELEASE, **parameters, now=now, interrupted=int(interrupted))
            if row is not None and interrupted:
                step, attempt, moved_at = row
                lost = _lost(transaction, lease.run_id, step + 1, attempt - 1, moved_at, _INTERRUPTED)
                transaction.insert(attempts, [lost])
            transaction.woken.add(wake.CLAIMABLE)

        await self._writer.write(verb)

    async def seize(self) -> None:
        """Make every lease run out at once.

        Differs from PostgreSQL because a SQLite file has one server: whoever held a lease is gone.
        """

        def verb(transaction: Transaction) -> None:
            self._servers.forget(transaction, unseen_s=0.0)
            self._servers.seen(transaction, 0)
            transaction.execute(_SEIZE, now=transaction.moment.text())
            transaction.execute(_SEIZE_QUEUED, now=transaction.moment.text())

        await self._writer.write(verb)

    def _take_due(self, transaction: Transaction, count: int, holding: Collection[str], only: str | None) -> _Taken:
        due = self._due(transaction, count, holding, only)
        for row in due:
            if row.graph_id not in self._graphs:
                self._graphs[row.graph_id] = _load(transaction, row.graph_id)
        readable = [row for row in due if self._graphs[row.graph_id] is not None]
        for row in due:
            if row not in readable:
                transaction.execute(_PUT_OFF, run_id=row.id, until=transaction.moment.text(later_s=UNREADABLE_S))
        states = _first_states(transaction, readable)
        taken = readable[: len(states)]
        self._take_all(transaction, taken)
        return _Taken(list(zip(taken, states, strict=True)), has_more=len(taken) < len(readable))

    def _has_taken(self, transaction: Transaction, due: _Due) -> bool:
        return tuple(transaction.one(_LOCKED, run_id=due.id)) == (due.lease_token + 1, self._server_id)

    def _due(self, transaction: Transaction, count: int, holding: Collection[str], only: str | None) -> list[_Due]:
        now = transaction.moment.text()
        which: dict[str, Any] = {"now": now, "count": count} | ({} if only is None else {"only": only})
        until = transaction.moment.text(later_s=self._lease_s)
        while True:
            due = [_Due(*row) for row in transaction.all(_DUE if only is None else _DUE_ONE, **which)]
            mine = [row for row in due if row.id in holding and row.lease_owner == self._server_id]
            if not mine:
                # One of `holding` that is no longer ours is still being put down: a later claim finds it.
                return [row for row in due if row.id not in holding]
            for row in mine:
                self._held(transaction, _RENEW, Lease(row.id, row.lease_token), until=until)

    def _take_all(self, transaction: Transaction, due: Sequence[_Due]) -> None:
        """Lease runs that are due; where one was left in the middle of an attempt, note that one as lost."""
        now, until = transaction.moment.text(), transaction.moment.text(later_s=self._lease_s)
        transaction.insert(
            attempts,
            [
                _lost(transaction, row.id, row.step + 1, row.attempt, row.moved_at, _SERVER_LOST)
                for row in due
                if row.crashed
            ],
        )
        transaction.each(_CLAIM, [self._lease(row, now, until) for row in due])
        lines = [rows_of_lines(transaction, row.id, [_opening_line(row)], row.last_seq + 1) for row in due]
        transaction.insert(log_lines, [line for of_run in lines for line in of_run])

    def _lease(self, due: _Due, now: str, until: str) -> dict[str, Any]:
        return {
            "run_id": due.id,
            "server": self._server_id,
            "token": due.lease_token + 1,
            "until": until,
            "attempt": due.attempt + due.crashed,
            "crashes": due.crashes + due.crashed,
            "in_flight": int(not due.taken_over),
            "last_seq": due.last_seq + 1,
            "now": now,
        }

    def _claimed(self, due: _Due, state: State) -> Claimed:
        graph = self._graphs[due.graph_id]
        if graph is None:
            raise ValueError(f"graph {due.graph_id} cannot be read")
        run = Run(
            id=due.id,
            graph=graph,
            status=Status.RUNNING,
            step=due.step,
            node=due.current_node,
            state=state,
            attempt=due.attempt + due.crashed,
            crashes=due.crashes + due.crashed,
        )
        return Claimed(Lease(due.id, due.lease_token + 1), run)

    def _held(self, transaction: Transaction, statement: Statement, lease: Lease, **values: Any) -> bool:
        return transaction.one(statement, run_id=lease.run_id, token=lease.token, **values) is not None


def _first_states(transaction: Transaction, due: Sequence[_Due]) -> list[State]:
    """The states of the first of `due`: as many as are quickly read, and one at least."""
    states: list[State] = []
    length, count = 0, 1
    while len(states) < len(due) and length < STATES_LENGTH_MAX:
        part = due[len(states) : len(states) + count]
        asked = [{"run_id": row.id, "step": row.step} for row in part]
        found = states_of(transaction.each(STATES_AT[transaction.dialect], asked))
        states += [found.get(row.id, State({})) for row in part]
        length += sum(ENTRY_LENGTH + entry.byte_length for state in found.values() for entry in state.entries.values())
        count *= 2  # Of large ones few are read beyond the limit, of small ones all in a few queries.
    return states


def _load(transaction: Transaction, graph_id: str) -> Graph | None:
    try:
        return Graph.load(transaction.one(_DEFINITION, graph_id=graph_id)[0])
    except ValueError:
        logger.exception("graph %s cannot be read: a newer version wrote it, and its runs wait for one", graph_id)
        return None


_SERVER_LOST = {"type": "server_lost", "message": "the server died or lost its lease during this attempt"}
_INTERRUPTED = {"type": "interrupted", "message": "the server stopped during this attempt"}


def _lost(
    transaction: Transaction, run_id: str, step: int, attempt: int, started_at: Any, error: dict[str, str]
) -> dict[str, Any]:
    """A row for an attempt of which nobody knows how it went."""
    return {
        "run_id": run_id,
        "step": step,
        "attempt": attempt,
        "error": codec.encode(error),
        "started_at": started_at,
        "finished_at": transaction.moment.text(),
    }


def _opening_line(due: _Due) -> Line:
    place: dict[str, Any] = {"node": due.current_node, "step": due.step + 1}
    if due.taken_over:
        message = f"taken over at {due.current_node:.200}: the server that ran it is gone"
        return Line(Event.RUN_RESUMED, message, Level.WARNING, **place)
    if due.started_at is None:
        return Line(Event.RUN_STARTED, f"started at {due.current_node:.200}")
    return Line(Event.RUN_RESUMED, f"goes on at {due.current_node:.200}", **place)
