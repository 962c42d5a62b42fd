"""Create, change and delete limits. Runs that wait are woken by the next claim, as far as their turn has come."""

from __future__ import annotations

from sqlalchemy import bindparam, case, delete, select, update

from service.core.errors import NotFound
from service.core.queueing.limits import Limit
from service.store.database import local_events
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.database.writing.writer import Writer
from service.store.schema.limits import limit_starts, limits

_ADD = Statement(
    lambda insert: (
        insert(limits)
        .values(
            name=bindparam("name"),
            max=bindparam("max"),
            per_s=bindparam("per_s"),
            started=bindparam("started"),
            created_at=bindparam("now"),
            changed_at=bindparam("now"),
        )
        .on_conflict_do_nothing()
        .returning(limits.c.name)
    )
)
_is_same = limits.c.max.is_not_distinct_from(bindparam("new_max")) & limits.c.per_s.is_not_distinct_from(
    bindparam("new_per_s")
)
_CHANGE = Statement(
    update(limits)
    .where(limits.c.name == bindparam("limit"))
    .values(
        max=bindparam("new_max"),
        per_s=bindparam("new_per_s"),
        changed_at=case((_is_same, limits.c.changed_at), else_=bindparam("now")),
    )
)
# The limit is locked before it is deleted, because an attempt that began meanwhile would add a row to `limit_starts`,
# and such rows refer to the limit.
_LOCKED = Statement(select(limits.c.name).where(limits.c.name == bindparam("name")).with_for_update())
_DELETE_STARTS = Statement(delete(limit_starts).where(limit_starts.c.name == bindparam("limit")))
_DELETE = Statement(delete(limits).where(limits.c.name == bindparam("limit")))


class LimitCommands:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def put(self, name: str, limit: Limit, *, within_s: float | None = None) -> bool:
        """Create the limit or change it, and return whether it is new."""
        is_new = False

        def put(transaction: Transaction) -> bool:
            nonlocal is_new
            values = {"max": limit.max, "per_s": limit.per_s}
            now = transaction.moment.text()
            if transaction.one(_ADD, name=name, **values, started=0, now=now) is not None:
                is_new = True
            else:
                transaction.execute(_CHANGE, limit=name, new_max=limit.max, new_per_s=limit.per_s, now=now)
            transaction.topics.add(local_events.CLAIMABLE)
            return is_new

        return await self._writer.write(put, touches=(f"limit {name}",), within_s=within_s)

    async def delete(self, name: str, *, within_s: float | None = None) -> None:
        """Delete the limit, which then binds nobody. Raise NotFound if there is none of that name."""
        was_there = False

        def remove(transaction: Transaction) -> bool:
            nonlocal was_there
            if transaction.one(_LOCKED, name=name) is not None:
                was_there = True
                transaction.execute(_DELETE_STARTS, limit=name)
                transaction.execute(_DELETE, limit=name)
                transaction.topics.add(local_events.CLAIMABLE)
            return was_there

        if not await self._writer.write(remove, touches=(f"limit {name}",), within_s=within_s):
            raise NotFound("limit", name)
