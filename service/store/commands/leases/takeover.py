"""Take over the runs of dead servers: what a claim does for runs that are running and whose leases have run out.

`due` finds them among all that is due, and `claim` leases them like others. The attempt that a dead server has left
unfinished is stored as lost.

A run is spared for a moment if its lease ran out only because its row was locked. While the row is locked, its server
can neither renew the lease nor commit the step, and no other server can claim the run. When the lock has gone, the
run's own server should come first: a takeover would discard a finished step, and blame a server for having died. A
claim can tell that a row was locked: the run was already due when an earlier claim took everything that was due and not
locked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from service.core.graph import Graph, ToolNode
from service.core.run import Event, Level, Line
from service.store.commands.leases.due import Due, put_off
from service.store.commands.servers import alive_of
from service.store.database.clock import microseconds
from service.store.database.transaction import Transaction
from service.store.rows.attempts import SERVER_LOST, row_of_lost_attempt
from service.store.rows.records import Lease
from service.store.schema.models import attempts


def as_left(due: Due, graph: Graph) -> Due:
    """Return `due`. If the run's node calls no tool, clear `in_flight`: the attempt is not lost, but simply goes on."""
    is_tool = isinstance(graph.nodes[due.current_node], ToolNode)
    return due if is_tool or not due.taken_over else due._replace(in_flight=0)


def insert_lost_attempts(transaction: Transaction, due: Sequence[Due]) -> None:
    """Insert the attempts that dead servers have left unfinished."""
    rows = [
        row_of_lost_attempt(transaction, row.id, row.step + 1, row.attempt, row.moved_at, SERVER_LOST)
        for row in due
        if row.crashed
    ]
    transaction.insert(attempts, rows)


def takeover_line(due: Due) -> Line:
    """Return the log line that reports a takeover."""
    message = f"taken over at {due.current_node:.200}: the server that ran it is gone"
    return Line(Event.RUN_RESUMED, message, Level.WARNING, node=due.current_node, step=due.step + 1)


class Overdue(NamedTuple):
    owner: str
    due_us: int
    """The time at which the lease ran out: database time in microseconds, like all times here."""


class SparedLeases:
    """The leases that this server has spared. Each is spared once: if it is not renewed then, its run is taken over."""

    def __init__(self, server_id: str, lease_s: float) -> None:
        self._server_id = server_id
        self._term_us = round(lease_s * 1e6)
        self._emptied_us = 0
        self._spared_us: dict[Lease, int] = {}
        self._for_s = lease_s / 2
        """The number of seconds for which a lease is spared: more than the time between two renewals."""

    def note_emptied(self, at_us: int) -> None:
        """Note that everything that was due at `at_us` and not locked was taken."""
        self._emptied_us = at_us

    def exclude(self, transaction: Transaction, due: list[Due]) -> list[Due]:
        """Return `due` without the runs to be spared, which are put off."""
        overdue = {row.lease: Overdue(str(row.lease_owner), microseconds(row.due_at)) for row in due if row.taken_over}
        if not (spared := self._among(transaction, overdue)):
            return due
        put_off(transaction, [lease.run_id for lease in spared], self._for_s)
        return [row for row in due if row.lease not in spared]

    def _among(self, transaction: Transaction, overdue: Mapping[Lease, Overdue]) -> set[Lease]:
        """Return the leases to be spared: their rows were locked until now, and their servers live."""
        locked = {
            lease: of.owner
            for lease, of in overdue.items()
            if of.owner != self._server_id and of.due_us < self._emptied_us
        }
        if not locked:
            return set()
        now_us = transaction.moment.now_us
        self._spared_us = {
            lease: at_us for lease, at_us in self._spared_us.items() if at_us > now_us - 2 * self._term_us
        }
        # This excludes dead servers: when their last lease ran out, they had been unseen for longer than `seen_s`.
        alive = alive_of(transaction, set(locked.values()), seen_s=self._for_s)
        spared = {lease for lease, owner in locked.items() if owner in alive and not self._was_spared(lease, now_us)}
        for lease in spared:
            self._spared_us[lease] = now_us
        return spared

    def _was_spared(self, lease: Lease, now_us: int) -> bool:
        # If a lease was spared more recently, its run is due again only because that transaction was rolled back.
        return lease in self._spared_us and self._spared_us[lease] <= now_us - self._term_us // 2
