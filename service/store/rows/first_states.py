"""The states of runs that this server has just started: most of them it claims at once, and need not read them back.

Only a saving: a state that is not here is read. With what a run begins never changes, and its id is never another
run's, so that nothing in here can be wrong, whether or not the start was committed. Used by the writer
and by its lane, each on a thread of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from service.core.state import State
from service.store.rows.states import length_of

BEGUN_LENGTH_MAX = 2 * 2**20
"""Of all states together; beyond that the oldest are let go."""


class Begun:
    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._length = 0
        self._lock = threading.Lock()

    def add(self, run_id: str, state: State) -> None:
        with self._lock:
            self._take(run_id)
            self._states[run_id] = state
            self._length += length_of(state)
            while self._length > BEGUN_LENGTH_MAX:
                self._take(next(iter(self._states)))

    def take(self, places: Iterable[tuple[str, int]]) -> dict[str, State]:
        """Those of `places`, runs and steps, where a run still has the state that it began with."""
        with self._lock:
            taken = [(run_id, step, self._take(run_id)) for run_id, step in places]
        return {run_id: state for run_id, step, state in taken if step == 0 and state is not None}

    def _take(self, run_id: str) -> State | None:
        state = self._states.pop(run_id, None)
        if state is not None:
            self._length -= length_of(state)
        return state
