"""What a step's success and its failure make of a run, the limits that pause it, and what cannot come out."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.moves import (
    CallTool,
    Failed,
    Gather,
    Gathered,
    Moment,
    NoSignal,
    Outcome,
    ProcessDied,
    Receive,
    Received,
    Sleep,
    Succeeded,
)
from service.core.next_move import next_move
from service.core.routing.conditions import Reason
from service.core.run import Event, Level, RunError, Transition, WaitKind
from service.core.state import Changes
from service.core.syntax.trace_context import Trace
from service.core.transitions import LEGAL, Status
from tests.support.core.runs import came_out, node_of, run_of, succeed, waited

BELOW_3 = {"key": "n", "op": "<", "value": 3}
LOOP = node_of("add", {"to": "a", "condition": BELOW_3})
BOOM = Failed("tool_error", "boom")


def events(transition: Transition) -> list[Event]:
    return [line.event for line in transition.lines]


def test_a_success_commits_the_next_step_and_forgets_attempts_failures_and_crashes() -> None:
    before = waited(run_of(LOOP, attempt=3, crashes=4, failures=2), WaitKind.BACKOFF, is_over=True)
    transition = succeed(before, n=1)
    run, step = transition.run, transition.step
    assert (run.status, run.step, run.node, run.waited) == (Status.RUNNING, 1, "a", None)
    assert (run.attempt, run.crashes, run.failures) == (1, 0, 0)
    assert run.state.to_object() == {"n": 1}
    assert step is not None
    assert (step.node, step.attempt, step.decision.reason) == ("a", 3, Reason.CONDITION)
    assert [(line.event, line.node, line.step, line.attempt) for line in transition.lines] == [
        (Event.STEP_COMPLETED, "a", 1, 3)
    ]
    assert (transition.error, transition.wait, transition.ends_wait) == (None, None, True)
    # A backoff is no part of the attempt that follows it.
    assert transition.since_us is None


def test_a_run_keeps_from_step_to_step_what_is_not_the_steps() -> None:
    kept: dict[str, Any] = {"patches": 2, "max_steps": 9, "claimed_us": 3, "parent_id": "p", "depth": 4, "priority": 5}
    run = run_of(LOOP, attempt=3, crashes=4, failures=2)._replace(trace=Trace("00-1-2-01", None), **kept)
    state = run.state.with_text("n", "1")
    begun_anew: dict[str, Any] = {
        "status": Status.RUNNING,
        "step": 1,
        "attempt": 1,
        "crashes": 0,
        "failures": 0,
        "waited": None,
    }
    assert run.moved_to("b", state, {"a": 1}) == run._replace(node="b", state=state, visits={"a": 1}, **begun_anew)


def test_a_run_without_a_way_on_is_completed() -> None:
    transition = succeed(run_of(LOOP, step=2), n=3)
    assert (transition.run.status, transition.run.step, transition.run.node) == (Status.COMPLETED, 3, None)
    assert events(transition) == [Event.STEP_COMPLETED, Event.RUN_COMPLETED]
    assert next_move(transition.run) is None


def test_a_failure_keeps_the_last_good_state_and_the_node() -> None:
    run = run_of(LOOP, {"n": 0}, step=4, attempt=2, failures=0)
    transition = came_out(run, BOOM)
    assert transition.run == run._replace(status=Status.FAILED)
    assert transition.step is None
    assert transition.error == RunError("tool_error", "boom", node="a", step=5, attempt=2)
    assert [(line.event, line.level) for line in transition.lines] == [
        (Event.STEP_FAILED, Level.ERROR),
        (Event.RUN_FAILED, Level.ERROR),
    ]
    assert all((line.node, line.step, line.attempt) == ("a", 5, 2) for line in transition.lines)


def test_a_condition_error_undoes_its_step() -> None:
    run = run_of(LOOP, {"n": 0}, step=1)
    transition = succeed(run, m=1)
    assert transition.run == run._replace(status=Status.FAILED)
    assert transition.step is None
    assert transition.error is not None
    assert (transition.error.type, transition.error.step) == ("condition_error", 2)
    assert "'m'" in transition.error.message


def test_max_steps_pauses_at_the_node_to_run_next() -> None:
    run = run_of({**LOOP, "max_steps": 2}, step=1)
    transition = succeed(run, n=1)
    assert (transition.run.status, transition.run.step, transition.run.node) == (Status.PAUSED, 2, "a")
    assert events(transition) == [Event.STEP_COMPLETED, Event.RUN_PAUSED]
    assert transition.lines[-1].message == "reached max_steps: 2 of 2 steps"
    assert transition.error is None


def test_a_run_that_ends_at_its_last_allowed_step_is_completed() -> None:
    assert succeed(run_of({**LOOP, "max_steps": 2}, step=1), n=3).run.status is Status.COMPLETED


def test_patches_do_not_count_for_max_steps() -> None:
    run = run_of({**LOOP, "max_steps": 2}, step=4, patches=4)
    assert succeed(run, n=1).run.status is Status.RUNNING
    assert succeed(run._replace(step=5), n=1).run.status is Status.PAUSED


def test_max_visits_pauses_on_arrival_at_the_node_that_has_had_its_steps() -> None:
    document = node_of({"tool": "add", "max_visits": 2}, "b")
    document["edges"]["b"] = "a"
    run = run_of(document)
    seen = []
    while run.status is Status.RUNNING:
        transition = succeed(run, n=run.step)
        run = transition.run
        seen.append((run.node, dict(run.visits)))
    assert seen == [("b", {"a": 1}), ("a", {"a": 1}), ("b", {"a": 2}), ("a", {"a": 2})]
    assert (run.status, run.node, transition.lines[-1].message) == (Status.PAUSED, "a", "reached max_visits of a: 2")
    # As a resume does, which sets the node's count back.
    again = run._replace(status=Status.RUNNING, visits={})
    assert succeed(again, n=0).run.visits == {"a": 1}


def test_the_visits_of_each_node_are_its_own() -> None:
    document = node_of({"tool": "add", "max_visits": 5}, "b")
    document["nodes"]["b"] = {"tool": "add", "max_visits": 5}
    run = run_of(document, visits={"b": 3})
    assert succeed(run).run.visits == {"a": 1, "b": 3}
    assert run.visits == {"b": 3}


def test_a_failed_attempt_is_no_visit() -> None:
    run = run_of(node_of({"tool": "add", "max_visits": 1, "retry": {}}))
    assert came_out(run, BOOM).run.visits == {}
    assert came_out(run._replace(failures=2), BOOM).run.visits == {}


def test_a_run_that_is_resumed_at_its_limit_pauses_again_and_keeps_all_else() -> None:
    for run in (run_of({**LOOP, "max_steps": 2}, step=2), run_of(LOOP, step=2, max_steps=1)):
        before = waited(run._replace(attempt=3, failures=1), WaitKind.BACKOFF, is_over=True)
        transition = came_out(before, None)
        assert transition.run == before._replace(status=Status.PAUSED)
        assert (transition.step, transition.error, transition.ends_wait) == (None, None, False)
        assert [(line.event, line.level) for line in transition.lines] == [(Event.RUN_PAUSED, Level.WARNING)]
        assert "max_steps" in transition.lines[0].message


@pytest.mark.parametrize(("crashes", "error_type"), [(0, "tool_error"), (4, "tool_error"), (5, "crash_loop")])
def test_the_death_of_a_suspects_process_is_a_crash_loop(crashes: int, error_type: str) -> None:
    run = run_of(node_of({"tool": "add", "isolate": True}), crashes=crashes, attempt=6)
    transition = came_out(run, ProcessDied("killed by signal 11"))
    assert transition.run.status is Status.FAILED
    assert transition.error == RunError(error_type, "killed by signal 11", "a", 1, 6)


def test_a_suspect_that_only_raises_or_succeeds_in_isolation_is_no_crash_loop() -> None:
    run = run_of(LOOP, crashes=7)
    failed = came_out(run, BOOM)
    assert failed.error is not None
    assert failed.error.type == "tool_error"
    assert succeed(run, n=1).run.crashes == 0


MOVES: dict[type, Any] = {
    CallTool: "add",
    Sleep: {"sleep": {"until": "t"}},
    Receive: {"signal": "go"},
    Gather: {"graph": "g", "into": "g"},
}
OUTCOMES: list[tuple[Outcome | None, type | None]] = [
    (Succeeded(Changes({})), CallTool),
    (ProcessDied("x"), CallTool),
    (Moment(0), Sleep),
    (Received(1, "0", 0), Receive),
    (NoSignal(), Receive),
    (Gathered(0, 0), Gather),
    (None, None),
]


@pytest.mark.parametrize("kind", MOVES)
@pytest.mark.parametrize(("outcome", "fitting"), OUTCOMES, ids=lambda value: f"{value!r:.40}")
def test_a_move_that_cannot_come_out_so_is_a_mistake_of_ours(kind: type, outcome: Outcome, fitting: type) -> None:
    run = run_of(node_of(MOVES[kind]), {"t": 0})
    if fitting is kind:
        came_out(run, outcome)
    else:
        with pytest.raises(TypeError):
            came_out(run, outcome)


def test_a_hold_and_a_sleep_of_seconds_ask_for_nothing() -> None:
    for run in (run_of({**LOOP, "max_steps": 1}, step=1), run_of(node_of({"sleep": 1}))):
        came_out(run, None)
        for outcome in (Moment(0), NoSignal(), Succeeded(Changes({}))):
            with pytest.raises(TypeError):
                came_out(run, outcome)


@pytest.mark.parametrize("node", MOVES.values(), ids=lambda node: f"{node!r:.20}")
def test_a_node_of_any_kind_may_fail(node: Any) -> None:
    transition = came_out(run_of(node_of(node)), Failed("invalid_state", "no"))
    assert transition.run.status is Status.FAILED
    assert transition.error == RunError("invalid_state", "no", "a", 1, 1)


def test_lines_about_nodes_with_long_names_are_of_bounded_length() -> None:
    name = "n" * 1000  # The longest that a graph may have.
    document = {"start_node": name, "nodes": {name: {"tool": "add", "max_visits": 1}}, "edges": {name: {"to": name}}}
    transition = succeed(run_of(document), n=1)
    assert events(transition) == [Event.STEP_COMPLETED, Event.RUN_PAUSED]
    assert all(len(line.message) < 1_000 for line in transition.lines)


def test_lines_about_signals_with_long_names_are_of_bounded_length() -> None:
    run = run_of(node_of({"signal": "n" * 100_000, "timeout_s": 1}))
    over = waited(run, WaitKind.SIGNAL, due_us=0, is_over=True)
    for transition in (came_out(run, NoSignal()), came_out(over, NoSignal())):
        assert all(len(line.message) < 1_000 for line in transition.lines)


def test_whatever_happens_to_a_running_run_is_legal() -> None:
    run = run_of({**LOOP, "max_steps": 1})
    ends = [succeed(run, n=1), succeed(run, n=3), succeed(run), succeed(run_of(LOOP), n=1)]
    ends.append(came_out(run_of(node_of({"sleep": 1})), None))
    assert {end.run.status for end in ends} == {
        *(Status.PAUSED, Status.COMPLETED, Status.FAILED, Status.RUNNING, Status.WAITING)
    }
    assert all(end.run.status in LEGAL[Status.RUNNING] for end in ends)
