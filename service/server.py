"""Run a server without HTTP: start its parts in order, and stop them in the reverse order."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from service import example, health, spans
from service.api.services import Example
from service.background.retention import deleting
from service.background.webhooks import Sender, delivering
from service.core.errors import Unavailable
from service.core.operations.webhooks import key_of
from service.core.tool import CLUSTER, Tool, Tools
from service.core.validation import read_graph
from service.engine.cluster.settings import ClusterSettings, check_installed
from service.engine.engine import Engine, EngineSettings
from service.engine.guard import forks
from service.engine.guard.process_limits import ProcessCheck
from service.engine.guard.signals import report_faults, survive_signals
from service.engine.guard.watchdog import Watchdog, end_process, report_trouble
from service.process import default_active_bytes_max
from service.settings import LOCAL_CLUSTER, Settings
from service.store import Store
from service.store.database.protocol import Ownership
from service.store.schema.migrate import migrate
from service.tools import registry

logger = logging.getLogger(__name__)

MISSING_TOOLS_SHOWN_MAX = 20
"""The most missing tools that a server names in the log at its start."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """The parts of a server between its start and its stop."""

    store: Store
    engine: Engine | None
    """None if other servers execute the runs."""
    tools: Tools
    example: Example
    runs_folder: Path

    async def unready(self) -> str | None:
        """Return why this server is not ready, or None if it is ready."""
        return await health.unready(self.store, self.engine)

    def note(self) -> str | None:
        """Return a message about the async tool that blocks all others, or None. The server is ready in both cases."""
        return None if self.engine is None else self.engine.describe_block()

    def ask_to_stop(self) -> None:
        if self.engine is not None:
            self.engine.ask_to_stop()


@asynccontextmanager
async def serving(
    settings: Settings,
    address: str,
    owned: Ownership | None = None,
    *,
    tools: Tools | None = None,
    with_engine: bool = True,
    is_own_process: bool = False,
) -> AsyncIterator[RunningServer]:
    """Run a server without HTTP: own the database, migrate it, and execute runs if there is an engine.

    `tools` replace those that the settings name. A server that can no longer do its work ends the process if
    `is_own_process`, and otherwise only writes that to stderr. Raise StartRefused if a setting, a source of tools or
    another owner of the database prevents the start.
    """
    for message in settings.warnings:
        logger.warning("%s", message)
    spans.allow_steps(settings.traced_steps_per_s)
    tools = load_tools(settings) if tools is None else tools
    tools = tools.with_cluster(is_there=settings.cluster is not None)
    database = settings.database()
    ownership = owned or database.own(address)
    watchdog = _guarded(is_own_process=is_own_process)
    try:
        migrate(database)
        runs_folder = settings.make_runs_folder(database)
        store = Store(database, server_id=str(uuid.uuid4()), address=address, lease_s=settings.lease_seconds)
        engine = Engine(store, tools, engine_settings(settings, runs_folder, tools)) if with_engine else None
        store.open()
        forks.keep_from_children(database.files)
        try:
            async with _executing(store, engine, tools, watchdog, address):
                sending = delivering(store, _sender(settings) if with_engine else None)
                async with deleting(store, runs_folder, settings.prune_after), sending:
                    yield RunningServer(store, engine, tools, built_in_example(tools), runs_folder)
        finally:
            await store.close()
    finally:
        watchdog.stop()
        ownership.release()


def _guarded(*, is_own_process: bool) -> Watchdog:
    """Return a watchdog that is yet to be started. If the process is the server's own, protect it from tools."""
    if not is_own_process:
        return Watchdog(report_trouble)
    report_faults()
    survive_signals()
    watchdog = Watchdog(end_process)
    change = "a tool has lowered a limit of the process or changed its user, which cannot be put back"
    watchdog.add(change, ProcessCheck())
    return watchdog


@asynccontextmanager
async def _executing(
    store: Store, engine: Engine | None, tools: Tools, watchdog: Watchdog, address: str
) -> AsyncIterator[None]:
    """Execute runs if there is an engine, and watch that the server can do its work."""
    if engine is not None:
        engine.start()
        await report_missing_tools(store, tools)
    health.watch(watchdog, store, engine, address)
    try:
        yield
    finally:
        watchdog.expect_the_end()
        if engine is not None:
            await engine.stop()


def _sender(settings: Settings) -> Sender | None:
    """Return what sends webhooks, or None if there is no secret to sign them with."""
    if settings.webhook_secret is None:
        return None
    return Sender(settings.webhook_hosts, key_of(settings.webhook_secret))


def load_tools(settings: Settings) -> Tools:
    """Load the built-in tools and the user's. Raise StartRefused if a source cannot be loaded."""
    tools = registry.load(settings.tools, built_in=example.TOOLS)
    for source in tools.sources:
        if not source.tools:
            logger.warning("%s registers no tool: is @tool missing?", source.name)
    return tools


async def report_missing_tools(store: Store, tools: Tools) -> None:
    """Log the tools that runs in flight need and this server lacks, in one line."""
    try:
        missing = await store.needed_tools.missing(tools)
    except Unavailable as error:
        logger.warning("the tools that runs in flight need are not known: %s", error)
        return
    if missing.runs:
        ranked = sorted(missing.runs.items(), key=lambda each: (-each[1], each[0]))
        listed = ", ".join(f"{_named(tool)} ({count})" for tool, count in ranked[:MISSING_TOOLS_SHOWN_MAX])
        more = len(ranked) - MISSING_TOOLS_SHOWN_MAX
        logger.warning(
            "%sruns in flight need tools that this server lacks, and wait for servers that have them: %s%s",
            "at least these " if missing.is_partial else "",
            listed,
            f" and {more} more" if more > 0 else "",
        )


def _named(tool: str) -> str:
    return "a cluster" if tool == CLUSTER else f"{tool!r:.200}"


def engine_settings(settings: Settings, runs_folder: Path, tools: Tools) -> EngineSettings:
    return EngineSettings(
        runs_folder=runs_folder,
        active_runs_max=settings.max_active_runs,
        tool_threads_max=settings.tool_threads,
        state_bytes_max=settings.state_bytes_max,
        active_bytes_max=settings.active_bytes_max or default_active_bytes_max(settings.state_bytes_max),
        lease_s=settings.lease_seconds,
        cluster=_cluster_settings(settings, tools),
        # -P keeps the working directory off the import path: the new process must import the same modules as this one.
        isolated_command=(sys.executable, "-P", "-m", "service", "isolated"),
        isolated_tools=partial(registry.snapshot, tools),
    )


def _cluster_settings(settings: Settings, tools: Tools) -> ClusterSettings | None:
    """Return the cluster's settings, or None without a cluster. Raise StartRefused if Dask is needed and missing."""
    if settings.cluster is None:
        return None
    check_installed()
    address = None if settings.cluster == LOCAL_CLUSTER else settings.cluster
    return ClusterSettings(address, settings.cluster_calls, partial(registry.snapshot, tools))


def built_in_example(tools: Mapping[str, Tool]) -> Example:
    return Example(
        graph=read_graph(example.GRAPH, tools),
        datasets=example.DATASETS,
        initial_state=example.initial_state,
        faults=example.faults,
    )
