"""The store: all reads and writes of the database, as commands and queries. Only the store knows its SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePath

from sqlalchemy import literal, select

from service.core.errors import Unavailable
from service.core.metrics import Metric
from service.store.commands.control import Control
from service.store.commands.operations.deletion import DeletionCommands
from service.store.commands.queueing.waking import Watch
from service.store.commands.servers import Servers
from service.store.commands.steps import Steps
from service.store.database.clock import Override
from service.store.database.local_events import LocalEvents
from service.store.database.protocol import Database
from service.store.database.reader import Reader
from service.store.database.required_tables import RequiredTables
from service.store.database.store_clock import StoreClock
from service.store.database.writing.writer import Writer
from service.store.queries.backtest import Backtest
from service.store.queries.figures import figures_of
from service.store.queries.finished_children import ChildQueries
from service.store.queries.history import History
from service.store.queries.readiness import Readiness
from service.store.queries.runs.details import Details
from service.store.queries.runs.needed_tools import NeededTools
from service.store.queries.tail import Tails
from service.store.rows.first_states import FirstStates
from service.store.rows.latest_time import LatestTimes
from service.store.schema.required import REQUIRED
from service.store.subjects import Deliveries, Graphs, Leases, Limits, Logs, Runs, Schedules, Signals

ANSWER_S = 2.0
"""How long `works` waits for the writer, and for a reader."""


class Store:
    """All commands and queries by subject, over one writer and a pool of readers."""

    def __init__(
        self,
        database: Database,
        *,
        server_id: str,
        address: str,
        lease_s: float,
        clock: Override | None = None,
        elapsed: Callable[[], float] | None = None,
    ) -> None:
        """Tests replace the database's clock by `clock` and the monotonic clock by `elapsed`."""
        self.is_shared = database.is_shared
        self.database_name = PurePath(database.name).name
        self._answers: tuple[type[Exception], ...] = (Unavailable, *database.errors)
        """The exceptions for which the database is responsible, and not this process."""
        self.events = LocalEvents()
        self._notifier = database.notifier(self.events.notify)
        required, times = RequiredTables(database, REQUIRED), StoreClock(lease_s, clock, elapsed)
        self._writer = Writer(database, self.events, self._notifier, required, times, LatestTimes())
        self._reader = Reader(database, required)
        self._readiness = Readiness(self._reader, required)
        first_states, watch = FirstStates(), Watch()
        self.graphs = Graphs(self._writer, self._reader)
        self.runs = Runs(self._writer, self._reader, first_states)
        self.schedules = Schedules(self._writer, self._reader, first_states)
        self.deliveries = Deliveries(self._writer, self._reader)
        self.steps = Steps(self._writer, watch)
        self.control = Control(self._writer)
        self.deletions = DeletionCommands(self._writer)
        self.signals = Signals(self._writer)
        self.children = ChildQueries(self._writer)
        self.history = History(self._reader)
        self.backtest = Backtest(self._reader)
        self.details = Details(self._reader)
        self.needed_tools = NeededTools(self._reader)
        self.logs = Logs(self._writer, self._reader)
        self.tails = Tails(self.logs, self._reader, self.events)
        self.servers = Servers(self._writer, server_id, address, lease_s)
        self.limits = Limits(self._writer, self._reader, watch)
        self.leases = Leases(self._writer, self.servers, first_states, server_id, lease_s, watch)

    def open(self) -> None:
        """Start the writer and the notifier. The database must have the schema (see `schema.migrate`)."""
        self._writer.start()
        self._notifier.start()

    async def probe_reading(self) -> None:
        """Read a row of each table that every run uses. Raise Unavailable if that fails, or if anything is missing."""
        await self._readiness.probe()

    @contextmanager
    def committing_inline(self, *, only_own: bool = False) -> Iterator[None]:
        """On SQLite, let the running loop commit what is written during the block: a commit waits only for a disk.

        `only_own` is for a loop that may be blocked: another loop or thread then commits what other threads write. On
        PostgreSQL this does nothing, because a commit could keep the loop waiting for the network for seconds.
        """
        if not self.is_shared:
            self._writer.commit_inline(only_own=only_own)
        try:
            yield
        finally:
            self._writer.commit_on_thread()

    async def works(self) -> bool:
        """Return whether this process can use the database: try the writer and a reader, and change nothing.

        A locked, full or missing database is no fault of this process. Any other exception is one, and is raised.
        """
        try:
            await self._writer.write(lambda transaction: None, within_s=ANSWER_S)  # noqa: ARG005  # nothing to do there
            async with asyncio.timeout(ANSWER_S), self._reader.snapshot() as snapshot:
                await snapshot.one(select(literal(1)))
        except self._answers:
            return self._writer.is_sound
        except TimeoutError:
            return self.is_shared or self._reader.is_busy  # A file has no network in between.
        return self._writer.is_sound

    async def metrics(self) -> Sequence[Metric]:
        """Return figures of the database, and what this server has counted since its start."""
        return (
            *await figures_of(self._reader),
            Metric("commit_commands", "histogram", "Commands of each commit of this server.", self._writer.batches),
            Metric("tails_open", "gauge", "Log streams that clients of this server have open.", self.tails.open_count),
        )

    def is_databases(self, error: BaseException) -> bool:
        """Whether the database, and not a fault of this process, is responsible for `error`."""
        return isinstance(error, self._answers)

    async def close(self) -> None:
        """Close the readers before the writer: on SQLite the last connection checkpoints, and only the writer may."""
        try:
            await self.tails.close()
            await self._reader.close()
        finally:
            self._writer.close()
            self._notifier.close()
