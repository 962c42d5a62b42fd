"""Read the whole state of a run, without keeping the loop from other calls."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from typing import Any

from service.core.state import State
from service.store.database.reader import Snapshot
from service.store.rows.states import OWN_STATE_AT, STATE_AT, has_shared, order_of, state_of

KEYS_ON_LOOP_MAX = 5000
"""A state with more keys is built on a thread: each key takes some microseconds."""


async def whole_state(snapshot: Snapshot, run_id: str, step: int) -> State:
    """Return the state of a run after a step. `snapshot` stays open meanwhile, which bounds how many are read."""
    place = {"run_id": run_id, "step": step}
    parts = [part async for part in snapshot.parts(OWN_STATE_AT[snapshot.dialect], KEYS_ON_LOOP_MAX, **place)]
    if any(map(has_shared, parts)):
        parts = [part async for part in snapshot.parts(STATE_AT[snapshot.dialect], KEYS_ON_LOOP_MAX, **place)]
    return state_of(parts[0] if parts else ()) if len(parts) < 2 else await asyncio.to_thread(_state_of, parts)


def _state_of(parts: Sequence[Sequence[Any]]) -> State:
    """Return the state of many rows, sorted in parts: one large sort would keep all other threads from running."""
    return state_of(list(heapq.merge(*(sorted(part, key=order_of) for part in parts), key=order_of)))
