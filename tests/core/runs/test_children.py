"""Graph nodes: which children are started with what, when their parent looks again, and how they are joined."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.errors import StateInvalid
from service.core.graph import GraphNode
from service.core.join import CHILDREN_MAX, DEPTH_MAX, STARTS_MAX, count_children, join_states, plan_starts
from service.core.moves import Failed, Gather, Gathered
from service.core.next_move import next_move
from service.core.run import Event, Run, Transition, Wait, WaitKind
from service.core.state import State
from service.core.transitions import Status
from tests.support.core.runs import HOUR_US, NOW_US, ROOM, came_out, node_of, resumed, run_of, waited

SINCE_US = NOW_US - HOUR_US
NONE_YET = Gathered(0, 0)


def gathering(state: dict[str, Any], *edges: Any, **fields: Any) -> Run:
    return run_of(node_of({"graph": "g", "into": "made", **fields}, *edges), state)


def each(count: int, **fields: Any) -> Run:
    return gathering({"items": list(range(count)), "n": 1}, "b", for_each="items", **fields)


def states_of(transition: Transition) -> list[dict[str, Any]]:
    return [child.state.to_object() for child in transition.starts]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [{"b": 2, "a": [1.0]}]),
        ({"input": []}, [{}]),
        ({"input": ["a"]}, [{"a": [1.0]}]),
        ({"input": ["a", "b", "a"]}, [{"a": [1.0], "b": 2}]),
        ({"for_each": "a"}, [{"item": 1.0, "index": 0}]),
        ({"for_each": "/a", "input": ["b"]}, [{"b": 2, "item": 1.0, "index": 0}]),
    ],
)
def test_a_child_begins_with_what_the_node_hands_on(fields: dict[str, Any], expected: list[Any]) -> None:
    transition = came_out(gathering({"b": 2, "a": [1.0]}, **fields), NONE_YET)
    assert repr([list(state.items()) for state in states_of(transition)]) == repr([list(e.items()) for e in expected])
    assert [(child.number, child.graph_id) for child in transition.starts] == [(0, "g")]
    child = transition.starts[0].state
    assert child == State.of(child.to_object(), ROOM)


def test_item_and_index_win_over_input() -> None:
    run = gathering({"item": "mine", "index": "mine", "x": ["its"]}, for_each="x", input=["item", "index", "x"])
    assert states_of(came_out(run, NONE_YET)) == [{"item": "its", "index": 0, "x": ["its"]}]


def test_an_element_comes_to_its_child_exactly() -> None:
    items = [2**64, -0.0, {"b": [None, True], "a": "é"}, 1.0, 1]
    transition = came_out(gathering({"deep": {"er": items}}, for_each="deep.er"), NONE_YET)
    assert [repr(state["item"]) for state in states_of(transition)] == [repr(item) for item in items]
    assert [state["index"] for state in states_of(transition)] == list(range(5))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"for_each": "nope"}, "nothing at 'nope'; there is 'n', 'x'"),
        ({"for_each": "x.9"}, "nothing at 'x.9'; there is an array of 1 at '/x'"),
        ({"for_each": "n"}, "the value at 'n' is not an array"),
        ({"for_each": "x", "input": ["n", "gone"]}, "'gone'"),
        ({"input": ["gone"]}, "'gone'"),
    ],
)
def test_a_state_that_lacks_what_the_node_asks_for_is_invalid(fields: dict[str, Any], message: str) -> None:
    transition = came_out(gathering({"n": 1, "x": [0]}, **fields), NONE_YET)
    assert transition.error is not None
    assert transition.error.type == "invalid_state"
    assert message in transition.error.message
    assert (transition.run.status, transition.starts) == (Status.FAILED, ())


def test_a_node_has_a_bounded_number_of_children() -> None:
    node = GraphNode(graph="g", into="made", for_each="x")
    most = State.of({"x": [0] * CHILDREN_MAX}, ROOM)
    assert count_children(most, node) == CHILDREN_MAX
    with pytest.raises(StateInvalid, match=f"at most {CHILDREN_MAX} children"):
        count_children(State.of({"x": [0] * (CHILDREN_MAX + 1)}, ROOM), node)
    assert count_children(most, GraphNode(graph="g", into="made")) == 1


def test_children_nest_to_a_bounded_depth() -> None:
    run = gathering({})
    assert came_out(run._replace(depth=DEPTH_MAX - 1), NONE_YET).starts
    transition = came_out(run._replace(depth=DEPTH_MAX), NONE_YET)
    assert transition.error is not None
    assert (transition.error.type, transition.starts) == ("invalid_state", ())
    assert f"{DEPTH_MAX} deep" in transition.error.message


def test_all_children_are_started_at_once_where_nothing_bounds_them() -> None:
    transition = came_out(each(3), NONE_YET)
    assert [child.number for child in transition.starts] == [0, 1, 2]
    assert transition.wait == Wait(WaitKind.CHILDREN, open_max=0)
    assert [line.event for line in transition.lines] == [Event.RUN_WAITING]
    assert (transition.run.status, transition.step) == (Status.WAITING, None)


def test_one_commit_starts_a_hundred_children_and_the_next_follows_at_once() -> None:
    run, started, batches = each(2 * STARTS_MAX + 1), 0, []
    while True:
        transition = came_out(run, Gathered(started, started))
        batches.append([child.number for child in transition.starts])
        started += len(transition.starts)
        if transition.wait is not None:
            break
        assert transition.run == run
        assert (transition.step, transition.error, transition.lines, transition.ends_wait) == (None, None, (), False)
    assert [number for batch in batches for number in batch] == list(range(2 * STARTS_MAX + 1))
    assert [len(batch) for batch in batches] == [STARTS_MAX, STARTS_MAX, 1]


def test_exactly_a_hundred_children_need_no_second_commit() -> None:
    transition = came_out(each(STARTS_MAX), NONE_YET)
    assert (len(transition.starts), transition.run.status) == (STARTS_MAX, Status.WAITING)


def test_one_commit_starts_no_more_children_than_it_can_soon_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.core.join.STARTS_BYTES_MAX", 1000)
    run = gathering({"items": [1, 2, 3], "much": "x" * 500}, for_each="items", input=["much"])
    first = came_out(run, NONE_YET)
    assert ([child.number for child in first.starts], first.wait) == ([0, 1], None)
    rest = came_out(run, Gathered(2, 2))
    assert ([child.number for child in rest.starts], rest.wait) == ([2], Wait(WaitKind.CHILDREN, open_max=0))


@given(st.integers(0, 250), st.none() | st.integers(1, 120), st.data())
def test_so_many_run_as_may_and_their_parent_looks_again_when_there_is_something_to_do(
    total: int, max_parallel: int | None, data: st.DataObject
) -> None:
    node = GraphNode(graph="g", into="made", for_each="items", max_parallel=max_parallel)
    run = each(total)
    started, still_open, seen = 0, 0, []
    while started < total:
        found = plan_starts(run, node, Gathered(started, still_open))
        seen += [child.number for child in found.starts]
        assert len(found.starts) <= STARTS_MAX
        started, still_open = started + len(found.starts), still_open + len(found.starts)
        assert max_parallel is None or still_open <= max_parallel
        if found.has_more:
            assert len(found.starts) == STARTS_MAX
            continue
        assert started == total or still_open == max_parallel
        assert found.open_max == (0 if started == total else still_open - 1)
        still_open = data.draw(st.integers(0, found.open_max))
    assert seen == list(range(total))


def test_a_parent_that_looks_too_early_starts_nothing_and_waits_as_before() -> None:
    run = waited(each(5, max_parallel=2, timeout_s=7), WaitKind.CHILDREN, due_us=NOW_US + 9)
    transition = came_out(run, Gathered(2, 2))
    assert transition.starts == ()
    assert transition.wait == Wait(WaitKind.CHILDREN, due_us=NOW_US + 9, since_us=SINCE_US, open_max=1)
    assert transition.lines == ()


def test_a_child_that_is_done_makes_room_for_the_next() -> None:
    run = waited(each(5, max_parallel=2), WaitKind.CHILDREN)
    transition = came_out(run, Gathered(2, 1))
    assert [child.number for child in transition.starts] == [2]
    assert transition.wait == Wait(WaitKind.CHILDREN, since_us=SINCE_US, open_max=1)
    last = came_out(run, Gathered(4, 1))
    assert [child.number for child in last.starts] == [4]
    assert last.wait is not None
    assert last.wait.open_max == 0


@pytest.mark.parametrize(
    ("fields", "states", "made"),
    [
        ({}, ['{"n":1.0}'], {"n": 1.0}),
        ({"for_each": "x"}, ['{"n":1.0}'], [{"n": 1.0}]),
        ({"for_each": "x"}, ['{"n":2}', "{}", '{"n":0}'], [{"n": 2}, {}, {"n": 0}]),
        ({"for_each": "x"}, [], []),
    ],
)
def test_children_are_joined_in_the_order_of_the_elements(fields: dict[str, Any], states: list[str], made: Any) -> None:
    run = waited(gathering({"x": [0] * len(states)}, "b", **fields), WaitKind.CHILDREN)
    transition = came_out(run, Gathered(len(states), 0, states=states))
    assert transition.step is not None
    assert list(transition.step.changes.set) == ["made"]
    assert repr(transition.run.state.to_object()["made"]) == repr(made)
    assert (transition.run.node, transition.ends_wait, transition.since_us) == ("b", True, SINCE_US)
    assert (transition.cancels_children, transition.starts) == (False, ())


def test_an_empty_array_completes_at_once() -> None:
    transition = came_out(each(0), Gathered(0, 0, states=[]))
    assert transition.step is not None
    assert transition.run.state.to_object() == {"items": [], "n": 1, "made": []}
    assert (transition.wait, transition.ends_wait, transition.since_us) == (None, False, None)


def test_children_that_end_after_the_timeout_but_before_it_is_handled_count() -> None:
    run = waited(each(1, timeout_s=1), WaitKind.CHILDREN, due_us=NOW_US, is_over=True)
    assert came_out(run, Gathered(1, 0, states=["{}"])).step is not None


@pytest.mark.parametrize(
    ("failed", "message"),
    [
        ((3, "failed", "tool_error: boom"), "child 3 failed (run c3): tool_error: boom"),
        ((0, "cancelled", ""), "child 0 cancelled (run c0)"),
    ],
)
def test_the_first_child_that_fails_fails_the_node_and_cancels_its_siblings(
    failed: tuple[int, str, str], message: str
) -> None:
    run = waited(each(9), WaitKind.CHILDREN, due_us=NOW_US, is_over=True)
    transition = came_out(run, Gathered(9, 4, failed=failed, failed_id=f"c{failed[0]}"))
    assert transition.error is not None
    assert (transition.error.type, transition.error.message) == ("child_failed", message)
    assert (transition.cancels_children, transition.ends_wait, transition.since_us) == (True, True, SINCE_US)
    assert (transition.run.status, transition.starts) == (Status.FAILED, ())


def test_children_that_are_not_done_in_time_are_cancelled() -> None:
    run = waited(each(9, max_parallel=2, timeout_s=60), WaitKind.CHILDREN, due_us=NOW_US, is_over=True)
    transition = came_out(run, Gathered(4, 1))
    assert transition.error is not None
    assert (transition.error.type, transition.error.message) == ("timeout", "the children did not finish within 60 s")
    assert (transition.cancels_children, transition.ends_wait, transition.since_us) == (True, True, SINCE_US)
    assert transition.starts == ()


def test_whatever_fails_the_node_cancels_its_children() -> None:
    huge = Gathered(1, 0, states=['{"x":"' + "x" * ROOM + '"}'])
    for outcome in (Failed("invalid_state", "no"), huge):
        transition = came_out(waited(each(1), WaitKind.CHILDREN), outcome)
        assert transition.error is not None
        assert transition.error.type == "invalid_state"
        assert (transition.cancels_children, transition.since_us) == (True, SINCE_US)


def test_a_node_that_is_tried_again_starts_its_children_anew() -> None:
    run = waited(each(2, retry={"backoff_s": 0}), WaitKind.CHILDREN)
    transition = came_out(run, Gathered(2, 1, failed=(0, "failed", "")))
    assert transition.cancels_children
    assert transition.wait == Wait(WaitKind.BACKOFF, later_s=0.0)
    assert not transition.ends_wait
    again = resumed(transition, is_over=True)
    move = next_move(again)
    assert isinstance(move, Gather)
    assert move.attempt == 2
    begun = came_out(again, NONE_YET)
    assert [child.number for child in begun.starts] == [0, 1]
    assert begun.wait == Wait(WaitKind.CHILDREN, open_max=0)


def test_an_error_edge_takes_what_a_child_did() -> None:
    run = gathering({"x": [0]}, {"to": "c", "on_error": ["child_failed"]}, for_each="x")
    transition = came_out(waited(run, WaitKind.CHILDREN), Gathered(1, 0, failed=(0, "failed", "boom")))
    assert (transition.run.node, transition.run.status) == ("c", Status.RUNNING)
    assert (transition.cancels_children, transition.ends_wait) == (True, True)


@given(st.lists(st.dictionaries(st.text("ab"), st.integers())))
def test_what_is_joined_is_the_array_of_the_states(states: list[dict[str, Any]]) -> None:
    node = GraphNode(graph="g", into="made", for_each="x")
    assert json.loads(join_states(node, [json.dumps(state) for state in states])) == states
