"""The state after any step: for each key the latest row up to it, a search per key and not a scan."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from sqlalchemy import bindparam, func, select, true

from service.core import codec
from service.core.state import Entry, State
from service.store.sql import Statement
from service.store.tables import changes

SLOT_BYTES_MAX = 1000
_CHARACTERS_MAX = SLOT_BYTES_MAX // 4  # At most 4 bytes each: no need to count them.
_DIGEST_OF_STAND_IN = re.compile("…[0-9a-f]{64}")


def slot_of(text: str, dialect: str) -> str:
    """What stands for a state key or a tag in an index: the text itself, or its beginning and its digest.

    Differs from SQLite because an entry of PostgreSQL's indexes holds 2704 bytes, and a text may be longer. What
    looks like a stand-in gets one too, so that no two texts share a slot.
    """
    if dialect == "sqlite":
        return text
    is_short = len(text) <= _CHARACTERS_MAX or (len(text) <= SLOT_BYTES_MAX and len(text.encode()) <= SLOT_BYTES_MAX)
    if is_short and not (text[-65:-64] == "…" and _DIGEST_OF_STAND_IN.fullmatch(text, len(text) - 65)):
        return text
    return f"{text[:100]}…{hashlib.sha256(text.encode()).hexdigest()}"


def _whole_key(long_key: Any, slot: Any) -> Any:
    return func.coalesce(long_key, slot).label("key")


_KEY = _whole_key(changes.c.long_key, changes.c.key)


def _keys() -> Any:
    """The distinct slots of a run's keys by hops through the index: SQL's DISTINCT would read every step."""
    run_id: Any = bindparam("run_id")
    first = select(func.min(changes.c.key).label("key")).where(changes.c.run_id == run_id)
    keys = first.cte("keys", recursive=True)
    after = changes.alias("after")
    following = select(func.min(after.c.key)).where(after.c.run_id == run_id, after.c.key > keys.c.key)
    return keys.union_all(select(following.scalar_subquery()).where(keys.c.key.is_not(None)))


def _state_at() -> Any:
    keys, latest = _keys(), changes.alias("latest")
    latest_step = (
        select(func.max(latest.c.step))
        .where(
            latest.c.run_id == bindparam("run_id"),
            latest.c.key == keys.c.key,
            latest.c.step <= bindparam("step"),
        )
        .scalar_subquery()
    )
    return (
        select(_KEY, changes.c.value, changes.c.position)
        .select_from(keys.join(changes, changes.c.key == keys.c.key))
        .where(changes.c.run_id == bindparam("run_id"), changes.c.step == latest_step, changes.c.value.is_not(None))
        .order_by(changes.c.position, _KEY)
    )


def _state_at_lateral() -> Any:
    """Differs from SQLite, which has no LATERAL, because PostgreSQL may join the above by reading all steps."""
    keys = _keys()
    latest = (
        select(changes.c.long_key, changes.c.value, changes.c.position)
        .where(
            changes.c.run_id == bindparam("run_id"),
            changes.c.key == keys.c.key,
            changes.c.step <= bindparam("step"),
        )
        .order_by(changes.c.step.desc())
        .limit(1)
        .lateral("latest")
    )
    key = _whole_key(latest.c.long_key, keys.c.key)
    return (
        select(key, latest.c.value, latest.c.position)
        .select_from(keys.join(latest, true()))
        .where(latest.c.value.is_not(None))
        .order_by(latest.c.position, key)
    )


def _changes_between(*columns: Any) -> Any:
    keys = _keys()
    return (
        select(*columns)
        .select_from(keys.join(changes, changes.c.key == keys.c.key))
        .where(
            changes.c.run_id == bindparam("run_id"),
            changes.c.step > bindparam("after_step"),
            changes.c.step <= bindparam("last_step"),
        )
    )


STATE_AT = {"sqlite": _state_at(), "postgresql": _state_at_lateral()}
"""By dialect. Parameters: run_id, step."""

STATE_AT_COMPILED = {dialect: Statement(query) for dialect, query in STATE_AT.items()}

CHANGES_BETWEEN = _changes_between(changes.c.step, _KEY, changes.c.value).order_by(
    changes.c.step, changes.c.position, _KEY
)
"""Parameters: run_id, after_step, last_step."""

VALUE_AT = (
    select(_KEY, changes.c.value, changes.c.position)
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
    changes.c.step, func.sum(func.coalesce(func.length(changes.c.value), 0)).label("length")
).group_by(changes.c.step)
"""How much each step changed. Parameters: run_id, after_step, last_step."""


def state_of(rows: Any) -> State:
    """The state that rows of STATE_AT are."""
    return State({key: Entry(value, position, codec.byte_length(value)) for key, value, position in rows})
