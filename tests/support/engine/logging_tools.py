"""Tools that use `logging` in unusual ways, in this process and in isolated ones."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import logging.config
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing.pool import ThreadPool
from typing import Any

from service.core.tool import Tool

LOGGER = logging.getLogger("tests.somebody")
SHARED = ThreadPoolExecutor(2)
"""Of a module: its threads outlive the attempts that make it start them."""


def say(message: str) -> None:
    LOGGER.info(message)


def on_a_pool() -> None:
    with ThreadPoolExecutor(2) as pool:
        for done in as_completed([pool.submit(say, "said")]):
            done.result()
        assert list(pool.map(say, [])) == []


def on_the_modules_pool(metadata: dict[str, Any]) -> None:
    SHARED.submit(say, metadata.get("says", "said")).result()


def by_an_initializer() -> None:
    with ThreadPoolExecutor(1, initializer=say, initargs=("said",)) as pool:
        pool.submit(int).result()


def on_a_thread() -> None:
    _joined(threading.Thread(target=say, args=("said",)))


def on_a_subclass() -> None:
    class Mine(threading.Thread):
        def run(self) -> None:
            say("said")

    _joined(Mine(daemon=True))


def on_a_timer() -> None:
    _joined(threading.Timer(0.0, say, ["said"]))


def on_a_thread_of_a_thread() -> None:
    _joined(threading.Thread(target=on_a_pool))


def on_multiprocessings_threads() -> None:
    with ThreadPool(1) as pool:
        pool.apply(say, ["said"])


async def by_to_thread() -> None:
    await asyncio.to_thread(say, "said")


async def on_the_loops_executor() -> None:
    await asyncio.get_running_loop().run_in_executor(None, say, "said")


async def in_a_task_of_its_own() -> None:
    async def task() -> None:
        await asyncio.to_thread(say, "said")

    await asyncio.create_task(task())


async def in_an_empty_context_on_a_pool() -> None:
    """Whatever a library does with contexts of its own, it does within the call."""
    SHARED.submit(contextvars.copy_context().run, say, "said").result()


def _joined(thread: threading.Thread) -> None:
    thread.start()
    thread.join()


def plainly() -> None:
    say("said")


def sets_roots_level() -> None:
    logging.getLogger().setLevel(logging.CRITICAL)


def resets_by_basic_config() -> None:
    logging.basicConfig(force=True, level=logging.ERROR)


def resets_by_dict_config() -> None:
    logging.config.dictConfig({"version": 1, "root": {"level": "ERROR", "handlers": []}})


def disables() -> None:
    logging.disable(logging.CRITICAL)


def shuts_down() -> None:
    logging.shutdown()


def clears_handlers() -> None:
    logging.getLogger().handlers.clear()


def stops_propagation() -> None:
    logging.getLogger("tests").propagate = False
    LOGGER.propagate = False


SILENCING = (
    sets_roots_level,
    resets_by_basic_config,
    resets_by_dict_config,
    disables,
    shuts_down,
    clears_handlers,
    stops_propagation,
)
ON_THREADS = (
    on_a_pool,
    on_the_modules_pool,
    by_an_initializer,
    on_a_thread,
    on_a_subclass,
    on_a_timer,
    on_a_thread_of_a_thread,
    on_multiprocessings_threads,
    by_to_thread,
    on_the_loops_executor,
    in_a_task_of_its_own,
    in_an_empty_context_on_a_pool,
)
TOOLS: dict[str, Tool] = {tool.__name__: Tool.of(tool) for tool in (*SILENCING, *ON_THREADS, plainly)}


@contextmanager
def logging_put_back(*loggers: logging.Logger) -> Iterator[None]:
    """Put back what a tool may have done to `logging` in this very process."""
    root, manager = logging.getLogger(), logging.root.manager
    kept = [(logger, logger.level, logger.propagate, logger.disabled) for logger in (root, *loggers)]
    others = [each for each in manager.loggerDict.values() if isinstance(each, logging.Logger)]
    enabled = [each for each in others if not each.disabled]
    handlers, disabled = root.handlers[:], manager.disable
    try:
        yield
    finally:
        root.handlers[:] = handlers
        logging.disable(disabled)
        for each in enabled:
            each.disabled = False
        for logger, level, propagate, is_disabled in kept:
            logger.setLevel(level)
            logger.propagate, logger.disabled = propagate, is_disabled
