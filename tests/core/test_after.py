"""How a run moves: next_move and after, each status that they lead to, and the table of legal transitions."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from service.core.conditions import Reason
from service.core.run import (
    CRASHES_MAX,
    CallTool,
    Condemn,
    Event,
    Failed,
    Level,
    Run,
    RunError,
    Succeeded,
    Transition,
    after,
    next_move,
)
from service.core.state import State
from service.core.transitions import CLAIMABLE, LEGAL, OVER, Status, is_legal
from service.core.validation import read_graph

BELOW_3 = {"key": "n", "op": "<", "value": 3}
LOOP: dict[str, Any] = {
    "start_node": "a",
    "nodes": {"a": {"tool": "add", "metadata": {"by": 1}}, "b": "add"},
    "edges": {"a": {"to": "a", "condition": BELOW_3}},
}


def run_of(document: dict[str, Any] = LOOP, **changes: Any) -> Run:
    graph = read_graph(document, ["add"])
    at_start = Run("r", graph, Status.RUNNING, 0, graph.start_node, State.of({"n": 0}, 1000))
    return at_start._replace(**changes)


def succeed(run: Run, **state: Any) -> Transition:
    move = next_move(run)
    assert isinstance(move, CallTool)
    return after(run, move, Succeeded(run.state.changes_to(state, {}, 1000)))


def test_a_running_run_calls_the_tool_of_its_node() -> None:
    move = next_move(run_of(step=4, attempt=2))
    assert move == CallTool("a", "add", {"by": 1}, step=5, attempt=2)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.RUNNING])
def test_a_run_that_does_not_run_rests(status: Status) -> None:
    assert next_move(run_of(status=status)) is None


def test_a_success_commits_the_next_step_and_forgets_attempts_and_crashes() -> None:
    transition = succeed(run_of(attempt=3, crashes=4), n=1)
    run, step = transition.run, transition.step
    assert (run.status, run.step, run.node, run.attempt, run.crashes) == (Status.RUNNING, 1, "a", 1, 0)
    assert run.state.to_object() == {"n": 1}
    assert step is not None
    assert (step.node, step.attempt, step.decision.reason) == ("a", 3, Reason.CONDITION)
    assert [(line.event, line.node, line.step, line.attempt) for line in transition.lines] == [
        (Event.STEP_COMPLETED, "a", 1, 3)
    ]
    assert transition.error is None


def test_a_run_without_a_way_on_is_completed() -> None:
    transition = succeed(run_of(step=2), n=3)
    assert (transition.run.status, transition.run.step, transition.run.node) == (Status.COMPLETED, 3, None)
    assert [line.event for line in transition.lines] == [Event.STEP_COMPLETED, Event.RUN_COMPLETED]
    assert next_move(transition.run) is None


def test_max_steps_pauses_at_the_node_to_run_next() -> None:
    run = run_of({**LOOP, "max_steps": 2}, step=1)
    transition = succeed(run, n=1)
    assert (transition.run.status, transition.run.step, transition.run.node) == (Status.PAUSED, 2, "a")
    assert [line.event for line in transition.lines] == [Event.STEP_COMPLETED, Event.RUN_PAUSED]
    assert "max_steps" in transition.lines[-1].message
    assert transition.error is None


def test_a_run_that_ends_at_its_last_allowed_step_is_completed() -> None:
    assert succeed(run_of({**LOOP, "max_steps": 2}, step=1), n=3).run.status is Status.COMPLETED


def test_a_failure_keeps_the_last_good_state_and_the_node() -> None:
    run = run_of(step=4, attempt=2)
    move = next_move(run)
    assert move is not None
    transition = after(run, move, Failed("tool_error", "boom"))
    assert transition.run == run._replace(status=Status.FAILED)
    assert transition.step is None
    assert transition.error == RunError("tool_error", "boom", node="a", step=5, attempt=2)
    assert [(line.event, line.level) for line in transition.lines] == [
        (Event.STEP_FAILED, Level.ERROR),
        (Event.RUN_FAILED, Level.ERROR),
    ]


def test_a_condition_error_undoes_its_step() -> None:
    run = run_of(step=1)
    transition = succeed(run, m=1)
    assert transition.run == run._replace(status=Status.FAILED)
    assert transition.step is None
    assert transition.error is not None
    assert (transition.error.type, transition.error.step) == ("condition_error", 2)
    assert "'m'" in transition.error.message


def test_five_crashes_in_a_row_condemn_a_run_without_another_attempt() -> None:
    assert CRASHES_MAX == 5
    assert isinstance(next_move(run_of(crashes=4)), CallTool)
    run = run_of(crashes=5, attempt=6)
    move = next_move(run)
    assert move == Condemn("a")
    transition = after(run, move)
    assert transition.run.status is Status.FAILED
    assert transition.error is not None
    # It counts as the fault of the last attempt that was made.
    assert (transition.error.type, transition.error.attempt) == ("crash_loop", 5)


def test_a_call_without_an_outcome_is_a_mistake_of_ours() -> None:
    run = run_of()
    move = next_move(run)
    assert move is not None
    with pytest.raises(TypeError):
        after(run, move)


def test_lines_about_nodes_with_long_names_are_of_bounded_length() -> None:
    name = "n" * 100_000
    run = run_of({"start_node": name, "nodes": {name: "add"}, "edges": {name: {"to": name}}})
    assert all(len(line.message) < 1_000 for line in succeed(run, n=1).lines)


EXPECTED = {
    *((Status.QUEUED, status) for status in (Status.RUNNING, Status.PAUSED, Status.CANCELLED)),
    *((Status.RUNNING, status) for status in Status),
    *((Status.WAITING, status) for status in (Status.RUNNING, Status.PAUSED, Status.CANCELLED)),
    *((Status.PAUSED, status) for status in (Status.QUEUED, Status.WAITING, Status.CANCELLED)),
    (Status.FAILED, Status.QUEUED),
}


@pytest.mark.parametrize(("before", "then"), list(product(Status, Status)))
def test_a_transition_is_legal_or_not(before: Status, then: Status) -> None:
    assert is_legal(before, then) is ((before, then) in EXPECTED)


def test_the_table_agrees_with_what_is_over_and_what_is_claimable() -> None:
    assert LEGAL.keys() == set(Status)
    assert {status for status, following in LEGAL.items() if not following} == OVER - {Status.FAILED}
    assert not OVER & CLAIMABLE
    assert all(is_legal(status, Status.RUNNING) for status in CLAIMABLE)


def test_whatever_happens_to_a_running_run_is_legal() -> None:
    run = run_of({**LOOP, "max_steps": 1})
    ends = [succeed(run, n=1), succeed(run, n=3), succeed(run), succeed(run_of(), n=1)]
    assert {end.run.status for end in ends} == {Status.PAUSED, Status.COMPLETED, Status.FAILED, Status.RUNNING}
    assert all(is_legal(Status.RUNNING, end.run.status) for end in ends)
