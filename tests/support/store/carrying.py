"""Carry runs by hand, move by move, as a runner does, and graphs of the nodes that call no tool."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, update

from service.core.after import after
from service.core.errors import AttemptError
from service.core.graph import Graph, SleepNode, Until
from service.core.join import count_children
from service.core.moves import CallTool, Failed, Gather, Move, Outcome, Receive, Sleep, Succeeded
from service.core.next_move import next_move
from service.core.run import Run, Transition
from service.core.state import Changes, State
from service.core.validation import read_graph
from service.engine.timestamps import read_moment
from service.store import Store
from service.store.commands.start import Start
from service.store.database.protocol import Database
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.rows.records import Claimed
from service.store.schema.models import runs
from tests.support.store.harness import BYTES_MAX, ask, commit

TOOLS = ("add", "ask")
BOOM = Failed("tool_error", "boom")
LATER = 1e12
"""On the monotonic clock: what is noted for then is dated at its commit, the same in each execution."""


def graph(document: dict[str, Any]) -> Graph:
    return read_graph(document, TOOLS)


def single(node: Any, **rest: Any) -> Graph:
    """A graph of one node `a`."""
    return graph({"start_node": "a", "nodes": {"a": node}, **rest})


LEAF = single("add")
"""What children do: one step, after which they are over."""
NAP = single({"sleep": 10})
APPROVAL = single({"signal": "ok"})
HASTY = single({"signal": "ok", "timeout_s": 60})
AGAIN = single({"tool": "add", "retry": {"max_attempts": 2, "backoff_s": 10}})
SINGLE_CHILD = single({"graph": LEAF.id, "into": "got"})


def fan(child: Graph = LEAF, **options: Any) -> Graph:
    """Starts a child for each element of `items`, joins them at `got`, and counts on."""
    node = {"graph": child.id, "for_each": "items", "into": "got", **options}
    return graph({"start_node": "all", "nodes": {"all": node, "then": "add"}, "edges": {"all": "then"}})


async def queue(store: Store, run_id: str, of: Graph, *others: Graph, **state: Any) -> None:
    """Queue a run; `others` are graphs of its children."""
    for each in (*others, of):
        await store.graphs.add(each)
    await store.runs.start(Start(run_id, of.id, State.of(state, BYTES_MAX), {}))


async def begun(store: Store, run_id: str, of: Graph, *others: Graph, **state: Any) -> Claimed:
    """A run that is queued and claimed."""
    await queue(store, run_id, of, *others, **state)
    return await claim(store, run_id)


_EARLIEST = Statement(
    update(runs)
    .where(runs.c.id == bindparam("run_id"), runs.c.due_at <= bindparam("now"))
    .values(due_at="2000-01-01T00:00:00.000Z")
)


async def claim(store: Store, run_id: str) -> Claimed:
    """Claim this run and no other, which must be due."""

    def let_it_be_first(transaction: Transaction) -> None:
        transaction.execute(_EARLIEST, run_id=run_id, now=transaction.moment.text())

    await store._writer.write(let_it_be_first)
    [claimed] = await store.leases.claim(1)
    assert claimed.run.id == run_id
    return claimed


async def due(store: Store) -> list[str]:
    """Whichever could be claimed now are; their ids."""
    return [claimed.lease.run_id for claimed in await store.leases.claim(1000)]


async def transition(store: Store, run: Run, outcome: Outcome | None = None) -> Transition:
    """What the run's next move leads to; `outcome` is a tool's, which otherwise changes nothing."""
    move = next_move(run)
    assert move is not None
    if outcome is None:
        outcome = await _outcome(store, run, move)
    return after(run, move, outcome, BYTES_MAX)


async def _outcome(store: Store, run: Run, move: Move) -> Outcome | None:
    try:
        match move:
            case CallTool():
                return Succeeded(Changes({}))
            case Sleep(node=SleepNode(sleep=Until(until=place))):
                return read_moment(run.state, place)
            case Receive(node=node):
                return await store.signals.oldest(run.id, node.signal)
            case Gather(node=node):
                return await store.children.gathered(run, move, count_children(run.state, node), BYTES_MAX)
            case _:
                return None
    except AttemptError as error:
        return Failed(error.type, str(error))


async def carry(store: Store, claimed: Claimed, outcome: Outcome | None = None) -> Claimed:
    """One move and its commit; the run as it is then, under the same lease."""
    made = await transition(store, claimed.run, outcome)
    return Claimed(claimed.lease, await commit(store, claimed.lease, made, at=LATER))


async def rest(store: Store, claimed: Claimed) -> Run:
    """Carry the run for as long as it has a move; its tools change nothing."""
    while next_move(claimed.run) is not None:
        claimed = await carry(store, claimed)
    return claimed.run


async def parked(store: Store, run_id: str, of: Graph, *others: Graph, **state: Any) -> Run:
    """A run that has just been started, and has come to rest."""
    return await rest(store, await begun(store, run_id, of, *others, **state))


def setting(run: Run, **keys: Any) -> Succeeded:
    """A tool has set these keys."""
    before = run.state.to_object()
    return Succeeded(run.state.changes_to(before | keys, before, BYTES_MAX))


# What SQL shows of it.


def run_of(database: Database, run_id: str, *columns: str) -> Any:
    """Columns of the run's row."""
    [row] = ask(database, f"SELECT {', '.join(columns)} FROM runs WHERE id = ?", run_id)
    return row


def status_of(database: Database, run_id: str) -> str:
    return str(run_of(database, run_id, "status")[0])


def events_of(database: Database, run_id: str) -> list[str]:
    """The kinds of the run's lines, which have no holes."""
    rows = ask(database, "SELECT seq, event FROM log_lines WHERE run_id = ? ORDER BY seq", run_id)
    assert [seq for seq, _ in rows] == list(range(1, run_of(database, run_id, "last_seq")[0] + 1))
    return [event for _, event in rows]


def children_of(database: Database, run_id: str) -> list[tuple[str, str]]:
    """Ids and statuses of all children, in the order in which they were to be started."""
    return ask(
        database,
        "SELECT id, status FROM runs WHERE parent_id = ? ORDER BY parent_step, parent_attempt, child_number",
        run_id,
    )


def waits(database: Database) -> list[tuple[str, str]]:
    return ask(database, "SELECT run_id, kind FROM waits ORDER BY run_id")
