"""Renew, release and seize leases, and note the attempt of a run that was taken over.

Safety rests on the token: every write of a run names it, and each claim raises it. Time only decides when another
server may claim the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from sqlalchemy import bindparam, null, text, update

from service.core import codec
from service.core.transitions import Status
from service.store.commands.control import apply_pauses
from service.store.commands.servers import Servers, make_queued_due
from service.store.database import local_events
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.database.writing.writer import Writer
from service.store.rows.attempts import INTERRUPTED, row_of_lost_attempt
from service.store.rows.fence import HELD, RENEW, is_held
from service.store.rows.park_and_wake import NEVER
from service.store.rows.records import Lease
from service.store.rows.states import slot_of
from service.store.schema.models import attempts, runs

_BEGIN = Statement(update(runs).where(*HELD).values(in_flight=1, moved_at=bindparam("now")).returning(runs.c.id))

# Finds the leases that still hold, for PostgreSQL. Renewing them one by one would take a round trip for each, and the
# rows would stay locked meanwhile.
_STILL_HELD = (
    "SELECT id, lease_token FROM runs WHERE lease_owner IS NOT NULL AND (id, lease_token) IN"
    " (SELECT value ->> 0, CAST(value ->> 1 AS bigint) FROM json_array_elements(CAST(:leases AS json)))"
)
# Skips locked rows. No server can claim a run whose row is locked, so its lease cannot be lost meanwhile. When the lock
# has gone, the lease is renewed or the step committed.
_RENEW_ALL = Statement(
    text(
        f"WITH held AS MATERIALIZED ({_STILL_HELD} FOR NO KEY UPDATE SKIP LOCKED)"
        " UPDATE runs SET due_at = :until FROM held WHERE runs.id = held.id RETURNING runs.id, runs.lease_token"
    )
)
_STILL_HELD_OF = Statement(text(_STILL_HELD))

_RELEASE = Statement(
    update(runs)
    .where(*HELD)
    .values(
        status=Status.QUEUED.value,
        lease_owner=null(),
        due_at=bindparam("due"),
        missing_tool=bindparam("tool"),
        is_resume_unlogged=1,
        attempt=runs.c.attempt + bindparam("interrupted"),
    )
    .returning(runs.c.step, runs.c.attempt, runs.c.moved_at)
)

_SEIZE = Statement(update(runs).where(runs.c.status == Status.RUNNING.value).values(due_at=bindparam("now")))


class LeaseCommands:
    def __init__(self, writer: Writer, servers: Servers, lease_s: float) -> None:
        self._writer = writer
        self._servers = servers
        self._lease_s = lease_s

    async def begin(self, lease: Lease) -> bool:
        """Note that an attempt of a run that was taken over begins now. Return False if the lease no longer holds."""
        return await self._writer.write(
            lambda transaction: is_held(transaction, _BEGIN, lease, now=transaction.moment.text()),
            touches=(lease.run_id,),
        )

    def renew(self, leases: Sequence[Lease], *, as_server: bool = True, has_room: bool = True) -> Future[list[Lease]]:
        """Extend `leases`, all that this server holds. The future's result lists those that no longer hold.

        With `as_server`, also note that the server lives and how many runs it executes. Without `has_room`, note
        instead that it claims no runs.
        """

        def renew(transaction: Transaction) -> list[Lease]:
            until = transaction.moment.text(later_s=self._lease_s)
            if transaction.dialect == "sqlite":
                return [lease for lease in leases if not is_held(transaction, RENEW, lease, until=until)]
            renewed = {Lease(*row) for row in transaction.all(_RENEW_ALL, leases=_pairs(leases), until=until)}
            left = [lease for lease in leases if lease not in renewed]
            if not left:
                return []
            locked = {Lease(*row) for row in transaction.all(_STILL_HELD_OF, leases=_pairs(left))}
            return [lease for lease in left if lease not in locked]

        if as_server:
            self._servers.tell(len(leases) if has_room else None)
        return self._writer.submit(renew, touches=("leases",))

    async def release(
        self, lease: Lease, *, interrupted: bool, because: str | None = None, missing_tool: str | None = None
    ) -> None:
        """Release a run, so that any server can claim it at once. With `missing_tool`, only servers with that tool can.

        `interrupted` means that an attempt was under way. `because` says what ended the attempt. None: this server
        stops. Nothing is written if the lease no longer holds.
        """

        def release(transaction: Transaction) -> None:
            parameters = {"run_id": lease.run_id, "token": lease.token, "interrupted": int(interrupted)}
            if missing_tool is None:
                parameters |= {"due": transaction.moment.text(), "tool": None}
            else:
                parameters |= {"due": NEVER, "tool": slot_of(missing_tool, transaction.dialect)}
            row = transaction.one(_RELEASE, **parameters)
            if row is not None and interrupted:
                step, attempt, moved_at = row
                error = INTERRUPTED if because is None else {**INTERRUPTED, "message": because}
                lost = row_of_lost_attempt(transaction, lease.run_id, step + 1, attempt - 1, moved_at, error)
                transaction.insert(attempts, [lost])
            if row is not None:
                apply_pauses(transaction, [lease])
            transaction.topics.add(local_events.CLAIMABLE)

        await self._writer.write(release, touches=(lease.run_id, attempts.name) if interrupted else (lease.run_id,))

    async def seize(self) -> None:
        """Make every lease run out at once. A SQLite file has one server, so every other holder is gone."""

        def seize(transaction: Transaction) -> None:
            self._servers.forget(transaction, unseen_s=0.0)
            self._servers.seen(transaction)
            transaction.execute(_SEIZE, now=transaction.moment.text())
            make_queued_due(transaction)

        self._servers.active = 0
        await self._writer.write(seize)


def _pairs(leases: Sequence[Lease]) -> str:
    return codec.encode([[lease.run_id, lease.token] for lease in leases])
