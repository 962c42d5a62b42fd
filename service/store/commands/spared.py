"""Runs that are not taken over though their leases have run out, because somebody had locked their rows until just now.

A server cannot renew the lease on a run whose row is locked, nor commit the run's step; and no other server can claim
it. When the lock has gone, whichever comes first has it. That should be the server that carries the run: to take it
over would discard a step that is done, and suspect a server of having died.

That a row was locked shows from the claims alone: its run was due already when everything that was due, and that
nobody had locked, had been taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from service.store.commands.servers import alive_of
from service.store.database.transaction import Transaction
from service.store.rows.records import Lease


class Overdue(NamedTuple):
    owner: str
    due_us: int
    """When the lease ran out: the database's time, in microseconds, as all times in here."""


class Spared:
    """Which leases this server has spared. Each is spared once, so that a run which its server has dropped goes on."""

    def __init__(self, server_id: str, lease_s: float) -> None:
        self._server_id = server_id
        self._term_us = round(lease_s * 1e6)
        self._emptied_us = 0
        self._spared_us: dict[Lease, int] = {}
        self.for_s = lease_s / 2
        """For how long: longer than it takes a server to renew its leases."""

    def note_emptied(self, at_us: int) -> None:
        """Everything that was due then, and that nobody had locked, was taken."""
        self._emptied_us = at_us

    def among(self, transaction: Transaction, overdue: Mapping[Lease, Overdue]) -> set[Lease]:
        """Those to be put off: they were locked until just now, and their servers live."""
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
        # A dead server was not seen for longer than this when the lease ran out which it had renewed last.
        alive = alive_of(transaction, set(locked.values()), seen_s=self.for_s)
        spared = {lease for lease, owner in locked.items() if owner in alive and not self._was_spared(lease, now_us)}
        for lease in spared:
            self._spared_us[lease] = now_us
        return spared

    def _was_spared(self, lease: Lease, now_us: int) -> bool:
        # One that was spared more recently was not: it is due again, since that transaction was rolled back.
        return lease in self._spared_us and self._spared_us[lease] <= now_us - self._term_us // 2
