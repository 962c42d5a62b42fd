"""What a run does next: one move for each kind of node, none at rest, and a hold at a limit."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.graph import GraphNode, SignalNode, SleepNode
from service.core.moves import CallTool, Gather, Move, PauseRun, Receive, Sleep
from service.core.next_move import CRASHES_MAX, limit_reached, next_move
from service.core.run import WaitKind
from service.core.transitions import Status
from tests.support.core.runs import node_of, run_of, waited

LOOP = node_of({"tool": "add", "metadata": {"by": 1}}, "a")
SLEEP = SleepNode(sleep=5)
SIGNAL = SignalNode(signal="go", into="go")
CHILD = GraphNode(graph="g", into="g")


@pytest.mark.parametrize(
    ("node", "move"),
    [
        ({"tool": "add", "metadata": {"by": 1}}, CallTool("a", "add", {"by": 1}, 5, 2)),
        ({"tool": "add", "timeout_s": 2.5}, CallTool("a", "add", {}, 5, 2, timeout_s=2.5)),
        ({"tool": "add", "isolate": True}, CallTool("a", "add", {}, 5, 2, isolate=True)),
        ({"tool": "add", "pure": False}, CallTool("a", "add", {}, 5, 2, may_be_pure=False)),
        ({"tool": "add", "on": "cluster"}, CallTool("a", "add", {}, 5, 2, resources={})),
        (
            {"tool": "add", "on": {"cluster": {"resources": {"GPU": 1}}}},
            CallTool("a", "add", {}, 5, 2, resources={"GPU": 1}),
        ),
        ({"sleep": 5}, Sleep(SLEEP)),
        ({"signal": "go"}, Receive(SIGNAL)),
        ({"graph": "g", "into": "g"}, Gather(CHILD, 5, 2)),
    ],
    ids=lambda value: f"{value!r:.40}",
)
def test_each_kind_of_node_has_its_move(node: Any, move: Move) -> None:
    assert next_move(run_of(node_of(node), step=4, attempt=2)) == move


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.RUNNING])
def test_a_run_that_does_not_run_rests(status: Status) -> None:
    assert next_move(run_of(LOOP, status=status)) is None


def test_a_run_at_no_node_rests() -> None:
    assert next_move(run_of(LOOP, node=None)) is None


def test_after_five_crashes_in_a_row_a_tool_is_tried_in_isolation_only() -> None:
    assert CRASHES_MAX == 5
    isolated = {}
    for crashes in range(8):
        move = next_move(run_of(LOOP, crashes=crashes))
        assert isinstance(move, CallTool)
        isolated[crashes] = move.isolate
    assert isolated == {crashes: crashes >= 5 for crashes in range(8)}


def test_what_a_run_has_waited_for_makes_no_other_move() -> None:
    for node, kind in (({"sleep": 5}, WaitKind.SLEEP), ("add", WaitKind.BACKOFF)):
        run = run_of(node_of(node))
        assert next_move(waited(run, kind, is_over=True)) == next_move(run)


@pytest.mark.parametrize(("step", "is_held"), [(1, False), (2, True), (3, True)])
def test_a_run_at_max_steps_is_held(step: int, is_held: bool) -> None:
    move = next_move(run_of({**LOOP, "max_steps": 2}, step=step))
    assert isinstance(move, PauseRun) is is_held
    if isinstance(move, PauseRun):
        assert move.because == f"reached max_steps: {step} of 2 steps"


def test_patches_do_not_count_for_max_steps() -> None:
    run = run_of({**LOOP, "max_steps": 2}, step=5, patches=4)
    assert isinstance(next_move(run), CallTool)
    assert isinstance(next_move(run._replace(patches=3)), PauseRun)


def test_what_a_resume_set_is_in_place_of_the_graphs_max_steps() -> None:
    run = run_of({**LOOP, "max_steps": 2}, step=2)
    assert isinstance(next_move(run._replace(max_steps=3)), CallTool)
    assert isinstance(next_move(run._replace(max_steps=2)), PauseRun)
    assert isinstance(next_move(run_of({**LOOP, "max_steps": 5}, step=2, max_steps=1)), PauseRun)


@pytest.mark.parametrize("node", [{"tool": "add"}, {"sleep": 1}, {"signal": "go"}, {"graph": "g", "into": "g"}])
def test_a_node_of_any_kind_is_held_at_its_own_max_visits(node: dict[str, Any]) -> None:
    run = run_of(node_of({**node, "max_visits": 2}))
    assert not isinstance(next_move(run), PauseRun)
    assert not isinstance(next_move(run._replace(visits={"a": 1, "b": 7})), PauseRun)
    assert next_move(run._replace(visits={"a": 2})) == PauseRun("reached max_visits of a: 2")


def test_a_node_without_max_visits_has_none() -> None:
    assert limit_reached(run_of(LOOP, visits={"a": 10**9})) is None


def test_a_run_that_rests_at_a_limit_is_not_held_again() -> None:
    assert next_move(run_of({**LOOP, "max_steps": 1}, step=1, status=Status.PAUSED)) is None
