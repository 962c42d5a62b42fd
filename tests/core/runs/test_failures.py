"""What a failed node leads to: another attempt while there are any left, then an error edge, then the run's end."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.graph import ERROR_TYPES
from service.core.moves import Failed, ProcessDied, Succeeded, WorkerLost
from service.core.next_move import next_move
from service.core.routing.conditions import Reason
from service.core.run import Event, Level, Run, RunError, Transition, Wait, WaitKind
from service.core.state import Changes
from service.core.transitions import Status
from tests.support.core.runs import HOUR_US, NOW_US, ROOM, came_out, node_of, resumed, run_of, succeed, waited

BOOM = Failed("tool_error", "boom")
LATE = Failed("timeout", "too late")
RECORD = {"type": "tool_error", "message": "boom", "node": "a", "step": 1, "attempt": 1}


def failing(*edges: Any, **options: Any) -> Run:
    return run_of(node_of({"tool": "add", **options}, *edges), {"n": 1})


def caught(transition: Transition) -> str | None:
    """Where an error edge led."""
    assert transition.step is not None
    assert transition.step.decision.reason is Reason.ON_ERROR
    return transition.step.decision.to


def error_of(transition: Transition) -> str:
    assert transition.error is not None
    return transition.error.type


def test_a_node_is_tried_again_after_its_backoff() -> None:
    run = failing(retry={"max_attempts": 4, "backoff_s": 2}, max_visits=9)._replace(step=4)
    waits = []
    while (transition := came_out(run, BOOM)).wait is not None:
        assert transition.run.status is Status.WAITING
        assert (transition.step, transition.ends_wait, transition.since_us) == (None, False, None)
        assert transition.error == RunError("tool_error", "boom", "a", 5, run.attempt)
        waits.append(transition.wait)
        run = resumed(transition, is_over=True)
        assert (run.attempt, run.failures) == (len(waits) + 1, len(waits))
    assert waits == [Wait(WaitKind.BACKOFF, later_s=seconds) for seconds in (2, 4, 8)]
    assert transition.run.status is Status.FAILED
    assert transition.error == RunError("tool_error", "boom", "a", 5, 4)
    assert (transition.ends_wait, transition.since_us) == (True, None)


def test_another_attempt_is_one_line_of_the_log() -> None:
    [line] = came_out(failing(retry={"backoff_s": 2.5}), BOOM).lines
    assert (line.event, line.level, line.node, line.step, line.attempt) == (
        *(Event.STEP_RETRYING, Level.WARNING, "a", 1, 1),
    )
    assert line.message == "retried in 2.5 s: tool_error: boom"


def test_a_resume_begins_a_fresh_budget_and_attempts_count_on() -> None:
    run = failing(retry={"max_attempts": 2})
    failed = came_out(run._replace(attempt=2, failures=1), BOOM).run
    assert (failed.status, failed.failures, failed.attempt) == (Status.FAILED, 0, 2)
    again = came_out(failed._replace(status=Status.RUNNING, attempt=3), BOOM)
    assert (again.run.status, again.run.attempt, again.run.failures) == (Status.WAITING, 4, 1)
    assert again.wait == Wait(WaitKind.BACKOFF, later_s=1.0)


def test_an_attempt_that_a_server_lost_costs_nothing_of_the_budget() -> None:
    transition = came_out(failing(retry={"max_attempts": 2})._replace(attempt=5, failures=0), BOOM)
    assert (transition.run.attempt, transition.run.failures) == (6, 1)


@pytest.mark.parametrize("error_type", ERROR_TYPES)
def test_a_retry_that_names_types_is_for_those(error_type: str) -> None:
    run = failing(retry={"on": ["timeout", "crash_loop"]})
    is_retried = came_out(run, Failed(error_type, "x")).wait is not None
    assert is_retried is (error_type in ("timeout", "crash_loop"))


def test_a_condition_error_is_tried_again_where_retry_names_it() -> None:
    asks = {"to": "b", "condition": {"key": "missing", "op": "==", "value": 1}}
    for retry, status in (({}, Status.FAILED), ({"on": ["condition_error"]}, Status.WAITING)):
        transition = came_out(failing(asks, retry=retry), Succeeded(Changes({})))
        assert (transition.run.status, error_of(transition)) == (status, "condition_error")


def test_a_crash_loop_that_is_tried_again_stays_isolated() -> None:
    """Or each attempt would bring down five servers more."""
    run = failing(retry={"on": ["crash_loop"]})._replace(crashes=5)
    again = resumed(came_out(run, ProcessDied("signal 11")), is_over=True)
    move = next_move(again)
    assert move == next_move(run._replace(attempt=2))
    assert came_out(again, ProcessDied("signal 11")).run.status is Status.WAITING
    assert succeed(again, n=2).run.crashes == 0


def test_a_failure_ends_what_little_suspicion_there_was() -> None:
    assert came_out(failing(retry={})._replace(crashes=4), BOOM).run.crashes == 0
    assert came_out(failing()._replace(crashes=4), BOOM).run.crashes == 0
    assert came_out(failing()._replace(crashes=5), ProcessDied("x")).run.crashes == 5


def test_the_first_error_edge_that_matches_is_taken_as_a_step() -> None:
    run = failing("b", {"to": "c", "on_error": True}, {"to": "a", "on_error": True})._replace(step=7, attempt=3)
    transition = came_out(run, BOOM)
    assert caught(transition) == "c"
    record = {**RECORD, "step": 8, "attempt": 3}
    assert transition.run.state.to_object() == {"n": 1, "error": record}
    assert transition.step is not None
    assert (transition.step.node, transition.step.attempt) == ("a", 3)
    assert list(transition.step.changes.set) == ["error"]
    assert transition.step.decision.evaluated == ({"to": "c", "condition": None, "result": True, "operands": {}},)
    assert (transition.run.status, transition.run.step, transition.run.node) == (Status.RUNNING, 8, "c")
    assert (transition.run.attempt, transition.run.failures, transition.run.crashes) == (1, 0, 0)
    assert transition.error == RunError("tool_error", "boom", "a", 8, 3)
    assert [line.event for line in transition.lines] == [Event.STEP_FAILED, Event.STEP_COMPLETED]
    assert transition.lines[1].message == "a → c (on_error)"


@pytest.mark.parametrize(
    ("edges", "taken"),
    [
        ([{"to": "b", "on_error": ["timeout"]}, {"to": "c", "on_error": ["tool_error", "timeout"]}], "c"),
        ([{"to": "b", "on_error": ["timeout"]}, {"to": "c", "on_error": True}], "c"),
        (["b", {"to": "c", "on_error": ["tool_error"]}], "c"),
        ([{"to": "c", "on_error": ["tool_error"]}, "b"], "c"),
        ([{"to": "b", "on_error": ["timeout"]}], None),
        ([], None),
        (["b"], None),
    ],
)
def test_an_error_edge_is_for_the_types_it_names(edges: list[Any], taken: str | None) -> None:
    transition = came_out(failing(*edges), BOOM)
    if taken is None:
        assert (transition.run.status, transition.step) == (Status.FAILED, None)
    else:
        assert caught(transition) == taken


def test_a_success_never_takes_an_error_edge() -> None:
    transition = succeed(failing({"to": "b", "on_error": True}), n=2)
    assert transition.step is not None
    assert (transition.run.status, transition.step.decision.reason) == (Status.COMPLETED, Reason.NO_EDGES)


def test_an_error_edge_is_taken_only_once_all_attempts_are_made() -> None:
    run = failing({"to": "b", "on_error": True}, retry={"max_attempts": 2})
    first = came_out(run, BOOM)
    assert first.step is None
    assert caught(came_out(resumed(first, is_over=True), LATE)) == "b"


@pytest.mark.parametrize(("into", "key"), [({}, "error"), ({"into": "why"}, "why"), ({"into": "n"}, "n")])
def test_the_record_of_the_error_comes_to_where_the_edge_says(into: dict[str, str], key: str) -> None:
    transition = came_out(failing({"to": "b", "on_error": True, **into}), BOOM)
    assert transition.run.state.to_object() == {"n": 1} | {key: RECORD}


def test_the_condition_of_an_error_edge_reads_the_last_good_state_and_the_record() -> None:
    says = {"key": "error.message", "op": "contains", "value": "boo"}
    is_two = {"key": "n", "op": "==", "value": 2}
    edges = [
        {"to": "b", "on_error": True, "condition": is_two},
        {"to": "c", "on_error": True, "condition": {"all": [says, {"not": is_two}]}},
    ]
    transition = came_out(failing(*edges), BOOM)
    assert caught(transition) == "c"
    assert transition.step is not None
    asked = transition.step.decision.evaluated
    assert [(record["to"], record["result"], record["operands"]) for record in asked] == [
        ("b", False, {"n": 1}),
        ("c", True, {"error.message": "boom", "n": 1}),
    ]
    assert came_out(failing(*edges), Failed("tool_error", "other")).run.status is Status.FAILED


def test_each_error_edge_asks_of_its_own_record() -> None:
    asks = {"op": "==", "value": "timeout"}
    edges = [
        {"to": "b", "on_error": True, "into": "one", "condition": {"key": "one.type", **asks}},
        {"to": "c", "on_error": True, "into": "two", "condition": {"not": {"key": "two.type", **asks}}},
    ]
    transition = came_out(failing(*edges), BOOM)
    assert caught(transition) == "c"
    assert transition.run.state.to_object() == {"n": 1, "two": RECORD}


def test_a_condition_error_in_an_error_edge_fails_the_run() -> None:
    edge = {"to": "b", "on_error": ["tool_error"], "condition": {"key": "gone", "op": "==", "value": 1}}
    run = failing(edge, {"to": "c", "on_error": True}, retry={"max_attempts": 1, "on": ["condition_error"]})
    transition = came_out(run, BOOM)
    assert transition.run == run._replace(status=Status.FAILED)
    assert error_of(transition) == "condition_error"
    assert transition.error is not None
    assert "'gone'" in transition.error.message
    assert transition.step is None


def test_a_condition_error_of_an_ordinary_edge_can_be_caught() -> None:
    asks = {"to": "b", "condition": {"key": "n", "op": "==", "value": 1}}
    transition = succeed(failing(asks, {"to": "c", "on_error": ["condition_error"]}), m=1)
    assert caught(transition) == "c"
    state = transition.run.state.to_object()
    assert (state["n"], state["error"]["type"], "m" in state) == (1, "condition_error", False)


def test_a_record_that_fits_no_state_fails_the_run() -> None:
    run = failing({"to": "b", "on_error": ["tool_error"]})
    transition = came_out(run, Failed("tool_error", "x" * ROOM))
    assert (transition.run.status, transition.run.state) == (Status.FAILED, run.state)
    assert error_of(transition) == "invalid_state"


def test_an_error_edge_may_end_the_run() -> None:
    transition = came_out(failing({"to": None, "on_error": True}), BOOM)
    assert (transition.run.status, transition.run.node) == (Status.COMPLETED, None)
    assert [line.event for line in transition.lines] == [
        *(Event.STEP_FAILED, Event.STEP_COMPLETED, Event.RUN_COMPLETED),
    ]


def test_a_step_over_an_error_edge_counts_for_the_limits() -> None:
    document = node_of({"tool": "add", "max_visits": 1}, {"to": "a", "on_error": True})
    transition = came_out(run_of(document), BOOM)
    assert (transition.run.status, transition.run.visits) == (Status.PAUSED, {"a": 1})
    at_last = run_of({**node_of("add", {"to": "b", "on_error": True}), "max_steps": 1})
    assert came_out(at_last, BOOM).run.status is Status.PAUSED


@pytest.mark.parametrize(
    ("node", "kind", "outcome"),
    [
        ({"sleep": 60, "timeout_s": 1}, WaitKind.SLEEP, None),
        ({"sleep": 60}, WaitKind.SLEEP, LATE),
        ({"signal": "go"}, WaitKind.SIGNAL, LATE),
        ({"graph": "g", "into": "g"}, WaitKind.CHILDREN, LATE),
    ],
)
def test_a_timeout_can_be_caught_of_a_node_of_any_kind(node: Any, kind: WaitKind, outcome: Failed | None) -> None:
    run = run_of(node_of(node, {"to": "b", "on_error": ["timeout"]}))
    transition = came_out(waited(run, kind, due_us=NOW_US, is_over=True), outcome)
    assert caught(transition) == "b"
    assert (transition.ends_wait, transition.since_us) == (True, NOW_US - HOUR_US)


def lost(losses: int) -> WorkerLost:
    return WorkerLost("the worker one was lost", losses)


def test_a_lost_worker_is_no_failure_that_retry_counts() -> None:
    run = failing(retry={"max_attempts": 2, "backoff_s": 7})
    for losses in (1, 2):
        transition = came_out(run, lost(losses))
        assert (transition.run.status, transition.run.failures) == (Status.WAITING, 0)
        assert transition.wait == Wait(WaitKind.BACKOFF, later_s=losses)
        assert transition.error == RunError("worker_lost", "the worker one was lost", "a", 1, losses)
        assert transition.lines[0].event is Event.STEP_RETRYING
        run = resumed(transition, is_over=True)
    failed = came_out(run, lost(3))
    assert (failed.run.status, error_of(failed), failed.run.attempt) == (Status.FAILED, "worker_lost", 3)
    # After a resume it may lose as many again.
    assert [came_out(run, lost(losses)).wait is None for losses in (4, 5, 6)] == [False, False, True]


def test_a_lost_worker_counts_where_retry_names_it() -> None:
    run = failing(retry={"max_attempts": 2, "backoff_s": 7, "on": ["worker_lost"]})
    transition = came_out(run, lost(1))
    assert (transition.wait, transition.run.failures) == (Wait(WaitKind.BACKOFF, later_s=7), 1)
    assert error_of(came_out(resumed(transition, is_over=True), lost(2))) == "worker_lost"


def test_an_error_edge_catches_a_lost_worker() -> None:
    assert caught(came_out(failing({"to": "b", "on_error": ["worker_lost"]}), lost(3))) == "b"
