"""The commands that look at a run or a graph and change nothing."""

from __future__ import annotations

import argparse
from typing import Any

from service.cli import asking, output, text
from service.client import calls
from service.settings import Settings


def state(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print where a run is, and its state. With --step, print only its state after that step."""
    run_id = asking.known_run_id(arguments.run_id)
    if arguments.step is not None:
        found = asking.read(settings, calls.state(run_id, arguments.step))
        return output.print_answer(arguments, found, lambda: output.print_state(found["state"]))
    found = asking.read(settings, calls.tail(run_id))
    found.pop("logs")

    def show() -> None:
        shown = ("run_id", "graph_id", "status", "step", "current_node", "error", "created_at", "finished_at")
        output.print_facts({name: found[name] for name in shown if found[name] is not None})
        output.print_state(found["state"])

    return output.print_answer(arguments, found, show)


def why(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print why a run is where it is, its last decision, and the attempts of its current step."""
    found = asking.read(settings, calls.why(asking.known_run_id(arguments.run_id)))

    def show() -> None:
        last = found["last_decision"]
        decided = last and f"step {last['step']}, {last['node']} → {last['to'] or 'end'} ({last['reason']})"
        facts = {"status": found["status"], "because": found["because"], "waiting for": found.get("waiting_for")}
        facts |= {"due at": found.get("due_at"), "last decision": decided}
        facts |= {f"attempt {each['attempt']}": each["error"] or "no error" for each in found["attempts"]}
        output.print_facts({name: value for name, value in facts.items() if value is not None})

    return output.print_answer(arguments, found, show)


def steps(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the committed steps of a run: what each changed, and where the run went."""
    run_id = asking.known_run_id(arguments.run_id)
    limit = arguments.limit
    size = min(calls.PAGE_MAX, limit + 1)
    # One step above the limit is read, to learn whether there are more.
    read = asking.read_items(settings, lambda after: calls.steps(run_id, after or arguments.after, size), limit + 1)
    found = read[:limit]

    def show() -> None:
        rows = []
        for step in found:
            decision, changes = step["decision"], step["changes"]
            changed = [*changes["set"], *(f"-{key}" for key in changes["unset"])]
            went = f"{decision['to'] or 'end'} ({decision['reason']})"
            cells = (step["node"] or "", ", ".join(changed), went)
            rows.append([str(step["step"]), *map(text.cell, cells), f"{step['duration_ms']:,} ms"])
        output.print_table(["step", "node", "changed", "went to", "took"], rows, nothing="no steps")

    after = found[-1]["step"] if len(read) > limit else None
    return output.print_answer(arguments, {"items": found, "next_cursor": after}, show)


def show_graph(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the definition of the graph with the given id, or of the latest graph of the given name."""

    async def find() -> dict[str, Any]:
        async with asking.reading(settings) as server:
            return await server.ask(calls.graph(await asking.graph_id_of(server, arguments.graph)))

    found = asking.run(find())

    def show() -> None:
        output.print_facts({"graph": found["graph_id"], "name": found["name"], "created at": found["created_at"]})
        output.print_state(found["definition"])

    return output.print_answer(arguments, found, show)


def tools(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the tools of the server or, if there is none, the tools that this command itself loads."""
    found = asking.read(settings, calls.tools(), with_tools=True)

    def show() -> None:
        rows = [
            [
                text.cell(each["name"]),
                " ".join(each["parameters"]),
                text.cell((each["description"] or "").split("\n")[0]),
            ]
            for each in found["items"]
        ]
        output.print_table(["tool", "takes", "description"], rows, nothing="no tools")

    return output.print_answer(arguments, found, show)


def schema(_: Settings, __: argparse.Namespace) -> int:
    """Print the JSON Schema of graph documents, with which an editor can check a file."""
    import json

    from service.api.responses.graph_schema import schema_document  # slow to import

    print(json.dumps(schema_document(), indent=2, ensure_ascii=False))
    return 0
