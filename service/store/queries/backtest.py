"""Backtest: evaluate one graph's edges on the stored states of runs. Nothing is written.

A run's state is rebuilt from what its steps changed, a page of steps at a time, so that no run is too long. Committed
steps never change, so each page may be read in a snapshot of its own.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sqlalchemy import bindparam, select

from service.core import codec
from service.core.graph import Graph
from service.core.routing.backtest import Routed, applies_to, detour
from service.core.state import Entry, State
from service.store.database.reader import Reader
from service.store.queries.pages import cut
from service.store.rows.records import BacktestRecord, DivergenceRecord, RunRecord
from service.store.rows.states import BYTES_BETWEEN, CHANGES_BETWEEN, OWN_BYTES_BETWEEN, OWN_CHANGES_BETWEEN
from service.store.schema.models import snapshots

EXAMPLES_MAX = 100
STEPS_AT_ONCE = 1000

_STEPS_BETWEEN = (
    select(snapshots.c.step, snapshots.c.node, snapshots.c.next_node, snapshots.c.reason, snapshots.c.attempt)
    .where(
        snapshots.c.run_id == bindparam("run_id"),
        snapshots.c.step > bindparam("after_step"),
        snapshots.c.step <= bindparam("last_step"),
    )
    .order_by(snapshots.c.step)
)


class Backtest:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def run(
        self, graph: Graph, records: Sequence[RunRecord], state_bytes_max: int = sys.maxsize
    ) -> BacktestRecord:
        """Evaluate the edges of `graph` after each step of these runs, and compare with where each run went."""
        tally = _Tally(graph, state_bytes_max)
        for record in records:
            tally.begin(record.run_id)
            async for steps, changed in self._pages(record):
                # On a thread, because conditions may read large values.
                await asyncio.to_thread(tally.take, steps, changed)
        return tally.record()

    async def _pages(self, run: RunRecord) -> AsyncIterator[tuple[Sequence[Any], Sequence[Any]]]:
        """Yield the run's steps in pages, with what they changed. The first page has the initial state too."""
        after_step = -1
        while after_step < run.step:
            async with self._reader.snapshot() as snapshot:
                last = min(run.step, after_step + STEPS_AT_ONCE)
                between = {"run_id": run.run_id, "after_step": after_step}
                has_own = run.parent_id is None or after_step >= 0  # Only a child's step 0 has shared values.
                query = OWN_BYTES_BETWEEN if has_own else BYTES_BETWEEN
                sizes = await snapshot.all(query, **between, last_step=last)
                last = cut(sizes, after_step + 1, last)
                query = OWN_CHANGES_BETWEEN if has_own else CHANGES_BETWEEN
                changed = await snapshot.all(query, **between, last_step=last)
                steps = await snapshot.all(_STEPS_BETWEEN, **between, last_step=last)
            after_step = last
            yield steps, changed


@dataclass(slots=True)
class _Tally:
    """The result so far, and the state of the run that is being replayed."""

    graph: Graph
    state_bytes_max: int
    runs: int = 0
    steps: int = 0
    diverging: set[str] = field(default_factory=set)
    examples: list[DivergenceRecord] = field(default_factory=list)
    _run_id: str = ""
    _entries: dict[str, Entry] = field(default_factory=dict)
    _replaced: dict[str, Entry | None] = field(default_factory=dict)
    """The entry that each key changed by the last step had before that step; None: it had no entry."""

    def begin(self, run_id: str) -> None:
        self.runs += 1
        self._run_id, self._entries = run_id, {}

    def take(self, steps: Sequence[Any], changed: Sequence[Any]) -> None:
        """Replay the next `steps`. `changed` are the rows of their changes and, in the first page, those of step 0."""
        by_step: dict[int, list[Any]] = defaultdict(list)
        for row in changed:
            by_step[row.step].append(row)
        self._apply(by_step[0])
        for row in steps:
            self._apply(by_step[row.step])
            routed = Routed(row.step, row.node, row.next_node, row.reason, row.attempt)
            if applies_to(self.graph, routed):
                self._ask(routed)

    def _apply(self, rows: Sequence[Any]) -> None:
        self._replaced = {row.key: self._entries.get(row.key) for row in rows}
        for row in rows:
            if row.value is None:
                self._entries.pop(row.key, None)
            else:
                # The positions do not matter here.
                self._entries[row.key] = Entry(row.value, len(self._entries), codec.byte_length(row.value))

    def _before(self) -> State:
        """Return the state before the last step."""
        entries = self._entries | self._replaced
        return State({key: entry for key, entry in entries.items() if entry is not None})

    def _ask(self, routed: Routed) -> None:
        self.steps += 1
        found = detour(self.graph, routed, State(self._entries), self._before, self.state_bytes_max)
        if found is None:
            return
        if self._has_room():
            self.examples.append(
                DivergenceRecord(
                    run_id=self._run_id,
                    step=routed.step,
                    node=routed.node or "",
                    went=routed.went,
                    would_go=found.would_go,
                    because=found.because(),
                )
            )
        self.diverging.add(self._run_id)

    def _has_room(self) -> bool:
        """Return whether there is room for an example of the current run.

        If the list is full and the run has no example yet, remove an example of a run that has several.
        """
        if len(self.examples) == EXAMPLES_MAX and self._run_id not in self.diverging:
            run_ids = [kept.run_id for kept in self.examples]
            repeated = [at for at, (one, other) in enumerate(pairwise(run_ids), start=1) if one == other]
            if repeated:
                del self.examples[repeated[-1]]
        return len(self.examples) < EXAMPLES_MAX

    def record(self) -> BacktestRecord:
        return BacktestRecord(self.runs, self.steps, len(self.diverging), tuple(self.examples))
