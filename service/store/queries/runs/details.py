"""Read the details of one run, besides its status and state."""

from __future__ import annotations

from service.store.database.reader import Reader
from service.store.queries.runs.keys import WrittenKey, key_values, written_keys
from service.store.queries.runs.lines import LineFilter, find_lines
from service.store.queries.runs.mailbox import SignalRecord, signals_of
from service.store.queries.runs.path import Paths, RunPath
from service.store.queries.runs.steps import page_of_steps
from service.store.rows.records import LineRecord, Page


class Details:
    """Reads the path, steps, keys, lines and signals of a run. Each method raises NotFound if there is no such run."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._paths = Paths(reader)

    async def path(self, run_id: str) -> RunPath:
        """Return how often the run visited each node and took each edge."""
        return await self._paths.of(run_id)

    async def steps(
        self, run_id: str, *, after_step: int = 0, before_step: int | None = None, node: str | None = None, limit: int
    ) -> Page:
        """Return a page of steps (see `page_of_steps`)."""
        return await page_of_steps(
            self._reader, run_id, after_step=after_step, before_step=before_step, node=node, limit=limit
        )

    async def keys(self, run_id: str) -> list[WrittenKey]:
        """Return the keys of the present state, each with the step that last wrote it."""
        return await written_keys(self._reader, run_id)

    async def key_values(self, run_id: str, key: str, before_step: int | None, limit: int) -> Page:
        """Return a page of the values of a key (see `keys.key_values`)."""
        return await key_values(self._reader, run_id, key, before_step, limit)

    async def lines(self, run_id: str, which: LineFilter, limit: int) -> tuple[list[LineRecord], int]:
        """Return lines that match, and the run's last `seq`."""
        return await find_lines(self._reader, run_id, which, limit)

    async def signals(self, run_id: str) -> list[SignalRecord]:
        """Return the signals that the run has accepted, oldest first."""
        return await signals_of(self._reader, run_id)
