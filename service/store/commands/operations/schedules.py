"""Set, pause, resume, trigger and delete schedules."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import bindparam, delete, null, select, update

from service.core.errors import Conflict, NotFound
from service.store.commands.repeatable import Executed, repeatable
from service.store.database.clock import microseconds, text_of
from service.store.database.statements import Statement, constant, every_column
from service.store.database.transaction import Transaction
from service.store.database.writing.writer import Writer
from service.store.rows.first_states import FirstStates
from service.store.rows.operations.schedules import (
    Plan,
    Stored,
    Ticked,
    clock_of,
    due_of,
    graph_of,
    new_run,
    start_ticked,
)
from service.store.schema.operations import schedules

T = TypeVar("T")

_LOCKED = Statement(select(schedules).where(schedules.c.name == bindparam("name")).with_for_update())
_ADD = Statement(
    lambda insert: (
        insert(schedules).values(every_column(schedules)).on_conflict_do_nothing().returning(schedules.c.name)
    )
)
_SET = (
    *("graph_id", "graph_name", "cron", "every_s", "timezone", "state", "tags", "overlap", "catch_up"),
    *("next_at", "due_at", "updated_at"),
)
"""The columns that setting a schedule again replaces."""
_REPLACE = Statement(
    update(schedules).where(schedules.c.name == bindparam("of")).values({column: bindparam(column) for column in _SET})
)
_PAUSE = Statement(
    update(schedules)
    .where(schedules.c.name == bindparam("of"))
    .values(is_paused=constant(1), due_at=null(), updated_at=bindparam("now"))
)
_PAUSE_ALL = Statement(
    update(schedules)
    .where(schedules.c.is_paused == constant(0))
    .values(is_paused=constant(1), due_at=null(), updated_at=bindparam("now"))
    .returning(schedules.c.name)
)
_RESUME = Statement(
    update(schedules)
    .where(schedules.c.name == bindparam("of"))
    .values(is_paused=constant(0), next_at=bindparam("next"), due_at=bindparam("due"), updated_at=bindparam("now"))
)
_STARTED = Statement(
    update(schedules).where(schedules.c.name == bindparam("of")).values(last_run_id=bindparam("run_id"))
)
_DELETE = Statement(delete(schedules).where(schedules.c.name == bindparam("name")).returning(schedules.c.name))


class ScheduleCommands:
    def __init__(self, writer: Writer, first_states: FirstStates) -> None:
        self._writer = writer
        self._first_states = first_states

    async def set(self, name: str, plan: Plan, *, within_s: float | None = None) -> bool:
        """Make or replace a schedule, and return whether it is new. Raise NotFound if its graph does not exist.

        A schedule whose timetable stays the same keeps its next tick. A paused schedule stays paused.
        """

        def set_(transaction: Transaction) -> Executed[bool | Conflict | NotFound]:
            if graph_of(transaction, plan.graph_id, plan.graph_name) is None:
                return Executed(NotFound("graph", (plan.graph_id or plan.graph_name or "")[:100]))
            is_new = _set(transaction, name, plan)
            return Executed(is_new, partial(_if_set, name=name, at=transaction.moment.text(), is_new=is_new))

        return await self._done(name, repeatable(set_), within_s)

    async def pause(self, name: str, *, within_s: float | None = None) -> None:
        """Let the schedule's ticks start no more runs. Raise NotFound if there is no schedule of that name."""

        def pause(transaction: Transaction) -> NotFound | None:
            stored = _locked(transaction, name)
            if stored is None:
                return NotFound("schedule", name)
            if stored.is_paused:
                transaction.confirm()
            else:
                transaction.execute(_PAUSE, of=name, now=transaction.moment.text())
            return None

        await self._done(name, pause, within_s)

    async def pause_all(self) -> int:
        """Pause every schedule, and return how many were not paused."""
        return await self._writer.write(
            lambda transaction: len(transaction.all(_PAUSE_ALL, now=transaction.moment.text())),
            touches=("schedules", schedules.name),
        )

    async def resume(self, name: str, *, within_s: float | None = None) -> None:
        """Let a paused schedule start runs again, from its next tick on.

        Raise NotFound if there is no schedule of that name, and Conflict if this server does not know its time zone.
        """

        def resume(transaction: Transaction) -> NotFound | Conflict | None:
            stored = _locked(transaction, name)
            if stored is None:
                return NotFound("schedule", name)
            if not stored.is_paused:
                transaction.confirm()
                return None
            moment, timetable = transaction.moment, stored.timetable
            next_us = None if stored.next_at is None else microseconds(stored.next_at)
            try:
                if next_us is not None:
                    next_us = timetable.resumed(next_us, clock_of(moment, timetable))
            except (KeyError, ValueError, OSError):
                return Conflict(f"this server does not know the time zone {timetable.zone!r:.200}: call another one")
            times = {"next": next_us, "due": due_of(moment, timetable, next_us), "now": moment.now_us}
            transaction.execute(_RESUME, of=name, **_texts(times))
            return None

        await self._done(name, resume, within_s)

    async def trigger(self, name: str, run_id: str, *, within_s: float | None = None) -> None:
        """Start a run of the schedule now, even if the schedule is paused or has an unfinished run.

        Raise NotFound if the schedule or its graph does not exist.
        """

        def trigger(transaction: Transaction) -> NotFound | None:
            stored = _locked(transaction, name)
            if stored is None:
                return NotFound("schedule", name)
            graph = graph_of(transaction, stored.graph_id, stored.graph_name)
            if graph is None:
                return NotFound("graph", (stored.graph_id or stored.graph_name or "")[:100])
            start_ticked(transaction, [Ticked(name, None, new_run(stored, run_id, graph))], self._first_states)
            transaction.execute(_STARTED, of=name, run_id=run_id)
            return None

        await self._done(name, trigger, within_s)

    async def delete(self, name: str, *, within_s: float | None = None) -> None:
        """Delete the schedule. Its runs stay. Raise NotFound if there is none of that name."""
        was_deleted = False

        def delete(transaction: Transaction) -> NotFound | None:
            nonlocal was_deleted
            if transaction.one(_DELETE, name=name) is not None:
                was_deleted = True
            elif was_deleted:  # An earlier COMMIT of this call, of unknown outcome, has deleted it.
                transaction.confirm()
            else:
                return NotFound("schedule", name)
            return None

        await self._done(name, delete, within_s)

    async def _done(
        self, name: str, command: Callable[[Transaction], T | Conflict | NotFound], within_s: float | None
    ) -> T:
        # Refusals are returned, not raised: they have written nothing, so the rest of the batch can be committed.
        outcome = await self._writer.write(command, touches=(f"schedule {name}", schedules.name), within_s=within_s)
        if isinstance(outcome, Conflict | NotFound):
            raise outcome
        return outcome


