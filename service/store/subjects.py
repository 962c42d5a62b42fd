"""One class per subject: what `Store` offers its callers. Each joins the commands and the queries on its subject."""

from __future__ import annotations

from service.store.commands.graphs import GraphCommands
from service.store.commands.leases.claim import ClaimCommands
from service.store.commands.leases.lease import LeaseCommands
from service.store.commands.log_lines import LogCommands
from service.store.commands.operations.deliveries import DeliveryCommands
from service.store.commands.operations.schedules import ScheduleCommands
from service.store.commands.operations.ticks import TickCommands
from service.store.commands.queueing.acquire import AcquireCommands
from service.store.commands.queueing.limits import LimitCommands
from service.store.commands.queueing.waking import Watch
from service.store.commands.servers import Servers
from service.store.commands.signals import SignalCommands
from service.store.commands.start import RunCommands
from service.store.database.reader import Reader
from service.store.database.writing.writer import Writer
from service.store.queries.graphs import GraphQueries
from service.store.queries.limits import LimitQueries
from service.store.queries.log_lines import LogQueries
from service.store.queries.operations.deliveries import DeliveryQueries
from service.store.queries.operations.schedules import ScheduleQueries
from service.store.queries.runs.listing import RunListQueries
from service.store.queries.runs.one import RunQueries
from service.store.queries.signals import SignalQueries
from service.store.rows.first_states import FirstStates


class Graphs(GraphCommands, GraphQueries):
    def __init__(self, writer: Writer, reader: Reader) -> None:
        GraphCommands.__init__(self, writer)
        GraphQueries.__init__(self, reader)


class Runs(RunCommands, RunQueries, RunListQueries):
    def __init__(self, writer: Writer, reader: Reader, first_states: FirstStates) -> None:
        RunCommands.__init__(self, writer, first_states)
        RunQueries.__init__(self, reader)
        RunListQueries.__init__(self, reader)


class Leases(ClaimCommands, LeaseCommands):
    def __init__(
        self,
        writer: Writer,
        servers: Servers,
        first_states: FirstStates,
        server_id: str,
        lease_s: float,
        watch: Watch | None = None,
    ) -> None:
        ClaimCommands.__init__(self, writer, first_states, server_id, lease_s, watch)
        LeaseCommands.__init__(self, writer, servers, lease_s)


class Limits(LimitCommands, AcquireCommands, LimitQueries):
    def __init__(self, writer: Writer, reader: Reader, watch: Watch) -> None:
        LimitCommands.__init__(self, writer)
        AcquireCommands.__init__(self, writer, watch)
        LimitQueries.__init__(self, reader)


class Signals(SignalCommands, SignalQueries):
    def __init__(self, writer: Writer) -> None:
        SignalCommands.__init__(self, writer)
        SignalQueries.__init__(self, writer)


class Logs(LogCommands, LogQueries):
    def __init__(self, writer: Writer, reader: Reader) -> None:
        LogCommands.__init__(self, writer)
        LogQueries.__init__(self, reader)


class Schedules(ScheduleCommands, TickCommands, ScheduleQueries):
    def __init__(self, writer: Writer, reader: Reader, first_states: FirstStates) -> None:
        ScheduleCommands.__init__(self, writer, first_states)
        TickCommands.__init__(self, writer, first_states)
        ScheduleQueries.__init__(self, reader)


class Deliveries(DeliveryCommands, DeliveryQueries):
    def __init__(self, writer: Writer, reader: Reader) -> None:
        DeliveryCommands.__init__(self, writer)
        DeliveryQueries.__init__(self, reader)
