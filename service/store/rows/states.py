"""Read the state after any step: for each key, the latest row no later than that step, found by one search."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

from sqlalchemy import BigInteger, Text, and_, bindparam, cast, func, or_, select, true

from service.core import codec
from service.core.state import Entry, State
from service.store.database.statements import ForRows, constant
from service.store.database.transaction import Transaction
from service.store.schema.models import changes, runs, shared_values

STATES_LENGTH_MAX = 4 * 2**20
"""A transaction reads no further states once it has read this many bytes, because other writes wait for it."""
STATES_AT_ONCE_MAX = 8
"""The most states that one query reads. Their sizes are not known beforehand."""
ENTRY_LENGTH = 100
"""The fixed cost of reading a state, and of reading each of its keys, expressed in bytes of a value."""
SLOT_BYTES_MAX = 1000
_NONE: Mapping[str, State] = {}
_CHARACTERS_MAX = SLOT_BYTES_MAX // 4  # A character has at most 4 bytes, so there is no need to count the bytes.
_DIGEST_OF_STAND_IN = re.compile("…[0-9a-f]{64}")


def slot_of(text: str, dialect: str) -> str:
    """Return the slot of `text`, which stands in an index for a state key, tag, node or tool.

    The slot is the text itself or a stand-in. An entry of a PostgreSQL index holds 2704 bytes, and a text may be
    longer. Its stand-in is then its beginning and its digest. A text that looks like a stand-in gets one too, so that
    no two texts have the same slot.
    """
    if dialect == "sqlite":
        return text
    is_short = len(text) <= _CHARACTERS_MAX or (len(text) <= SLOT_BYTES_MAX and len(text.encode()) <= SLOT_BYTES_MAX)
    if is_short and not (text[-65:-64] == "…" and _DIGEST_OF_STAND_IN.fullmatch(text, len(text) - 65)):
        return text
    return f"{text[:100]}…{hashlib.sha256(text.encode()).hexdigest()}"


def whole_key(long_key: Any, slot: Any) -> Any:
    return func.coalesce(long_key, slot).label("key")


_KEY = whole_key(changes.c.long_key, changes.c.key)


def whole_value(value: Any, run_id: Any, shared_digest: Any) -> Any:
    """Return a change's value, which may be one that the run shares with the other children of its parent.

    The subquery is executed only for such a value.
    """
    shared = (
        select(shared_values.c.value)
        .select_from(runs.join(shared_values, shared_values.c.run_id == runs.c.parent_id))
        .where(runs.c.id == run_id, shared_values.c.digest == shared_digest)
        .correlate_except(runs, shared_values)
        .scalar_subquery()
    )
    return func.coalesce(value, shared).label("value")


def is_set(value: Any, shared_digest: Any) -> Any:
    return or_(value.is_not(None), shared_digest.is_not(None))


VALUE = whole_value(changes.c.value, changes.c.run_id, changes.c.shared_digest)


def distinct_keys(run_id: Any, **beside: Any) -> Any:
    """Return the query for the distinct keys of runs, which jumps through the index from key to key.

    SQL's DISTINCT would read the row of every step. `beside` are columns of each row besides the run and the key.
    """
    kept = {"run_id": run_id, **beside}
    lowest = select(func.min(changes.c.key)).where(changes.c.run_id == run_id).scalar_subquery()
    first = select(*(value.label(name) for name, value in kept.items()), lowest.label("key"))
    keys = first.cte("keys", recursive=True)
    after = changes.alias("after")
    following = select(func.min(after.c.key)).where(after.c.run_id == keys.c.run_id, after.c.key > keys.c.key)
    again = select(*(keys.c[name] for name in kept), following.scalar_subquery())
    return keys.union_all(again.where(keys.c.key.is_not(None)))


def _states_at(row: Any, dialect: str, *, with_shared: bool = True) -> Any:
    """Return the query for the state of each run and step of `row`.

    Without `with_shared`, a shared value is NULL. SQLite ignores `with_shared`, since nobody can lock one of its tables
    alone.
    """
    # The casts tell PostgreSQL the types of parameters that are only selected.
    keys = distinct_keys(cast(row.run_id, Text), step=cast(row.step, BigInteger))
    if dialect == "postgresql":
        return _latest_lateral(keys, with_shared=with_shared)
    latest = changes.alias("latest")
    latest_step = (
        select(func.max(latest.c.step))
        .where(latest.c.run_id == keys.c.run_id, latest.c.key == keys.c.key, latest.c.step <= keys.c.step)
        .scalar_subquery()
    )
    return (
        select(_KEY, VALUE, changes.c.position, keys.c.run_id)
        .select_from(keys.join(changes, and_(changes.c.run_id == keys.c.run_id, changes.c.key == keys.c.key)))
        .where(changes.c.step == latest_step, is_set(changes.c.value, changes.c.shared_digest))
    )


def _latest_lateral(keys: Any, *, with_shared: bool) -> Any:
    """Return the query of `_states_at` for PostgreSQL, with LATERAL, which SQLite does not have.

    With the join for SQLite, PostgreSQL might read all steps.
    """
    latest = (
        select(changes.c.long_key, changes.c.value, changes.c.shared_digest, changes.c.position)
        .where(changes.c.run_id == keys.c.run_id, changes.c.key == keys.c.key, changes.c.step <= keys.c.step)
        .order_by(changes.c.step.desc())
        .limit(constant(1))
        .lateral("latest")
    )
    key = whole_key(latest.c.long_key, keys.c.key)
    shared = whole_value(latest.c.value, keys.c.run_id, latest.c.shared_digest)
    return (
        select(key, shared if with_shared else latest.c.value, latest.c.position, keys.c.run_id)
        .select_from(keys.join(latest, true()))
        .where(is_set(latest.c.value, latest.c.shared_digest))
    )


def _changes_between(*columns: Any) -> Any:
    keys = distinct_keys(cast(bindparam("run_id"), Text))
    return (
        select(*columns)
        .select_from(keys.join(changes, changes.c.key == keys.c.key))
        .where(
            changes.c.run_id == bindparam("run_id"),
            changes.c.step > bindparam("after_step"),
            changes.c.step <= bindparam("last_step"),
        )
    )


_ONE = SimpleNamespace(run_id=bindparam("run_id"), step=bindparam("step"))

STATE_AT = {dialect: _states_at(_ONE, dialect) for dialect in ("sqlite", "postgresql")}
"""The rows of one state, by dialect. Parameters: run_id, step."""

STATES_AT = {
    dialect: ForRows(partial(_states_at, dialect=dialect), run_id=changes.c.run_id, step=changes.c.step)
    for dialect in STATE_AT
}
"""The rows of the states of many runs, by dialect."""

OWN_STATE_AT = {**STATE_AT, "postgresql": _states_at(_ONE, "postgresql", with_shared=False)}
OWN_STATES_AT = {
    **STATES_AT,
    "postgresql": ForRows(
        partial(_states_at, dialect="postgresql", with_shared=False), run_id=changes.c.run_id, step=changes.c.step
    ),
}
"""Like STATE_AT and STATES_AT, but on PostgreSQL a value that is shared is NULL (see `has_shared`).

