"""Delete, in the background, the rows and files of deleted runs, and prune old runs if a setting says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from service.api.folders.deleting import finish, prune
from service.core.errors import Unavailable
from service.store import Store
from service.store.database.local_events import DELETING
from service.store.queries.runs.prunable import PruneRule

logger = logging.getLogger(__name__)

FINISH_EVERY_S = 60.0
"""The interval at which to look for deleted runs whose rows and files a dead server has not removed."""
PRUNE_EVERY_S = 600.0


@asynccontextmanager
async def deleting(store: Store, runs_folder: Path, prune_after_s: float | None) -> AsyncIterator[None]:
    """Within the context, delete in the background the rows and files of runs that are marked as deleted.

    Also prune runs once `prune_after_s` seconds have passed since their end. None: do not prune.
    """
    tasks = [asyncio.create_task(_finish_always(store, runs_folder))]
    if prune_after_s is not None:
        tasks.append(asyncio.create_task(_prune_always(store, runs_folder, PruneRule(prune_after_s))))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _finish_always(store: Store, runs_folder: Path) -> None:
    with store.events.subscribe(DELETING) as called:
        while True:
            called.clear()
            await _try(finish(store, runs_folder))
            with suppress(TimeoutError):
                async with asyncio.timeout(FINISH_EVERY_S):
                    await called.wait()


async def _prune_always(store: Store, runs_folder: Path, rule: PruneRule) -> None:
    while True:
        await asyncio.sleep(PRUNE_EVERY_S)
        await _try(prune_all(store, runs_folder, rule))


async def prune_all(store: Store, runs_folder: Path, rule: PruneRule) -> int:
    """Delete the runs that `rule` selects and that may be deleted. Return how many were deleted."""
    count, cursor, is_first = 0, None, True
    while is_first or cursor is not None:
        pruned = await prune(store, runs_folder, rule, cursor)
        count, cursor, is_first = count + pruned.done, pruned.next_cursor, False
    return count


async def _try(work: Coroutine[Any, Any, Any]) -> None:
    try:
        await work
    except Unavailable as error:
        logger.warning("old runs are deleted later: %s", error)
    except Exception:
        logger.exception("old runs are deleted later")
