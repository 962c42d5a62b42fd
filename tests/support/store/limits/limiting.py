"""Runs whose node has a limit, carried by hand: they are claimed, ask for a slot, and are committed."""

from __future__ import annotations

from typing import Any

from service.core.after import after
from service.core.graph import Graph
from service.core.moves import NoSlot
from service.core.next_move import next_move
from service.core.run import Run
from service.core.state import State
from service.core.transitions import Status
from service.store import Store
from service.store.commands.queueing.admission import Asking
from service.store.commands.start import Start
from service.store.database.protocol import Database
from service.store.rows.records import Claimed
from tests.support.store.carrying import single
from tests.support.store.harness import BYTES_MAX, ask, commit, success

LIMIT = "api"
LIMITED = single({"tool": "add", "limit": LIMIT, "retry": {"max_attempts": 2, "backoff_s": 5}})


def asking_of(claimed: Claimed, limit: str | None = LIMIT) -> Asking:
    """Return what the run's next attempt asks for."""
    move = next_move(claimed.run)
    assert move is not None
    parked = after(claimed.run, move, NoSlot(limit or ""), BYTES_MAX)
    return Asking(claimed.lease, claimed.run, limit, parked)


async def enter(store: Store, claimed: Claimed, limit: str | None = LIMIT) -> Run:
    """Ask for a slot. Return the run, which is parked if there is none."""
    return await store.limits.acquire(asking_of(claimed, limit))


async def queue_limited(store: Store, run_id: str, priority: int = 0, graph: Graph = LIMITED) -> None:
    await store.graphs.add(graph)
    await store.runs.start(Start(run_id, graph.id, State.of({}, BYTES_MAX), {}, priority=priority))


async def claim_all(store: Store) -> dict[str, Claimed]:
    """Claim whatever is due, and return it by id, in the order of the claim."""
    return {claimed.run.id: claimed for claimed in await store.leases.claim(1000)}


async def enter_all(store: Store, *run_ids: str) -> dict[str, Claimed]:
    """Claim these runs, which have just been queued, and let them ask in this order. Return those that got a slot."""
    claimed = await claim_all(store)
    assert claimed.keys() == set(run_ids)
    return {run_id: claimed[run_id] for run_id in run_ids if is_in(await enter(store, claimed[run_id]))}


def is_in(run: Run) -> bool:
    """Return whether the run has a slot."""
    return run.status is Status.RUNNING


async def finish(store: Store, claimed: Claimed) -> Run:
    """Commit the attempt, which has succeeded."""
    return await commit(store, claimed.lease, success(claimed.run._replace(waited=None)))


def waiting(database: Database) -> list[str]:
    """Return the runs that wait for a limit, in the order of their turn."""
    rows = ask(database, "SELECT run_id FROM waits WHERE kind = 'limit' ORDER BY name, rank, since, run_id")
    return [run_id for (run_id,) in rows]


def columns_of(database: Database, query: str, *parameters: Any) -> list[Any]:
    """Return the first column of each row."""
    return [row[0] for row in ask(database, query, *parameters)]
