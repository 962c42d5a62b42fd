"""Make runs by hand and apply moves to them, for the tests of `moves` and `after`."""

from __future__ import annotations

from typing import Any

from service.core.after import after
from service.core.moves import CallTool, Outcome, Succeeded
from service.core.next_move import next_move
from service.core.run import Run, Transition, Waited, WaitKind
from service.core.state import State
from service.core.transitions import Status
from service.core.validation import read_graph

ROOM = 10**5
"""Bytes that a state may have."""
NOW_US = 1_800_000_000_000_000
"""When the runs here were claimed."""
HOUR_US = 3_600_000_000


def run_of(document: dict[str, Any], state: dict[str, Any] | None = None, **changes: Any) -> Run:
    """A run of the graph, claimed at its start; `changes` are fields of Run."""
    graph = read_graph(document, ["add"])
    at_start = Run("r", graph, Status.RUNNING, 0, graph.start_node, State.of(state or {}, ROOM), claimed_us=NOW_US)
    return at_start._replace(**changes)


def node_of(node: Any, *edges: Any) -> dict[str, Any]:
    """A graph whose node `a` is `node`, left by `edges`; `b` and `c` are there to lead to."""
    return {"start_node": "a", "nodes": {"a": node, "b": "add", "c": "add"}, "edges": {"a": list(edges)}}


def came_out(run: Run, outcome: Outcome | None) -> Transition:
    """What the run's next move leads to."""
    move = next_move(run)
    assert move is not None
    return after(run, move, outcome, ROOM)


def succeed(run: Run, **state: Any) -> Transition:
    """What a tool leads to that leaves `state`."""
    assert isinstance(next_move(run), CallTool)
    return came_out(run, Succeeded(run.state.changes_to(state, {}, ROOM)))


def waited(run: Run, kind: WaitKind, *, due_us: int | None = None, is_over: bool = False) -> Run:
    """`run` as it is claimed after an hour's wait."""
    return run._replace(waited=Waited(kind, NOW_US - HOUR_US, due_us, is_over))


def resumed(transition: Transition, *, is_over: bool, later_s: float = 0) -> Run:
    """The run of a transition that parked it, claimed again `later_s` seconds later."""
    run, wait = transition.run, transition.wait
    assert wait is not None
    since_us = run.claimed_us if wait.since_us is None else wait.since_us
    times = [wait.due_us, None if wait.later_s is None else since_us + round(wait.later_s * 1e6)]
    due_us = min((time for time in times if time is not None), default=None)
    return run._replace(
        status=Status.RUNNING,
        waited=Waited(wait.kind, since_us, due_us, is_over),
        claimed_us=run.claimed_us + round(later_s * 1e6),
    )
