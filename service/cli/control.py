"""The commands that steer runs, create graphs and set limits. Each is one call, whose answer is printed."""

from __future__ import annotations

import argparse
from typing import Any

from service.cli import asking, inputs, output, text
from service.client import Request, calls
from service.core import codec
from service.core.errors import StartRefused
from service.settings import Settings

_GOES_ON = "the run goes on"


def create(settings: Settings, arguments: argparse.Namespace) -> int:
    """Store a graph, and print its id and what looks wrong with it."""
    content = inputs.graph_of(arguments.file)

    async def ask() -> dict[str, Any]:
        async with asking.executing(settings, arguments.command) as server:
            if server.address and arguments.tools:
                asking.note(f"the server at {server.address} checks the graph with its own tools and not with --tools")
            return await server.ask(calls.create(content), what=str(arguments.file))

    created = asking.run(ask())
    for warning in [] if arguments.json else created["warnings"]:
        asking.note(f"{warning['pointer']}: {warning['message']}")
    return output.print_answer(arguments, created, f"graph {created['graph_id']}")


def signal(settings: Settings, arguments: argparse.Namespace) -> int:
    """Send a run a signal with a payload, `null` by default."""
    payload = inputs.json_of("the payload", arguments.payload)
    run_id = asking.known_run_id(arguments.run_id)
    sent = asking.change(settings, arguments.command, calls.signal(run_id, arguments.name, payload), then=_GOES_ON)
    return output.print_answer(arguments, sent, f"run {run_id} has the signal {arguments.name!r:.200}")


def cancel(settings: Settings, arguments: argparse.Namespace) -> int:
    return _steer(settings, arguments, calls.cancel(asking.known_run_id(arguments.run_id)))


def pause(settings: Settings, arguments: argparse.Namespace) -> int:
    return _steer(settings, arguments, calls.pause(asking.known_run_id(arguments.run_id)))


def resume(settings: Settings, arguments: argparse.Namespace) -> int:
    """Let a paused run go on, or a failed one try its node again. The patch, if given, changes its state first."""
    run_id = asking.known_run_id(arguments.run_id)
    request = calls.resume(run_id, _patch_of(arguments), arguments.max_steps)
    return _steer(settings, arguments, request, then=_GOES_ON)


def fork(settings: Settings, arguments: argparse.Namespace) -> int:
    """Start a new run from the state of another one after a step."""
    run_id = asking.known_run_id(arguments.run_id)
    request = calls.fork(run_id, arguments.step, _patch_of(arguments), arguments.graph, arguments.node)
    forked = asking.change(settings, arguments.command, request, what="the fork", then=_GOES_ON)
    return output.print_answer(arguments, forked, f"run {forked['run_id']}")


def backtest(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print where the runs of one graph would have gone by the edges of another one."""
    runs = {"graph_id": arguments.runs, "status": arguments.status, "limit": arguments.limit}
    found = asking.read(settings, calls.backtest(arguments.graph, runs))

    def show() -> None:
        output.print_facts({name: found[name] for name in ("runs", "steps", "diverging_runs")})
        head = ["run_id", "step", "node", "went", "would_go", "because"]
        rows = [[str(each[name] if each[name] is not None else "end") for name in head] for each in found["examples"]]
        output.print_table(["id", *head[1:]], rows, nothing="no run would have gone another way")

    return output.print_answer(arguments, found, show)


def limits(settings: Settings, arguments: argparse.Namespace) -> int:
    """List the limits on attempts, or set or delete one."""
    is_list, name = arguments.action == "list", arguments.name
    if is_list is not (name is None) or (arguments.action == "set") is (arguments.max is None):
        raise StartRefused("write `limits`, `limits set NAME --max N [--per 1m]` or `limits delete NAME`")
    if is_list:
        return _list_limits(settings, arguments)
    if arguments.action == "delete":
        gone = asking.change(settings, arguments.command, calls.delete_limit(name))
        return output.print_answer(arguments, gone, f"the limit {name!r:.200} is deleted")
    request = calls.put_limit(name, arguments.max, arguments.per)
    made = asking.change(settings, arguments.command, request, what="the limit", must_exist=False)
    period = "at once" if made["per_s"] is None else f"within any {made['per_s']:g} s"
    return output.print_answer(arguments, made, f"the limit {name!r:.200} is {made['max']} {period}")


def _list_limits(settings: Settings, arguments: argparse.Namespace) -> int:
    found = asking.read_items(settings, calls.limits)

    def show() -> None:
        head = ["name", "max", "per_s", "in_use", "waiting"]
        rows = [[text.cell("" if each[name] is None else str(each[name])) for name in head] for each in found]
        output.print_table(head, rows, nothing="no limits")

    return output.print_answer(arguments, found, show)


def _steer(settings: Settings, arguments: argparse.Namespace, request: Request, then: str | None = None) -> int:
    answer = asking.change(settings, arguments.command, request, then=then)
    return output.print_answer(arguments, answer, f"run {arguments.run_id} is {answer['status']}")


def _patch_of(arguments: argparse.Namespace) -> Any:
    if arguments.patch is None:
        return None
    patch = codec.decode(inputs.json_of("--patch", arguments.patch))
    if not isinstance(patch, dict):
        raise StartRefused("--patch is no JSON object, and a patch of a state is one")
    return patch
