"""Delete the folders and the rows of runs that are marked as deleted.

A run's folder is deleted first. The rows are deleted a few at a time, so that a busy server's other writes go on.
"""

from __future__ import annotations

import asyncio
import math
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from service.store import Store
from service.store.commands.operations.deletion import MARKED_MAX
from service.store.queries.runs.prunable import FIRST, Prunable, PruneRule

ROWS_MIN, ROWS_MAX = 100, 2000
"""The fewest and the most rows that one transaction deletes."""
TRANSACTION_S = 0.01
"""How long such a transaction should take: other writes wait for it."""
PAUSE_FACTOR = 11
"""While others write, the pause after a transaction is this many times as long as the transaction. A deletion thus
takes a twelfth of the writer's time. The checkpoints of its changes cost about as much again."""
MARKED_AHEAD_MAX = 1000
"""A prune marks more runs only while at most this many are marked, because every query has to skip marked runs."""
FINISH_WITHIN_S = 20.0
"""How long a page of a prune waits for the deletion of marked runs, before it marks runs and again at the last page."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one page of a prune has done."""

    matched: int
    done: int
    next_cursor: str | None
    """None after the last page. Unless it is a dry run, the folders and rows of all marked runs are then deleted."""


async def finish(store: Store, runs_folder: Path, *, left: int = 0, until: float = math.inf) -> None:
    """Delete the folders and the rows of marked runs, oldest runs first, until at most `left` of them are left.

    Return earlier, with more left, if another server is deleting them now or when the monotonic clock reaches `until`.
    """
    count = ROWS_MIN
    with suppress(TimeoutError):
        # The timeout covers this wait only. If it cancelled a read, the read's database connection would be lost.
        async with asyncio.timeout(None if until == math.inf else until - time.monotonic()):
            await store.deletions.turn.acquire()
        try:
            while time.monotonic() < until and len(run_ids := await store.runs.marked(left + MARKED_MAX)) > left:
                count = await _finish(store, runs_folder, run_ids[:MARKED_MAX], count, until)
                if run_ids == await store.runs.marked(left + MARKED_MAX):
                    return
        finally:
            store.deletions.turn.release()


async def _finish(store: Store, runs_folder: Path, run_ids: list[str], count: int, until: float) -> int:
    """Delete the folders of `run_ids`, and their rows in short transactions with pauses between them.

    The first transaction deletes up to `count` rows. Return how many the next transaction should delete. Stop early
    when the monotonic clock reaches `until`.
    """
    await to_thread.run_sync(_remove_folders, runs_folder, run_ids)
    is_done = False
    while not is_done and time.monotonic() < until:
        is_done, seconds, is_alone = await store.deletions.sweep(run_ids, count)
        await asyncio.sleep(0 if is_alone else seconds * PAUSE_FACTOR)
        if not is_done:
            # At most twice as many, because the next rows may be much larger than the last ones.
            fitting = count * 2 if seconds <= 0 else int(count * min(2.0, TRANSACTION_S / seconds))
            count = max(ROWS_MIN, min(ROWS_MAX, fitting))
    return count


async def prune(
    store: Store, runs_folder: Path, rule: PruneRule, cursor: str | None = None, *, dry_run: bool = False
) -> Pruned:
    """Mark as deleted the runs of one page that `rule` selects, parents before their children.

    The deletion of marked runs goes on afterwards. If the deletion has fallen behind, nothing is marked and the cursor
    of the same page is returned. The last page returns its own cursor until all marked runs are deleted. A dry run
    only counts the runs.
    """
    if dry_run:
        page = await store.runs.prunable(rule, cursor)
        count = sum(each.parent_id is None or each.has_old_parent for each in page.items)
        return Pruned(count, 0, page.next_cursor)
    same_page = FIRST.cursor if cursor is None else cursor
    if not await _finish_in_time(store, runs_folder, left=MARKED_AHEAD_MAX):
        return Pruned(0, 0, same_page)
    page = await store.runs.prunable(rule, cursor)
    done = len(await _mark_page(store, page.items))
    if page.next_cursor is None and not await _finish_in_time(store, runs_folder, left=0):
        return Pruned(done, done, same_page)
    return Pruned(done, done, page.next_cursor)


async def _finish_in_time(store: Store, runs_folder: Path, *, left: int) -> bool:
    """Delete marked runs for at most FINISH_WITHIN_S. Return whether at most `left` of them are left."""
    until = time.monotonic() + FINISH_WITHIN_S
    while len(await store.runs.marked(left + 1)) > left:
        if time.monotonic() >= until:
            return False
        await finish(store, runs_folder, left=left, until=until)
        await asyncio.sleep(TRANSACTION_S)
    return True


async def _mark_page(store: Store, runs: Iterable[Prunable]) -> set[str]:
    """Mark those of `runs` that may be deleted, parents before their children, and return their ids."""
    done: set[str] = set()
    rest = list(runs)
    while ready := [each for each in rest if each.parent_id is None or each.parent_id in done]:
        chosen = set(ready)
        rest = [each for each in rest if each not in chosen]
        marked = await _mark(store, ready)
        done |= marked
        if not marked:
            break
    return done


async def _mark(store: Store, runs: list[Prunable]) -> set[str]:
    marked: set[str] = set()
    for first in range(0, len(runs), MARKED_MAX):
        part = [each.run_id for each in runs[first : first + MARKED_MAX]]
        marked |= set(await store.deletions.mark_all(part))
    return marked


def _remove_folders(runs_folder: Path, run_ids: Iterable[str]) -> None:
    for run_id in run_ids:
        shutil.rmtree(runs_folder / run_id, ignore_errors=True)
