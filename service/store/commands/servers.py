"""Note which servers share the database and how many runs each executes, so that none takes more than its share."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial

from sqlalchemy import bindparam, delete, func, literal_column, select, text, update

from service.core.errors import Unavailable
from service.core.transitions import Status
from service.store.database.statements import ForRows, Statement, every_column
from service.store.database.transaction import Transaction
from service.store.database.writing.blocked_writes import LOCKED
from service.store.database.writing.writer import Writer
from service.store.rows.park_and_wake import NEVER
from service.store.schema.models import runs, servers

AHEAD_MAX = 25
"""How many more runs than the idlest server a server may execute before it leaves runs to that one."""
FORGET_S = 3600.0
"""How long the row of a server that is gone stays in the table."""

_SEEN = Statement(
    lambda insert: (
        insert(servers)
        .values(every_column(servers))
        .on_conflict_do_update(
            index_elements=["id"], set_={"seen_at": bindparam("seen_at"), "active": bindparam("active")}
        )
    )
)

_OTHERS = Statement(
    select(func.min(servers.c.active), func.max(servers.c.seen_at)).where(
        servers.c.id != bindparam("id"), servers.c.seen_at > bindparam("since")
    )
)

_ALIVE = ForRows(
    lambda row: select(servers.c.id).where(servers.c.id == row.id, servers.c.seen_at > row.since),
    id=servers.c.id,
    since=servers.c.seen_at,
)

_LEAVE = Statement(delete(servers).where(servers.c.id == bindparam("id")))

_gone = select(servers.c.id).where(servers.c.seen_at < bindparam("since")).with_for_update(skip_locked=True)
_FORGET = Statement(delete(servers).where(servers.c.id.in_(_gone)))
# Finds the runs that were queued before the clock was set back, and those that a claim has put off. Runs that wait for
# a server with their tool stay due at NEVER.
_QUEUED_AHEAD = Statement(
    update(runs)
    .where(
        runs.c.due_at > bindparam("now"),
        runs.c.due_at < literal_column(repr(NEVER)),
        runs.c.status == Status.QUEUED.value,
    )
    .values(due_at=bindparam("now"))
)

# The locks of a step, without waiting if a whole table is locked. SQLite has one lock for everything.
_LOCK_AS_STEPS = Statement(text("LOCK TABLE runs, changes, snapshots, log_lines IN ROW EXCLUSIVE MODE NOWAIT"))


class Servers:
    def __init__(self, writer: Writer, server_id: str, address: str, lease_s: float) -> None:
        self._writer = writer
        self._server_id = server_id
        self._address = address
        self._lease_s = lease_s
        self.active: int | None = None
        """How many runs this server executes, as it last noted. None: it claims none (no engine, or no room)."""
        self._telling: Future[None] | None = None

    async def probe(self, *, within_s: float) -> None:
        """Write something small. Raise Unavailable if the database takes no write, or none of a step's writes.

        Steps and starts do without the table of servers, so a lock on it does not fail the probe.
        """

        def probe(transaction: Transaction) -> bool:
            can_step = True
            if transaction.has_savepoints:
                can_step = transaction.unless_locked(partial(transaction.execute, _LOCK_AS_STEPS)) is not None
            elif transaction.dialect == "postgresql":
                transaction.execute(_LOCK_AS_STEPS)
            transaction.if_free(partial(self.seen, transaction))
            transaction.confirm()
            return can_step

        if not await self._writer.write(probe, touches=("probe", servers.name), within_s=within_s):
            raise Unavailable(LOCKED)

    async def join(self) -> None:
        """Begin to share the runs with other servers, which keep their leases."""

        def join(transaction: Transaction) -> None:
            self.forget(transaction)
            self.seen(transaction)
            make_queued_due(transaction)

        self.active = 0
        await self._writer.write(join, touches=(servers.name,))

    async def share(self, count: int, active: int) -> int:
        """Return how many of `count` runs this server may claim instead of leaving them to the idlest other server.

        `active` is the number of runs that this server executes.
        """

        def share(transaction: Transaction) -> int:
            least = self._least_active(transaction)
            return count if least is None else max(0, min(count, least + AHEAD_MAX - active))

        if active != self.active:
            self.tell(active)
        return await self._writer.write(share, touches=("shares", servers.name))

    def _least_active(self, transaction: Transaction) -> int | None:
        """Return how many runs the idlest other server executes. None: no other claims runs, or the table is locked."""
        since = transaction.moment.text(later_s=-self._lease_s - transaction.moment.patience_us / 1e6)
        ask = partial(transaction.one, _OTHERS, id=self._server_id, since=since)
        row = transaction.if_free(ask)
        if row is None:
            return None
        least, seen_at = row
        transaction.reach(seen_at)
        return None if least is None else int(least)

    async def leave(self) -> None:
        """Stop sharing the runs: no server leaves runs to this one any more."""
        await self._writer.write(self._forget_me, touches=(servers.name,))

    def _forget_me(self, transaction: Transaction) -> None:
        transaction.execute(_LEAVE, id=self._server_id)

    def tell(self, active: int | None) -> None:
        """Queue a note that this server lives and executes `active` runs. Do not wait until it is written."""
        self.active = active
        if self._telling is None or self._telling.done():
            self._telling = self._writer.submit(self.seen, touches=(servers.name,))

    def seen(self, transaction: Transaction) -> None:
        """Note that this server lives, and how many runs it executes."""
        now = transaction.moment.text()
        transaction.execute(
            _SEEN, id=self._server_id, address=self._address, started_at=now, seen_at=now, active=self.active
        )

    def forget(self, transaction: Transaction, *, unseen_s: float = FORGET_S) -> None:
        """Delete the servers that were not seen for `unseen_s` seconds."""
        transaction.execute(_FORGET, since=transaction.moment.text(later_s=-unseen_s))


def alive_of(transaction: Transaction, server_ids: Iterable[str], *, seen_s: float) -> set[str]:
    """Return those of `server_ids` that were seen within the last `seen_s` seconds, or none if the table is locked."""
    since = transaction.moment.text(later_s=-seen_s)
    ask = partial(transaction.each, _ALIVE, [{"id": server_id, "since": since} for server_id in server_ids])
    found = transaction.if_free(ask)
    return {server_id for (server_id,) in found or ()}


def make_queued_due(transaction: Transaction) -> None:
    """Make queued runs due, even if the clock was set back, except those that wait for a server with their tool."""
    transaction.execute(_QUEUED_AHEAD, now=transaction.moment.text())
