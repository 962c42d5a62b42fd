"""Spare runs whose leases have run out only because their rows were locked: do not take them over yet.

While a run's row is locked, its server can neither renew the lease nor commit the step, and no other server can claim
the run. When the lock has gone, the run's own server should come first: a takeover would discard a finished step, and
blame a server for having died.

The claims themselves show that a row was locked: its run was already due when a claim had taken everything that was due
and not locked.
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
    """When the lease ran out: database time in microseconds, like all times here."""


class Spared:
    """The leases that this server has spared. Each is spared once, so that a run goes on if its server drops it."""

    def __init__(self, server_id: str, lease_s: float) -> None:
        self._server_id = server_id
        self._term_us = round(lease_s * 1e6)
        self._emptied_us = 0
        self._spared_us: dict[Lease, int] = {}
        self.for_s = lease_s / 2
        """For how long a lease is spared: longer than the time between two renewals."""

    def note_emptied(self, at_us: int) -> None:
        """Note that everything that was due at `at_us` and not locked was taken."""
        self._emptied_us = at_us

    def among(self, transaction: Transaction, overdue: Mapping[Lease, Overdue]) -> set[Lease]:
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
        # When the last lease of a dead server ran out, the server had not been seen for longer than this.
        alive = alive_of(transaction, set(locked.values()), seen_s=self.for_s)
        spared = {lease for lease, owner in locked.items() if owner in alive and not self._was_spared(lease, now_us)}
        for lease in spared:
            self._spared_us[lease] = now_us
        return spared

    def _was_spared(self, lease: Lease, now_us: int) -> bool:
        # A lease spared more recently than this is due again only because that transaction was rolled back.
        return lease in self._spared_us and self._spared_us[lease] <= now_us - self._term_us // 2