def _locked(transaction: Transaction, name: str) -> Stored | None:
    row = transaction.one(_LOCKED, name=name)
    return None if row is None else Stored(*row)


def _set(transaction: Transaction, name: str, plan: Plan) -> bool:
    """Insert or update the row of a schedule, and return whether it is new."""
    stored = _locked(transaction, name)
    now = transaction.moment.text()
    if stored is None:
        rest = {"is_paused": 0, "last_at": None, "skipped_at": None, "last_run_id": None, "created_at": now}
        if transaction.one(_ADD, name=name, **rest, **_columns(transaction, plan, None)) is not None:
            return True
        stored = _locked(transaction, name)  # Another server has just added it.
    transaction.execute(_REPLACE, of=name, **_columns(transaction, plan, stored))
    return False


def _columns(transaction: Transaction, plan: Plan, stored: Stored | None) -> dict[str, Any]:
    """Return the values of the columns _SET."""
    moment, timetable = transaction.moment, plan.timetable
    if stored is not None and stored.timetable == timetable:
        next_us = None if stored.next_at is None else microseconds(stored.next_at)
    else:
        # No tick comes twice, even if the clock was set back since.
        last_us = 0 if stored is None or stored.last_at is None else microseconds(stored.last_at)
        next_us = timetable.following(max(clock_of(moment, timetable), last_us))
    is_paused = stored is not None and stored.is_paused
    times = {"next_at": next_us, "due_at": None if is_paused else due_of(moment, timetable, next_us)}
    return {
        "graph_id": plan.graph_id,
        "graph_name": plan.graph_name,
        "cron": timetable.cron,
        "every_s": timetable.every_s,
        "timezone": timetable.zone,
        "state": plan.state,
        "tags": plan.tags,
        "overlap": plan.overlap.value,
        "catch_up": plan.catch_up.value,
        "updated_at": moment.text(),
        **_texts(times),
    }


def _if_set(transaction: Transaction, name: str, at: str, is_new: bool) -> bool | None:
    """Return `is_new` if the schedule's row says that it was set at `at`, otherwise None."""
    stored = _locked(transaction, name)
    is_set = stored is not None and text_of(microseconds(stored.updated_at)) == at
    if is_set:
        transaction.confirm()
    return is_new if is_set else None


def _texts(times: dict[str, int | None]) -> dict[str, str | None]:
    return {name: None if us is None else text_of(us) for name, us in times.items()}
