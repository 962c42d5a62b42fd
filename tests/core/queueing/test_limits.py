"""Limits as pure functions: whose turn it is, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.after import after
from service.core.errors import Invalid
from service.core.moves import CallTool, NoSlot
from service.core.next_move import next_move
from service.core.queueing.limits import (
    Limit,
    Place,
    admitted,
    fault_of_name,
    free_slots,
    may_be_postponed,
    period_of,
    turns,
)
from service.core.run import Event, Wait, WaitKind
from service.core.tool import Tool
from service.core.transitions import Status
from service.core.validation import read_graph
from tests.support.core.runs import run_of, waited

limits = st.builds(Limit, st.integers(1, 5), st.sampled_from([0.001, 0.5, 1, 60]))


@given(limits, st.lists(st.integers(0, 100_000), max_size=30), st.integers(1, 12))
def test_no_period_holds_more_than_max_and_none_begins_later_than_it_has_to(
    limit: Limit, pauses: list[int], count: int
) -> None:
    now_us, begun = 0, list[int]()
    for pause in pauses:
        numbered = dict(enumerate(begun, 1))
        [turn] = turns(limit, len(begun), numbered, now_us, 1)
        begun.append(turn)
        now_us = turn + pause
    period_us = period_of(limit.per_s or 0)
    coming = turns(limit, len(begun), dict(enumerate(begun, 1)), now_us, count)
    every = [*begun, *coming]
    assert every == sorted(every)
    for number, at_us in enumerate(every):
        within = [other for other in every[:number] if other > at_us - period_us]
        assert len(within) < limit.max
    for number, at_us in enumerate(coming, len(begun)):
        earlier = every[:number]
        is_earliest = at_us == now_us or len([other for other in earlier if other > at_us - 1 - period_us]) >= limit.max
        assert is_earliest


@given(limits, st.lists(st.tuples(st.integers(0, 1_000_000), st.integers(1, 6)), max_size=40))
def test_no_period_holds_more_than_max_if_attempts_begin_later_than_they_may(
    limit: Limit, actions: list[tuple[int, int]]
) -> None:
    """Each action lets time pass, and then begins an attempt late or gives a slot to one that asks."""
    now_us, begun = 0, dict[int, int]()
    for pause, back in actions:
        now_us += pause
        late = len(begun) + 1 - back
        if back > 1 and late >= 1 and may_be_postponed(limit, begun[late], now_us):
            begun[late] = now_us
        else:
            free = sum(at_us <= now_us for at_us in turns(limit, len(begun), begun, now_us, limit.max))
            begun |= {len(begun) + 1 + number: now_us for number in range(min(free, back))}
    times = sorted(begun.values())
    assert all(
        later - earlier >= period_of(limit.per_s or 0)
        for earlier, later in zip(times, times[limit.max :], strict=False)
    )


def test_attempts_that_are_not_known_began_too_long_ago_to_matter() -> None:
    assert turns(Limit(2, 1), 7, {7: 900_000}, 1_000_000, 3) == [1_000_000, 1_950_000, 2_050_000]


@given(
    st.integers(0, 5),
    st.sets(st.builds(Place, st.integers(-2, 2), st.integers(0, 3), st.sampled_from("abcdef")), max_size=6),
    st.sets(st.builds(Place, st.integers(-2, 2), st.integers(0, 3), st.sampled_from("ghi")), max_size=3),
)
def test_a_slot_goes_to_the_first_of_all(free: int, waiting: set[Place], asking: set[Place]) -> None:
    got = admitted(free, sorted(waiting), asking)
    assert got <= asking
    for place in asking:
        before = [other for other in waiting | asking if other < place]
        assert (place in got) is (len(before) < free)


def test_free_slots_are_never_negative() -> None:
    assert [free_slots(Limit(2), held) for held in (0, 1, 2, 3)] == [2, 1, 0, 0]


# Runs.


GRAPH = {"start_node": "a", "nodes": {"a": {"tool": "add", "limit": "api"}}}


def test_a_run_without_a_slot_is_parked_and_its_attempt_keeps_its_number() -> None:
    run = run_of(GRAPH, attempt=2, failures=1)
    move = next_move(run)
    assert isinstance(move, CallTool)
    assert move.limit == "api"
    parked = after(run, move, NoSlot("api"), 1000)
    assert parked.run == run._replace(status=Status.WAITING)
    assert parked.wait == Wait(WaitKind.LIMIT, "api")
    assert [line.event for line in parked.lines] == [Event.RUN_WAITING]
    again = after(waited(run, WaitKind.LIMIT), move, NoSlot("other"), 1000)
    assert (again.lines, again.error, again.ends_wait) == ((), None, False)
    assert again.wait is not None
    assert again.wait.since_us is not None


def test_a_graph_keeps_its_id_without_a_limit_and_has_another_one_with_it() -> None:
    plain = read_graph({"start_node": "a", "nodes": {"a": {"tool": "add"}}}, ["add"])
    limited = read_graph(GRAPH, ["add"])
    assert plain.document()["nodes"]["a"] == {"tool": "add", "metadata": {}}
    assert limited.document()["nodes"]["a"] == {"tool": "add", "metadata": {}, "limit": "api"}
    assert limited.load(limited.text) == limited
    assert limited.id != plain.id


@pytest.mark.parametrize("limit", [None, 5, "", "x" * 201, "a\0b", ["api"]])
def test_a_limit_is_named_by_a_text_that_an_index_can_hold(limit: object) -> None:
    with pytest.raises(Invalid) as caught:
        read_graph({"start_node": "a", "nodes": {"a": {"tool": "add", "limit": limit}}}, ["add"])
    assert [fault.pointer for fault in caught.value.faults] == ["/nodes/a/limit"]


@pytest.mark.parametrize("kind", [{"sleep": 1}, {"signal": "ok"}, {"graph": "g", "into": "k"}])
def test_only_a_tool_has_a_limit(kind: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        read_graph({"start_node": "a", "nodes": {"a": {**kind, "limit": "api"}}}, [])


def test_a_tool_may_name_a_limit() -> None:
    assert Tool.of(lambda state: state, "t", limit="api").limit == "api"
    assert Tool.of(lambda state: state, "t").limit is None
    for limit in ("", "x" * 201, 5, "\ud800"):
        with pytest.raises(TypeError, match="limit"):
            Tool.of(lambda state: state, "t", limit=limit)  # type: ignore[arg-type]
    assert fault_of_name("api") is None
