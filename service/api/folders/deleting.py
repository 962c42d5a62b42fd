"""Delete marked runs for good: first their folders, then their rows, a few at a time beside a busy server."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from service.store import Store
from service.store.commands.operations.deletion import MARKED_MAX
from service.store.queries.runs.prunable import Prunable, PruneRule

ROWS_MIN, ROWS_MAX = 100, 2000
"""Rows that one transaction deletes."""
TRANSACTION_S = 0.01
"""How long such a transaction should take: other writes wait for it."""
PAUSE_FACTOR = 5
"""How much longer than a transaction the pause after it is: a deletion takes a sixth of the writer's time."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one page of a prune has done."""

    matched: int
    done: int
    next_cursor: str | None


async def finish(store: Store, runs_folder: Path) -> None:
    """Delete the folders and the rows of all marked runs that no other server is deleting now."""
    async with store.deletions.turn:
        while run_ids := await store.runs.marked(MARKED_MAX):
            await _finish(store, runs_folder, run_ids)
            if run_ids == await store.runs.marked(MARKED_MAX):
                return  # Another server has them.


async def _finish(store: Store, runs_folder: Path, run_ids: list[str]) -> None:
    """Delete the folders of `run_ids`, and their rows in short transactions with pauses between them."""
    await to_thread.run_sync(_remove_folders, runs_folder, run_ids)
    count, is_done = ROWS_MIN, False
    while not is_done:
        is_done, seconds = await store.deletions.sweep(run_ids, count)
        await asyncio.sleep(seconds * PAUSE_FACTOR)
        # Twice as many at most: a row may be much larger than the last ones.
        fitting = count * 2 if seconds <= 0 else int(count * min(2.0, TRANSACTION_S / seconds))
        count = max(ROWS_MIN, min(ROWS_MAX, fitting))


async def prune(
    store: Store, runs_folder: Path, rule: PruneRule, cursor: str | None = None, *, dry_run: bool = False
) -> Pruned:
    """Delete the runs of one page that `rule` selects, parents before their children."""
    page = await store.runs.prunable(rule, cursor)
    if dry_run:
        count = sum(each.parent_id is None or each.has_old_parent for each in page.items)
        return Pruned(count, 0, page.next_cursor)
    done: set[str] = set()
    rest = list(page.items)
    while ready := [each for each in rest if each.parent_id is None or each.parent_id in done]:
        chosen = set(ready)
        rest = [each for each in rest if each not in chosen]
        marked = await _mark(store, ready)
        done |= marked
        if not marked:
            break
    await finish(store, runs_folder)
    return Pruned(len(done), len(done), page.next_cursor)


async def _mark(store: Store, runs: list[Prunable]) -> set[str]:
    marked: set[str] = set()
    for first in range(0, len(runs), MARKED_MAX):
        part = [each.run_id for each in runs[first : first + MARKED_MAX]]
        marked |= set(await store.deletions.mark_all(part))
    return marked


def _remove_folders(runs_folder: Path, run_ids: Iterable[str]) -> None:
    for run_id in run_ids:
        shutil.rmtree(runs_folder / run_id, ignore_errors=True)
