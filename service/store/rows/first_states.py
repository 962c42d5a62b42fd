"""Cache of the first states of runs that this server has just started.

The server claims most of these runs at once, and need not read their states back. A state that is not cached is read.
An entry cannot be wrong: a run's first state never changes, and no other run gets its id, whether or not the start was
committed. The writer and the thread for blocked writes both use the cache.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from service.core.state import State
from service.store.rows.states import length_of

CACHED_BYTES_MAX = 2 * 2**20
"""The most bytes of all cached states together. Beyond that, the oldest states are dropped."""


class FirstStates:
    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._length = 0
        self._lock = threading.Lock()

    def add(self, run_id: str, state: State) -> None:
        """Cache the first state of a run."""
        with self._lock:
            self._pop(run_id)
            self._states[run_id] = state
            self._length += length_of(state)
            while self._length > CACHED_BYTES_MAX:
                self._pop(next(iter(self._states)))

    def take(self, places: Iterable[tuple[str, int]]) -> dict[str, State]:
        """Remove the entries of `places` (pairs of run and step) and return those of runs that are at step 0."""
        with self._lock:
            taken = [(run_id, step, self._pop(run_id)) for run_id, step in places]
        return {run_id: state for run_id, step, state in taken if step == 0 and state is not None}

    def _pop(self, run_id: str) -> State | None:
        state = self._states.pop(run_id, None)
        if state is not None:
            self._length -= length_of(state)
        return state
