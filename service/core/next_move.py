"""Decide the next move of a run."""

from __future__ import annotations

from typing import assert_never

from service.core.graph import GraphNode, SignalNode, SleepNode, ToolNode
from service.core.moves import CallTool, Gather, Move, PauseRun, Receive, Sleep
from service.core.run import Run
from service.core.transitions import Status

CRASHES_MAX = 5
"""When this many servers in a row have died during a step, its tool is only called in a separate process."""


def next_move(run: Run) -> Move | None:
    """Return the next move of `run`, or None if it has nothing to do now."""
    if run.status is not Status.RUNNING or run.node is None:
        return None
    # This happens if a run is resumed at its limit: the commit that first reaches a limit pauses the run itself.
    if (reason := limit_reached(run)) is not None:
        return PauseRun(reason)
    node = run.graph.nodes[run.node]
    match node:
        case ToolNode():
            resources = None if node.on is None else node.on.cluster.resources
            isolate = node.isolate or (is_suspect(run) and resources is None)
            place = (run.step + 1, run.attempt, node.timeout_s)
            return CallTool(run.node, node.tool, node.metadata, *place, isolate, node.pure, node.limit, resources)
        case SleepNode():
            return Sleep(node)
        case SignalNode():
            return Receive(node)
        case GraphNode():
            return Gather(node, run.step + 1, run.attempt)
        case _:
            assert_never(node)


def is_suspect(run: Run) -> bool:
    """Return whether so many servers have died while they executed the run that the run may be the cause."""
    return run.crashes >= CRASHES_MAX


def limit_reached(run: Run) -> str | None:
    """Return a message about the limit that forbids the run's next step, or None if no limit does."""
    made, graph = run.step - run.patches, run.graph
    steps_max = graph.max_steps if run.max_steps is None else run.max_steps
    if made >= steps_max:
        return f"reached max_steps: {made} of {steps_max} steps"
    if run.node is not None:
        visits_max = graph.nodes[run.node].max_visits
        if visits_max is not None and run.visits.get(run.node, 0) >= visits_max:
            return f"reached max_visits of {run.node:.200}: {visits_max}"
    return None
