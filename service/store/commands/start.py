"""Start a run, or a fork of one. When the command returns, the run is on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select

from service.core.errors import Conflict, NotFound, RungraphError, Unavailable
from service.core.state import State
from service.core.syntax.trace_context import Trace
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.database.writing.queued_write import Touches
from service.store.database.writing.writer import Writer
from service.store.rows.first_states import FirstStates
from service.store.rows.keys import Idempotency, take_key, use_of
from service.store.rows.operations.deliveries import set_notify
from service.store.rows.runs import NewRun, insert_runs, start_nodes
from service.store.schema.kept import is_kept
from service.store.schema.models import idempotency_keys, run_tags, runs

# The lock keeps the run from being deleted until its fork is committed. A run that has a fork is not deleted.
_ORIGIN = Statement(
    select(runs.c.id).where(runs.c.id == bindparam("run_id"), is_kept()).with_for_update(key_share=True, read=True)
)


@dataclass(frozen=True, slots=True)
class Start:
    """A run to be started. The caller chooses its id, so that a start can be repeated."""

    run_id: str
    graph_id: str
    state: State
    tags: Mapping[str, str]
    node: str | None = None
    """The first node of the run. None stands for the graph's `start_node`."""
    forked_from: tuple[str, int] | None = None
    """For a fork: the run and the step whose state the new run begins with."""
    priority: int = 0
    notify: str | None = None
    """Its webhook's URL and statuses, as `rows.operations.deliveries.notify_of` writes them. None: no webhook."""
    trace: Trace | None = None
    """The trace that the run belongs to."""


class RunCommands:
    def __init__(self, writer: Writer, first_states: FirstStates) -> None:
        self._writer = writer
        self._first_states = first_states

    async def start(
        self, start: Start, idempotency: Idempotency | None = None, *, within_s: float | None = None
    ) -> tuple[str, bool]:
        """Queue a run. Return its id and whether it is new.

        If the key was used for the same body before, return the run of that call, which is not new. Raise Conflict if
        the key was used for another body, NotFound if the graph or the run to fork does not exist, and Unavailable if
        another server is just taking the key. Nothing is written then.
        """

        outcome = await self._writer.write_with_others(
            self._start_all, (start, idempotency), touches=_touched(start, idempotency), within_s=within_s
        )
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _start_all(
        self, transaction: Transaction, asked: Sequence[tuple[Start, Idempotency | None]]
    ) -> list[tuple[str, bool] | RungraphError]:
        """Execute all starts and return their outcomes. A refusal is returned, so that the others are committed."""
        nodes = start_nodes(transaction, {start.graph_id for start, _ in asked})
        outcomes: list[tuple[str, bool] | RungraphError] = []
        new: dict[str, NewRun] = {}
        for start, idempotency in asked:
            node = nodes.get(start.graph_id)
            instead = _instead(transaction, start, idempotency, is_possible=node is not None)
            if isinstance(instead, tuple):
                transaction.confirm()
            if instead is None and node is not None:
                new[start.run_id] = _new_run(start, start.node or node)
            outcomes.append(instead or (start.run_id, True))
        inserted = insert_runs(transaction, list(new.values()))
        for run_id in inserted:
            self._first_states.add(run_id, new[run_id].state)
        telling = [(start.run_id, start.notify) for start, _ in asked if start.notify is not None]
        if telling:
            set_notify(transaction, [each for each in telling if each[0] in inserted])
        return outcomes


def _new_run(start: Start, node: str) -> NewRun:
    which = (start.run_id, start.graph_id, node, start.state, start.tags, start.forked_from)
    return NewRun(*which, priority=start.priority, trace=start.trace)


def _touched(start: Start, idempotency: Idempotency | None) -> Touches:
    """Return the run, the graph that its row refers to, and the tables that few starts touch."""
    keyed = () if idempotency is None else (idempotency.name, idempotency_keys.name)
    return (start.run_id, start.graph_id, *keyed, *((run_tags.name,) if start.tags else ()))


def _instead(
    transaction: Transaction, start: Start, idempotency: Idempotency | None, *, is_possible: bool
) -> tuple[str, bool] | RungraphError | None:
    """Return the outcome if no run is to be inserted. None: a run is to be inserted, and has taken its key."""
    if idempotency is not None and (used := _use_of(transaction, start, idempotency)) is not None:
        return used
    if not is_possible:
        return NotFound("graph", start.graph_id)
    if start.forked_from is not None and transaction.one(_ORIGIN, run_id=start.forked_from[0]) is None:
        return NotFound("run", start.forked_from[0])
    if idempotency is not None and not take_key(transaction, idempotency, start.run_id):
        # Another server has just taken the key.
        return _use_of(transaction, start, idempotency) or Unavailable("this Idempotency-Key is just being taken")
    return None


def _use_of(transaction: Transaction, start: Start, idempotency: Idempotency) -> tuple[str, bool] | Conflict | None:
    """Return the run for which the key was used, and whether this very start has used it. None: it was not used."""
    used = use_of(transaction, idempotency)
    if used is None or isinstance(used, Conflict):
        return used
    return used, used == start.run_id
