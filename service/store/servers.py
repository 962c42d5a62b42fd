"""The servers that share a database, and how much each of them does: so that none takes more than its part."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, func, select

from service.store.sql import Statement, every_column
from service.store.tables import servers
from service.store.transaction import Transaction
from service.store.writer import Writer

AHEAD_MAX = 25
"""Runs that a server may carry beyond the idlest one before it lets that one go first."""
FORGET_S = 3600.0
"""How long a server that is gone can still be seen in the table."""

_SEEN = Statement(
    lambda insert: (
        insert(servers)
        .values(every_column(servers))
        .on_conflict_do_update(
            index_elements=["id"], set_={"seen_at": bindparam("seen_at"), "active": bindparam("active")}
        )
    )
)

_LEAST_ACTIVE = Statement(
    select(func.min(servers.c.active)).where(servers.c.id != bindparam("id"), servers.c.seen_at > bindparam("since"))
)

_LEAVE = Statement(delete(servers).where(servers.c.id == bindparam("id")))

_FORGET = Statement(delete(servers).where(servers.c.seen_at < bindparam("since")))


class Servers:
    def __init__(self, writer: Writer, server_id: str, address: str, lease_s: float) -> None:
        self._writer = writer
        self._server_id = server_id
        self._address = address
        self._lease_s = lease_s
        self._active: int | None = None

    async def probe(self, *, within_s: float) -> None:
        """Write something small: Unavailable where the database takes no write."""
        await self._writer.write(lambda transaction: self.seen(transaction, self._active), within_s=within_s)

    async def join(self) -> None:
        """Begin to share the runs with other servers, whose leases stand."""

        def verb(transaction: Transaction) -> None:
            self.forget(transaction)
            self.seen(transaction, 0)

        await self._writer.write(verb)

    async def share(self, count: int, active: int) -> int:
        """How many of `count` runs a server that carries `active` may claim before the idlest one has its turn."""

        known = self._active  # Not read in the verb: it may be done again, when the first time was undone.

        def verb(transaction: Transaction) -> int:
            since = transaction.moment.text(later_s=-self._lease_s)
            (least,) = transaction.one(_LEAST_ACTIVE, id=self._server_id, since=since)
            share = count if least is None else max(0, min(count, least + AHEAD_MAX - active))
            if active != known:
                self.seen(transaction, active)
            return share

        return await self._writer.write(verb)

    async def leave(self) -> None:
        """Take no part any more: nobody lets this server go first."""
        await self._writer.write(self._forget_me)

    def _forget_me(self, transaction: Transaction) -> None:
        transaction.execute(_LEAVE, id=self._server_id)

    def seen(self, transaction: Transaction, active: int | None) -> None:
        """Note that this server lives, and carries `active` runs (None: it executes none)."""
        self._active = active
        now = transaction.moment.text()
        transaction.execute(
            _SEEN, id=self._server_id, address=self._address, started_at=now, seen_at=now, active=active
        )

    def forget(self, transaction: Transaction, *, unseen_s: float = FORGET_S) -> None:
        """Remove the servers that nobody has seen for `unseen_s` seconds."""
        transaction.execute(_FORGET, since=transaction.moment.text(later_s=-unseen_s))
