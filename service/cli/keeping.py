"""The commands that delete old runs, make backups and restore them."""

from __future__ import annotations

import argparse
from typing import Any

from service.cli import asking, inputs, output
from service.core import codec
from service.settings import Settings


def prune(settings: Settings, arguments: argparse.Namespace) -> int:
    """Delete the runs that ended long ago and that nothing needs, and print how many there were."""
    rule = {"older_than_s": arguments.older_than, "status": arguments.status, "graph": arguments.graph}
    rule |= {"keep_last": arguments.keep_last, "dry_run": arguments.dry_run}
    found = asking.run(_prune(settings, {name: value for name, value in rule.items() if value is not None}))
    if arguments.json:
        output.print_json(found)
    elif arguments.dry_run:
        print(f"{found['matched']:,} runs would be deleted")
    else:
        print(f"{found['done']:,} runs were deleted")
    return 0


async def _prune(settings: Settings, rule: dict[str, Any]) -> dict[str, int]:
    """Prune until a pass over all runs deletes none: a run may be kept only until its fork or parent is deleted."""
    total = {"matched": 0, "done": 0}
    async with asking.executing(settings, "prune", must_exist=True) as server:
        is_done = False
        while not is_done:
            done, cursor, is_first = 0, None, True
            while is_first or cursor is not None:
                body = codec.encode(rule if cursor is None else rule | {"cursor": cursor}).encode()
                page = await server.ask("POST", "/runs/prune", what="the prune", content=body, headers=inputs.JSON)
                total = {name: total[name] + page[name] for name in total}
                done, cursor, is_first = done + page["done"], page["next_cursor"], False
            is_done = not done
    return total