Few states have shared values. But on PostgreSQL a query that names their table waits for whoever has locked that table,
even if the query reads nothing there.
"""

CHANGES_BETWEEN = _changes_between(changes.c.step, _KEY, VALUE).order_by(changes.c.step, changes.c.position, _KEY)
"""What each step set or removed. Parameters: run_id, after_step, last_step."""

VALUE_AT = (
    select(_KEY, VALUE, changes.c.position)
    .where(
        changes.c.run_id == bindparam("run_id"),
        changes.c.key == bindparam("key"),
        changes.c.step <= bindparam("step"),
    )
    .order_by(changes.c.step.desc())
    .limit(1)
)
"""One key of the state after a step. Parameters: run_id, key (its slot), step."""

BYTES_BETWEEN = _changes_between(
    changes.c.step, func.sum(func.coalesce(func.length(VALUE), 0)).label("length")
).group_by(changes.c.step)
"""How many characters each step set. Parameters: run_id, after_step, last_step."""

OWN_CHANGES_BETWEEN = _changes_between(changes.c.step, _KEY, changes.c.value).order_by(
    changes.c.step, changes.c.position, _KEY
)
OWN_BYTES_BETWEEN = _changes_between(
    changes.c.step, func.sum(func.coalesce(func.length(changes.c.value), 0)).label("length")
).group_by(changes.c.step)
"""OWN_CHANGES_BETWEEN and OWN_BYTES_BETWEEN are like CHANGES_BETWEEN and BYTES_BETWEEN, but without shared values.

They are for steps from 1 on, since only step 0 has shared values.
"""


def has_shared(rows: Sequence[Any]) -> bool:
    """Return whether rows of OWN_STATE_AT lack a value because it is shared."""
    return any(row[1] is None for row in rows)


def order_of(row: Any) -> tuple[Any, Any]:
    """Return the sort key of a row of STATE_AT: its position in the state, then its state key."""
    return row[2], row[0]


def state_of(rows: Any) -> State:
    """Return the state of rows of STATE_AT. They are sorted here: a database would copy the values to sort them."""
    in_order = sorted(rows, key=order_of)
    return State({key: Entry(value, position, codec.byte_length(value)) for key, value, position, *_ in in_order})


def states_of(rows: Any) -> dict[str, State]:
    """Return the states of rows of STATES_AT, by run. A run whose state is empty is missing."""
    by_run: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_run[row[3]].append(row)
    return {run_id: state_of(of_run) for run_id, of_run in by_run.items()}


def length_of(state: State) -> int:
    """Return the cost of reading `state`, in bytes."""
    return ENTRY_LENGTH + sum(ENTRY_LENGTH + entry.byte_length for entry in state.entries.values())


def read_states(
    transaction: Transaction,
    places: Sequence[tuple[str, int]],
    known: Mapping[str, State] = _NONE,
    length_max: float = STATES_LENGTH_MAX,
) -> list[State]:
    """Return the states at the first of `places`, which are pairs of a run's id and a step.

    As many states are returned as are read quickly: reading stops after about `length_max` bytes, or STATES_LENGTH_MAX
    if that is less. At least one state is returned. `known` has states by run id, which are not read.
    """
    states: list[State] = []
    length, count = 0, 1
    while len(states) < len(places) and length < min(length_max, STATES_LENGTH_MAX):
        part = places[len(states) : len(states) + count]
        asked = [{"run_id": run_id, "step": step} for run_id, step in part if run_id not in known]
        found = states_of(_rows_of(transaction, asked))
        states += [known.get(run_id) or found.get(run_id, State({})) for run_id, _ in part]
        length += sum(map(length_of, states[-len(part) :]))
        # The number of states per query doubles. So large states exceed the limit by a few at most, and small states
        # take few queries.
        count = min(count * 2, STATES_AT_ONCE_MAX)
    return states


def _rows_of(transaction: Transaction, asked: Sequence[Mapping[str, Any]]) -> list[Any]:
    rows = transaction.each(OWN_STATES_AT[transaction.dialect], asked)
    if has_shared(rows):
        return transaction.each(STATES_AT[transaction.dialect], asked)
    return rows
