"""The states of runs that this server has just started: most of them it claims at once, and need not read them back.

Only a saving: a state that is not here is read. With what a run begins never changes, and its id is never another
run's, so that nothing in here can be wrong, whether or not the start was committed. Used within the writer's turn,
by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterable

from service.core.state import State
from service.store.states import length_of

BEGUN_LENGTH_MAX = 2 * 2**20
"""Of all states together; beyond that the oldest are let go."""


class Begun:
    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._length = 0

    def add(self, run_id: str, state: State) -> None:
        self._take(run_id)
        self._states[run_id] = state
        self._length += length_of(state)
        while self._length > BEGUN_LENGTH_MAX:
            self._take(next(iter(self._states)))

    def take(self, places: Iterable[tuple[str, int]]) -> dict[str, State]:
        """Those of `places`, runs and steps, where a run still has the state that it began with."""
        taken = [(run_id, step, self._take(run_id)) for run_id, step in places]
        return {run_id: state for run_id, step, state in taken if step == 0 and state is not None}

    def _take(self, run_id: str) -> State | None:
        state = self._states.pop(run_id, None)
        if state is not None:
            self._length -= length_of(state)
        return state
