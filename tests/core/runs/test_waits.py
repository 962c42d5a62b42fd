"""Nodes that park a run: how a sleep and a signal begin to wait, wait on, end, and time out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core import codec
from service.core.after import AHEAD_MAX_US
from service.core.graph import SECONDS_MAX
from service.core.moves import Failed, Moment, NoSignal, Received
from service.core.run import Event, Run, Transition, Wait, WaitKind
from service.core.transitions import Status
from tests.support.core.runs import HOUR_US, NOW_US, ROOM, came_out, node_of, resumed, run_of, waited

SINCE_US = NOW_US - HOUR_US
DAY_US = 24 * HOUR_US


def sleeping(sleep: Any = 60, **options: Any) -> Run:
    return run_of(node_of({"sleep": sleep, **options}, "b"), {"n": 1})


def listening(**options: Any) -> Run:
    return run_of(node_of({"signal": "go", **options}, "b"), {"n": 1})


def assert_parked(transition: Transition, wait: Wait, said: list[Event]) -> None:
    assert transition.wait == wait
    assert transition.run.status is Status.WAITING
    assert (transition.step, transition.error, transition.ends_wait) == (None, None, False)
    assert [line.event for line in transition.lines] == said


def assert_timed_out(transition: Transition, message: str) -> None:
    assert transition.run.status is Status.FAILED
    assert transition.error is not None
    assert (transition.error.type, transition.error.message) == ("timeout", message)
    assert (transition.ends_wait, transition.since_us, transition.consumes) == (True, SINCE_US, None)


@pytest.mark.parametrize(
    ("sleep", "options", "until_us", "wait"),
    [
        (60, {}, None, Wait(WaitKind.SLEEP, later_s=60.0)),
        (0, {}, None, Wait(WaitKind.SLEEP, later_s=0.0)),
        (0.5, {"timeout_s": 60}, None, Wait(WaitKind.SLEEP, later_s=0.5)),
        (60, {"timeout_s": 0.5}, None, Wait(WaitKind.SLEEP, later_s=0.5)),
        ({"until": "t"}, {}, 7, Wait(WaitKind.SLEEP, due_us=7)),
        ({"until": "t"}, {"timeout_s": 2}, 7, Wait(WaitKind.SLEEP, due_us=7, later_s=2)),
        ({"until": "t"}, {}, -(10**18), Wait(WaitKind.SLEEP, due_us=-(10**18))),
        ({"until": "t"}, {}, NOW_US + AHEAD_MAX_US, Wait(WaitKind.SLEEP, due_us=NOW_US + AHEAD_MAX_US)),
    ],
)
def test_a_sleep_parks_its_run(sleep: Any, options: dict[str, Any], until_us: int | None, wait: Wait) -> None:
    run = sleeping(sleep, **options)
    transition = came_out(run, None if until_us is None else Moment(until_us))
    assert_parked(transition, wait, [Event.RUN_WAITING])
    assert transition.run == run._replace(status=Status.WAITING)
    assert (transition.lines[0].node, transition.lines[0].step, transition.lines[0].attempt) == ("a", 1, 1)


def test_a_moment_more_than_a_hundred_years_ahead_is_none() -> None:
    transition = came_out(sleeping({"until": "t"}), Moment(NOW_US + AHEAD_MAX_US + 1))
    assert transition.error is not None
    assert transition.error.type == "invalid_state"
    assert transition.run.status is Status.FAILED


def test_a_hundred_years_ahead_are_years_of_the_calendar() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    century_us = (now.replace(year=2126) - now) // timedelta(microseconds=1)
    assert 0 <= AHEAD_MAX_US - century_us <= DAY_US
    assert SECONDS_MAX * 1_000_000 == AHEAD_MAX_US


@pytest.mark.parametrize(("sleep", "outcome"), [(60, None), ({"until": "t"}, Moment(NOW_US + 5))])
def test_a_sleep_that_is_not_over_goes_on_as_it_was_and_says_nothing(sleep: Any, outcome: Moment | None) -> None:
    run = waited(sleeping(sleep), WaitKind.SLEEP, due_us=NOW_US + 5)
    wait = Wait(WaitKind.SLEEP, due_us=NOW_US + 5, since_us=SINCE_US)
    assert_parked(came_out(run, outcome), wait, [])


@pytest.mark.parametrize(("sleep", "outcome"), [(60, None), ({"until": "t"}, Moment(NOW_US - 5))])
@pytest.mark.parametrize("options", [{}, {"timeout_s": 10**6}])
def test_a_sleep_that_is_over_is_a_step_that_changes_nothing(
    sleep: Any, outcome: Moment | None, options: dict[str, Any]
) -> None:
    run = waited(sleeping(sleep, **options), WaitKind.SLEEP, due_us=NOW_US - 5, is_over=True)
    transition = came_out(run, outcome)
    assert transition.step is not None
    assert (transition.step.changes.set, transition.step.changes.unset) == ({}, ())
    assert (transition.run.status, transition.run.node, transition.run.waited) == (Status.RUNNING, "b", None)
    # The step began when the run went to sleep.
    assert (transition.wait, transition.ends_wait, transition.since_us) == (None, True, SINCE_US)


@pytest.mark.parametrize(
    ("sleep", "timeout_s", "outcome", "is_cut_short"),
    [
        (60, 59, None, True),
        (60, 60, None, False),
        ({"until": "t"}, 59, Moment(SINCE_US + 60_000_000), True),
        ({"until": "t"}, 60, Moment(SINCE_US + 60_000_000), False),
        ({"until": "t"}, 1, Moment(0), False),
    ],
)
def test_a_sleep_that_is_longer_than_the_nodes_timeout_times_out(
    sleep: Any, timeout_s: int, outcome: Moment | None, is_cut_short: bool
) -> None:
    run = waited(sleeping(sleep, timeout_s=timeout_s), WaitKind.SLEEP, due_us=NOW_US - 5, is_over=True)
    transition = came_out(run, outcome)
    if is_cut_short:
        assert_timed_out(transition, "the timeout of 59 s ended the sleep early")
    else:
        assert transition.step is not None


@given(st.integers(0, 10**6), st.none() | st.integers(1, 10**6), st.booleans())
def test_a_sleep_ends_as_the_shorter_of_its_times_says(sleep_s: int, timeout_s: int | None, is_until: bool) -> None:
    options = {} if timeout_s is None else {"timeout_s": timeout_s}
    outcome = Moment(NOW_US + sleep_s * 1_000_000) if is_until else None
    parked = came_out(sleeping({"until": "t"} if is_until else sleep_s, **options), outcome)
    transition = came_out(resumed(parked, is_over=True, later_s=10**7), outcome)
    assert (transition.step is None) is (timeout_s is not None and timeout_s < sleep_s)


def test_a_new_attempt_sleeps_anew() -> None:
    run = waited(sleeping(), WaitKind.BACKOFF, due_us=NOW_US, is_over=True)
    transition = came_out(run._replace(attempt=2), None)
    assert_parked(transition, Wait(WaitKind.SLEEP, later_s=60.0), [Event.RUN_WAITING])


def test_a_node_that_listens_parks_its_run_until_the_signal_is_there() -> None:
    run = listening()
    assert_parked(came_out(run, NoSignal()), Wait(WaitKind.SIGNAL, "go"), [Event.RUN_WAITING])
    limited = came_out(listening(timeout_s=5), NoSignal())
    assert_parked(limited, Wait(WaitKind.SIGNAL, "go", later_s=5), [Event.RUN_WAITING])


@pytest.mark.parametrize("due_us", [None, NOW_US + 5])
def test_a_node_that_finds_nothing_listens_on_as_it_did(due_us: int | None) -> None:
    run = waited(listening(), WaitKind.SIGNAL, due_us=due_us)
    wait = Wait(WaitKind.SIGNAL, "go", due_us=due_us, since_us=SINCE_US)
    assert_parked(came_out(run, NoSignal()), wait, [])


@pytest.mark.parametrize(("into", "key"), [({}, "go"), ({"into": "n"}, "n"), ({"into": "there"}, "there")])
def test_a_signal_that_was_sent_before_is_taken_at_once(into: dict[str, Any], key: str) -> None:
    transition = came_out(listening(**into, timeout_s=1), Received(3, '{"ok":[1.0]}', 5))
    assert transition.step is not None
    assert {key: entry.text for key, entry in transition.step.changes.set.items()} == {key: '{"ok":[1.0]}'}
    assert transition.run.state.to_object() == {"n": 1} | {key: {"ok": [1.0]}}
    assert (transition.consumes, transition.run.node) == (3, "b")
    assert (transition.wait, transition.ends_wait, transition.since_us) == (None, False, None)


@pytest.mark.parametrize(
    ("due_us", "accepted_us", "is_over", "is_taken"),
    [
        (None, NOW_US, False, True),
        (NOW_US, NOW_US - 1, False, True),
        # Accepted in time, and handled only after the timeout.
        (NOW_US - 9, NOW_US - 10, True, True),
        (NOW_US - 9, NOW_US - 9, True, True),
        (NOW_US - 9, NOW_US - 8, True, False),
    ],
)
def test_a_signal_wins_that_was_accepted_before_the_timeout_however_late_it_is_handled(
    due_us: int | None, accepted_us: int, is_over: bool, is_taken: bool
) -> None:
    run = waited(listening(timeout_s=60), WaitKind.SIGNAL, due_us=due_us, is_over=is_over)
    transition = came_out(run, Received(1, "0", accepted_us))
    if is_taken:
        assert transition.step is not None
        assert (transition.consumes, transition.ends_wait, transition.since_us) == (1, True, SINCE_US)
    else:
        assert_timed_out(transition, "no signal 'go' within 60 s")


def test_a_signal_after_the_timeout_waits_for_the_timeout_to_be_handled() -> None:
    """The claim was just before the timeout, the signal just after it, the look into the mailbox later still."""
    run = waited(listening(timeout_s=60), WaitKind.SIGNAL, due_us=NOW_US + 1)
    wait = Wait(WaitKind.SIGNAL, "go", due_us=NOW_US + 1, since_us=SINCE_US)
    assert_parked(came_out(run, Received(1, "0", NOW_US + 2)), wait, [])


def test_no_signal_in_time_is_a_timeout() -> None:
    run = waited(listening(timeout_s=60), WaitKind.SIGNAL, due_us=NOW_US, is_over=True)
    assert_timed_out(came_out(run, NoSignal()), "no signal 'go' within 60 s")


def test_a_new_attempt_takes_the_signal_that_came_too_late_for_the_last() -> None:
    run = waited(listening(timeout_s=60, retry={"backoff_s": 5}), WaitKind.SIGNAL, due_us=NOW_US - 9, is_over=True)
    late = Received(1, "0", NOW_US)
    retried = came_out(run, late)
    assert retried.wait == Wait(WaitKind.BACKOFF, later_s=5.0)
    assert (retried.ends_wait, retried.since_us, retried.consumes) == (False, SINCE_US, None)
    again = resumed(retried, is_over=True, later_s=5)
    assert again.attempt == 2
    assert came_out(again, late).consumes == 1
    assert_parked(came_out(again, NoSignal()), Wait(WaitKind.SIGNAL, "go", later_s=60), [Event.RUN_WAITING])


@pytest.mark.parametrize(
    ("payload", "message"),
    [('"' + "x" * ROOM + '"', f"more than {ROOM} bytes"), ("[" * 100 + "]" * 100, "deeper than 100")],
)
def test_a_payload_that_no_state_holds_fails_the_node_and_stays_in_the_mailbox(payload: str, message: str) -> None:
    run = waited(listening(), WaitKind.SIGNAL)
    transition = came_out(run, Received(1, payload, NOW_US))
    assert transition.error is not None
    assert transition.error.type == "invalid_state"
    assert message in transition.error.message
    assert (transition.consumes, transition.ends_wait, transition.since_us) == (None, True, SINCE_US)
    assert transition.run.state == run.state


def test_a_condition_error_leaves_the_signal_in_the_mailbox() -> None:
    document = node_of({"signal": "go"}, {"to": "b", "condition": {"key": "go.missing", "op": "==", "value": 1}})
    transition = came_out(waited(run_of(document), WaitKind.SIGNAL), Received(1, "{}", NOW_US))
    assert transition.error is not None
    assert transition.error.type == "condition_error"
    assert (transition.consumes, transition.step, transition.since_us) == (None, None, SINCE_US)


def test_what_waited_and_fails_began_when_it_began_to_wait() -> None:
    for run, kind in ((sleeping({"until": "t"}), WaitKind.SLEEP), (listening(), WaitKind.SIGNAL)):
        transition = came_out(waited(run, kind), Failed("invalid_state", "no"))
        assert (transition.since_us, transition.ends_wait) == (SINCE_US, True)


@given(st.recursive(st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner)))
def test_a_payload_comes_into_the_state_as_it_was_sent(payload: Any) -> None:
    text = codec.encode(payload)
    transition = came_out(listening(), Received(1, text, 0))
    assert transition.run.state.entries["go"].text == text
