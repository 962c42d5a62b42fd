"""Explain what a run does or waits for: in one sentence for people, and as data for programs."""

from __future__ import annotations

from typing import Any, assert_never

from service.api.responses import texts
from service.core import codec
from service.core.routing.conditions import Reason
from service.core.run import WaitKind
from service.core.tool import CLUSTER
from service.core.transitions import Status
from service.store.rows.records import StepRecord, WaitRecord, WhyRecord

_MESSAGE_CHARS_MAX = 2000


def explain(why: WhyRecord) -> dict[str, Any]:
    """Return the answer of `GET /runs/{run_id}/why`."""
    last = why.last_step
    answer: dict[str, Any] = {"status": why.run.status, "because": because(why)}
    if (wait := _wait_of(why)) is not None:
        answer["waiting_for"] = _waiting_for(wait)
        if wait.due_at is not None:
            answer["due_at"] = wait.due_at
    match _on_cluster(why):
        case {"worker": name, "address": address, **rest}:
            dashboard = {"dashboard": rest["dashboard"]} if "dashboard" in rest else {}
            answer["worker"] = {"name": name, "address": address, **dashboard}
    answer["last_decision"] = last and {"step": last.step, "node": last.node, **texts.decision(last)}
    answer["attempts"] = texts.attempts(why.attempts)
    return answer


def because(why: WhyRecord) -> str:
    """Return one sentence for people: what the run does, what it waits for, or how it ended."""
    run, wait = why.run, _wait_of(why)
    match Status(run.status):
        case Status.QUEUED if why.missing_tool == CLUSTER:
            return (
                f"It waits since {why.queued_since} for a server that has a cluster,"
                f" on which {_node(run.current_node)} calls its tool."
            )
        case Status.QUEUED if why.missing_tool is not None:
            return (
                f"It waits since {why.queued_since} for a server that has the tool {why.missing_tool!r:.200},"
                f" which {_node(run.current_node)} calls."
            )
        case Status.QUEUED:
            return f"It is ready to run {_node(run.current_node)}, and waits for a server since {why.queued_since}."
        case Status.RUNNING:
            pauses = "; it pauses as soon as that is done" if why.pause_asked else ""
            return f"{_running(why)}{_blocked(why)}{_describe_cluster(why)}{pauses}."
        case Status.WAITING:
            waits = "is to be looked at" if wait is None else _waits(why, wait)
            return f"{_node(run.current_node, begins=True)} {waits}."
        case Status.PAUSED:
            meanwhile = "" if wait is None else f"; meanwhile {_node(run.current_node)} {_waits(why, wait)}"
            reason = "" if why.paused_because is None else f": {why.paused_because:.{_MESSAGE_CHARS_MAX}}"
            return f"It is paused until somebody resumes it{reason}{meanwhile}."
        case Status.COMPLETED:
            return f"It completed{'' if why.last_step is None else _ending(why.last_step)}."
        case Status.FAILED:
            return f"{_failure(run.error)}."
        case Status.CANCELLED:
            return f"It was cancelled at {run.finished_at}, after {_steps(run.step)}."
        case never:
            assert_never(never)


def _wait_of(why: WhyRecord) -> WaitRecord | None:
    """Return the wait of a waiting or paused run, otherwise None.

    A run that has been woken may keep the row of its finished wait until its step is committed.
    """
    return why.wait if why.run.status in (Status.WAITING, Status.PAUSED) else None


def _waiting_for(wait: WaitRecord) -> dict[str, Any]:
    match WaitKind(wait.kind):
        case WaitKind.SIGNAL | WaitKind.LIMIT:
            return {"kind": wait.kind, "name": wait.name}
        case WaitKind.CHILDREN:
            return {"kind": wait.kind, "open": wait.open}
        case _:
            return {"kind": wait.kind}


def _waits(why: WhyRecord, wait: WaitRecord) -> str:
    at_the_latest = "" if wait.due_at is None else f", until {wait.due_at} at the latest"
    match WaitKind(wait.kind):
        case WaitKind.SLEEP:
            return f"sleeps until {wait.due_at}"
        case WaitKind.SIGNAL:
            return f"waits for the signal {wait.name!r:.200}{at_the_latest}"
        case WaitKind.CHILDREN:
            runs = "the one child run that is not over" if wait.open == 1 else f"{wait.open} child runs"
            return f"waits for {runs}{at_the_latest}"
        case WaitKind.LIMIT:
            return f"waits for a slot of the limit {wait.name!r:.200}, since {wait.since}"
        case WaitKind.BACKOFF:
            error = codec.loads(why.attempts[-1].error or "null") if why.attempts else None
            return f"failed{_with(error)}; it is tried again at {wait.due_at}"
        case never:
            assert_never(never)


def _running(why: WhyRecord) -> str:
    run = why.run
    failed = len(why.attempts)
    tried = "" if not failed else f", after {failed} failed attempt{'s' if failed > 1 else ''}"
    by = "A server" if why.lease_owner is None else f"The server {why.lease_owner}"
    return f"{by} runs {_node(run.current_node)} as step {run.step + 1}{tried}"


def _blocked(why: WhyRecord) -> str:
    """Name the async tool that blocks the run, or return an empty text if none does.

    The log line is not trusted, because a tool can write a line with the same keys.
    """
    match codec.loads(why.blocked_by or "{}"):
        case {"blocked_by": {"run_id": str(run_id), "tool": str(tool)}}:
            if run_id == why.run.run_id:
                return f", whose async tool {tool!r:.200} blocks all async tools: it does not await"
            return f", and waits for the async tool {tool!r:.200} of run {run_id:.200}, which blocks all async tools"
        case _:
            return ""


def _on_cluster(why: WhyRecord) -> dict[str, str] | None:
    """Return which worker of the cluster calls the tool, or what the call waits for; None if neither is known.

    The log line is not trusted, because a tool can write a line with the same keys.
    """
    match codec.loads(why.on_cluster or "{}"):
        case {"cluster": dict(place)} if all(isinstance(value, str) for value in place.values()):
            return place
        case _:
            return None


def _describe_cluster(why: WhyRecord) -> str:
    match _on_cluster(why):
        case {"worker": worker, "address": address}:
            return f", on the worker {worker:.200} ({address:.200})"
        case {"waits_for": what}:
            return f", and waits for {what:.{_MESSAGE_CHARS_MAX}}"
        case _:
            return ""


def _ending(last: StepRecord) -> str:
    """Describe how the last step ended its run."""
    node = _node(last.node)
    why = {
        Reason.NO_EDGES: f"{node} has no edges",
        Reason.NONE_TRUE: f"no edge of {node} is true",
        Reason.CONDITION: f"an edge of {node} ends the run, and its condition is true",
        Reason.UNCONDITIONAL: f"an edge of {node} ends the run",
        Reason.ON_ERROR: f"an error edge of {node} ends the run",
    }
    return f" after {_steps(last.step)}: {why.get(Reason(last.reason), f'{node} was the last')}"


def _failure(error: str | None) -> str:
    found = codec.loads(error or "null")
    if found is None:
        return "It failed"
    node = _node(found["node"], begins=True)
    return f"{node} failed at step {found['step']}, attempt {found['attempt']},{_with(found)}"


def _with(error: Any) -> str:
    if error is None:
        return ""
    message = str(error["message"])[:_MESSAGE_CHARS_MAX].rstrip(".")
    return f" with {error['type']}{message and ': '}{message}"


def _node(name: str | None, *, begins: bool = False) -> str:
    return f"{'N' if begins else 'n'}ode {name!r:.200}"


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"
