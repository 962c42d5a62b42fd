"""The commands that steer runs, create graphs and set limits. Each is one call, whose answer is printed."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from service.cli import asking, inputs, output, text
from service.core import codec
from service.core.errors import StartRefused
from service.settings import Settings

PAGE_MAX = 1000


def create(settings: Settings, arguments: argparse.Namespace) -> int:
    """Store a graph, and print its id and what looks wrong with it."""
    content = inputs.graph_of(arguments.file)
    created = _post(settings, arguments, "/graph/create", content, what=str(arguments.file))
    for warning in [] if arguments.json else created["warnings"]:
        asking.note(f"{warning['pointer']}: {warning['message']}")
    return _print(arguments, created, f"graph {created['graph_id']}")


def signal(settings: Settings, arguments: argparse.Namespace) -> int:
    """Send a run a signal with a payload, `null` by default."""
    payload = inputs.json_of("the payload", arguments.payload)
    run_id = asking.known_run_id(arguments.run_id)
    sent = _post(settings, arguments, f"/runs/{run_id}/signals/{quote(arguments.name, safe='')}", payload)
    return _print(arguments, sent, f"run {run_id} has the signal {arguments.name!r:.200}")


def cancel(settings: Settings, arguments: argparse.Namespace) -> int:
    return _steer(settings, arguments, "cancel", {})


def pause(settings: Settings, arguments: argparse.Namespace) -> int:
    return _steer(settings, arguments, "pause", {})


def resume(settings: Settings, arguments: argparse.Namespace) -> int:
    """Let a paused run go on, or a failed one try its node again; with a patch of its state if one is given."""
    return _steer(settings, arguments, "resume", {"patch": _patch_of(arguments), "max_steps": arguments.max_steps})


def fork(settings: Settings, arguments: argparse.Namespace) -> int:
    """Start a new run from the state of another one after a step."""
    run_id = asking.known_run_id(arguments.run_id)
    body = {"step": arguments.step, "patch": _patch_of(arguments), "graph_id": arguments.graph, "node": arguments.node}
    forked = _post(settings, arguments, f"/runs/{run_id}/fork", _body(body), what="the fork")
    return _print(arguments, forked, f"run {forked['run_id']}")


def backtest(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print where the runs of one graph would have gone by the edges of another one."""
    runs = {"graph_id": arguments.runs, "status": arguments.status, "limit": arguments.limit}
    wanted = {"runs": {name: value for name, value in runs.items() if value is not None}}
    found = _post(settings, arguments, f"/graph/{quote(arguments.graph, safe='')}/backtest", _body(wanted))
    if arguments.json:
        output.print_json(found)
        return 0
    output.print_facts({name: found[name] for name in ("runs", "steps", "diverging_runs")})
    head = ["run_id", "step", "node", "went", "would_go", "because"]
    rows = [[str(each[name] if each[name] is not None else "end") for name in head] for each in found["examples"]]
    output.print_table(["id", *head[1:]], rows, nothing="no run would have gone another way")
    return 0


def limits(settings: Settings, arguments: argparse.Namespace) -> int:
    """List the limits on attempts, or set or delete one."""
    is_list = arguments.action == "list"
    if is_list is not (arguments.name is None) or (arguments.action == "set") is (arguments.max is None):
        raise StartRefused("write `limits`, `limits set NAME --max N [--per 1m]` or `limits delete NAME`")
    if is_list:
        return _list_limits(settings, arguments)
    path = f"/limits/{quote(arguments.name, safe='')}"
    if arguments.action == "delete":
        gone = _call(settings, arguments, "DELETE", path)
        return _print(arguments, gone, f"the limit {arguments.name!r:.200} is deleted")
    body = _body({"max": arguments.max, "per_s": arguments.per})
    made = _call(settings, arguments, "PUT", path, body, what="the limit")
    period = "at once" if made["per_s"] is None else f"within any {made['per_s']:g} s"
    return _print(arguments, made, f"the limit {arguments.name!r:.200} is {made['max']} {period}")


def _list_limits(settings: Settings, arguments: argparse.Namespace) -> int:
    async def ask() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        params: dict[str, Any] = {"limit": PAGE_MAX}
        async with asking.reading(settings) as server:
            while True:
                page = await server.ask("GET", "/limits", params=params)
                found += page["items"]
                if page["next_cursor"] is None:
                    return found
                params["cursor"] = page["next_cursor"]

    found = asking.run(ask())
    if arguments.json:
        output.print_json(found)
        return 0
    head = ["name", "max", "per_s", "in_use", "waiting"]
    rows = [[text.cell("" if each[name] is None else str(each[name])) for name in head] for each in found]
    output.print_table(head, rows, nothing="no limits")
    return 0


def _steer(settings: Settings, arguments: argparse.Namespace, action: str, body: dict[str, Any]) -> int:
    run_id = asking.known_run_id(arguments.run_id)
    answer = _post(settings, arguments, f"/runs/{run_id}/{action}", _body(body))
    return _print(arguments, answer, f"run {run_id} is {answer['status']}")


def _patch_of(arguments: argparse.Namespace) -> Any:
    if arguments.patch is None:
        return None
    patch = codec.decode(inputs.json_of("--patch", arguments.patch))
    if not isinstance(patch, dict):
        raise StartRefused("--patch is no JSON object, and a patch of a state is one")
    return patch


def _body(members: dict[str, Any]) -> bytes:
    """Return a body with the members that were given."""
    return codec.encode({name: value for name, value in members.items() if value is not None}).encode()


def _post(
    settings: Settings, arguments: argparse.Namespace, path: str, content: bytes, what: str = "the call"
) -> dict[str, Any]:
    return _call(settings, arguments, "POST", path, content, what)


def _call(
    settings: Settings,
    arguments: argparse.Namespace,
    method: str,
    path: str,
    content: bytes = b"",
    what: str = "the call",
) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        must_exist = path != "/graph/create" and method != "PUT"
        async with asking.executing(settings, arguments.command, must_exist=must_exist) as server:
            answer = await server.ask(method, path, what=what, content=content, headers=inputs.JSON)
            if server.address is None and arguments.command in ("signal", "resume", "fork"):
                asking.note("no server runs on this database; the run goes on as soon as one does: rungraph serve")
            return answer

    return asking.run(ask())


def _print(arguments: argparse.Namespace, answer: dict[str, Any], shown: str) -> int:
    if arguments.json:
        output.print_json(answer)
    else:
        print(shown, flush=True)
    return 0
