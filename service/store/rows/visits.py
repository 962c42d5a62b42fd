"""Count the steps at nodes that have `max_visits`. A count that is full is reset when the run is resumed there."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import bindparam, delete, select

from service.core.graph import Graph
from service.core.run import Run
from service.store.database.statements import ForRows, Statement, every_column
from service.store.database.transaction import Transaction
from service.store.rows.states import slot_of
from service.store.schema.models import graphs, runs, visits

_COUNT = Statement(
    lambda insert: (
        insert(visits)
        .values(every_column(visits))
        .on_conflict_do_update(index_elements=["run_id", "node"], set_={"count": bindparam("count")})
    )
)

_COUNTED = ForRows(
    lambda row: select(visits.c.run_id, visits.c.node, visits.c.count).where(visits.c.run_id == row.run_id),
    run_id=visits.c.run_id,
)

_COUNTED_AT = Statement(
    select(visits.c.count, graphs.c.definition)
    .join(runs, runs.c.id == visits.c.run_id)
    .join(graphs, graphs.c.id == runs.c.graph_id)
    .where(visits.c.run_id == bindparam("run_id"), visits.c.node == bindparam("visited"))
)

_DELETE = Statement(delete(visits).where(visits.c.run_id == bindparam("run_id"), visits.c.node == bindparam("visited")))


def count_visit(transaction: Transaction, run: Run, node: str) -> None:
    """Store how many steps the run has made at `node`, which it has just left."""
    slot = slot_of(node, transaction.dialect)
    transaction.execute(_COUNT, run_id=run.id, node=slot, count=run.visits[node])


def visits_of(transaction: Transaction, counting: Mapping[str, Graph]) -> dict[str, dict[str, int]]:
    """Return the counts by run and node. `counting` maps the runs to their graphs, which have `max_visits`."""
    found: dict[str, dict[str, int]] = {run_id: {} for run_id in counting}
    for run_id, slot, count in transaction.each(_COUNTED, [{"run_id": run_id} for run_id in counting]):
        found[run_id][slot] = count
    return {run_id: _by_node(found[run_id], graph, transaction.dialect) for run_id, graph in counting.items()}


def _by_node(count_at: Mapping[str, int], graph: Graph, dialect: str) -> dict[str, int]:
    slots = {node: slot_of(node, dialect) for node, of in graph.nodes.items() if of.max_visits is not None}
    return {node: count_at[slot] for node, slot in slots.items() if slot in count_at}


def reset_full_visits(transaction: Transaction, run_id: str, node: str) -> None:
    """Set the count of `node` back to 0 if it has reached the node's `max_visits`."""
    slot = slot_of(node, transaction.dialect)
    counted = transaction.one(_COUNTED_AT, run_id=run_id, visited=slot)
    if counted is None:
        return
    count, definition = counted
    visits_max = Graph.load(definition).nodes[node].max_visits
    if visits_max is not None and count >= visits_max:
        transaction.execute(_DELETE, run_id=run_id, visited=slot)
