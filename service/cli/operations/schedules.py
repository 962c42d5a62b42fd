"""The command `rungraph schedules`: list, show, set, pause, resume, trigger and delete schedules."""

from __future__ import annotations

import argparse
from typing import Any

from service.cli import asking, inputs, output, text
from service.client import Request, calls
from service.core.errors import StartRefused
from service.core.syntax.ids import is_graph_id
from service.settings import Settings

_SHOWN = (
    *("name", "graph", "graph_id", "cron", "every_s", "timezone", "overlap", "catch_up", "paused", "next"),
    *("last_at", "skipped_at", "last_run_id", "tags", "initial_state"),
)


def schedules(settings: Settings, arguments: argparse.Namespace) -> int:
    """List all schedules, or apply `arguments.action` to the schedule `arguments.name`."""
    action, name = arguments.action, arguments.name
    if (action == "list") != (name is None):
        raise StartRefused(f"schedules {action} takes {'no' if name else 'a'} NAME")
    if action == "list":
        return _list(settings, arguments)
    if action == "show":
        found = asking.read(settings, calls.schedule(name))
        facts = {key: found[key] for key in _SHOWN if found[key] is not None}
        return output.print_answer(arguments, found, lambda: output.print_facts(facts))
    then = "runs start" if action in ("set", "resume", "trigger") else None
    found = asking.change(settings, arguments.command, _request_of(arguments), what=f"schedules {action}", then=then)
    return output.print_answer(arguments, found, _told(action, name, found))


def _list(settings: Settings, arguments: argparse.Namespace) -> int:
    found = asking.read_items(settings, calls.schedules)

    def show() -> None:
        rows = []
        for each in found:
            times = each["cron"] or f"every {each['every_s']:g} s"
            next_at = "paused" if each["paused"] else (each["next_at"] or "never")[:19].replace("T", " ")
            cells = (each["name"], each["graph"] or each["graph_id"][:8], times, each["timezone"])
            rows.append([*map(text.cell, cells), next_at, each["last_run_id"] or ""])
        output.print_table(["name", "graph", "times", "zone", "next (UTC)", "last run"], rows, nothing="no schedules")

    return output.print_answer(arguments, found, show)


def _body_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the body that sets a schedule, from the options that were given."""
    graph = arguments.graph
    given = {
        "graph_id": graph if graph is not None and is_graph_id(graph) else None,
        "graph": None if graph is None or is_graph_id(graph) else graph,
        "cron": arguments.cron,
        "every_s": arguments.every,
        "timezone": arguments.timezone,
        "initial_state": None if arguments.state is None else inputs.state_of(arguments.state),
        "tags": dict(arguments.tag) if arguments.tag else None,
        "overlap": arguments.overlap,
        "catch_up": arguments.catch_up,
    }
    return {name: value for name, value in given.items() if value is not None}


def _request_of(arguments: argparse.Namespace) -> Request:
    match arguments.action:
        case "set":
            return calls.put_schedule(arguments.name, _body_of(arguments))
        case "delete":
            return calls.delete_schedule(arguments.name)
        case action:
            return calls.steer_schedule(arguments.name, action)


def _told(action: str, name: str, answer: dict[str, Any]) -> str:
    if action == "trigger":
        return f"run {answer['run_id']}"
    if action == "delete":
        return f"schedule {name!r:.200} is deleted"
    next_at = answer["next_at"] or "never"
    return (
        f"schedule {name!r:.200} is paused" if answer["paused"] else f"schedule {name!r:.200} next ticks at {next_at}"
    )
