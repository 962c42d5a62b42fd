"""The loop on which async tools are called, in a thread of its own: a tool that blocks holds up no more than that.

Runs whose next node is an async tool are carried here, so that steps of such tools hop between no threads. All others
are carried on the engine's own loop, which also claims. A run goes over where it comes to a node of the other kind.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, suppress
from typing import Any

from service.engine.guard import forks
from service.engine.guard.within import Holding, holding

logger = logging.getLogger(__name__)

CLOSE_S = 0.5
HELD_UP_S, AGAIN_S = 1.0, 10.0
"""After how long it is said who holds the loop up, and after how long again."""


class ToolLoop:
    """Runs from `start` until `close`, whatever tools do to it."""

    def __init__(self, within: Callable[[], AbstractContextManager[None]]) -> None:
        """`within` is entered on the loop for as long as it runs."""
        self._within = within
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopping = False
        self._stopped = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._work, name="rungraph-async-tools", daemon=True)
        self._held: Holding | None = None
        self._said_at = self._held_at = 0.0

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def is_here(self) -> bool:
        """Whether this code runs on it."""
        return threading.get_ident() == self._thread.ident

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have `function` called on it, soon. From any thread; nothing happens when it has ended."""
        with suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(function, *arguments)

    def submit(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
        """Have `coroutine` executed on it; the future is of the running loop."""
        assert self._loop is not None
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def close(self) -> None:
        """End it, and do not wait for a tool that blocks."""
        self._is_stopping = True
        self.call(self._stopped.set)
        if self._thread.ident is not None:
            self._thread.join(CLOSE_S)

    def look(self) -> None:
        """Say which tool holds the loop up, if one does. Called every now and then, from one thread."""
        held, now = holding(self._thread.ident), time.monotonic()
        if held is None or held != self._held:
            self._held, self._held_at, self._said_at = held, now, 0.0
        elif now - max(self._held_at + HELD_UP_S, self._said_at + AGAIN_S) >= 0:
            self._said_at = now
            held.who.say_that_it_holds_up(now - self._held_at)

    def _work(self) -> None:
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                # A tool can cancel all tasks of the loop. Then it starts anew; runs without a task are claimed again.
                while not self._execute(self._loop.create_task(self._stay())):
                    logger.error("a tool cancelled the loop's own task")
        except BaseException as error:
            forks.end_child(error)
            logger.critical("the loop of the async tools has ended", exc_info=True)
        finally:
            self._ready.set()

    async def _stay(self) -> None:
        with self._within():
            self._ready.set()
            await self._stopped.wait()

    def _execute(self, main: asyncio.Task[None]) -> bool:
        """Run the loop until `main` is done; whether that was its own doing."""
        loop = main.get_loop()
        while not main.done():
            try:
                loop.run_until_complete(main)
            except asyncio.CancelledError:
                break
            except (SystemExit, KeyboardInterrupt, RuntimeError) as error:
                forks.end_child()
                # From a task that a tool left behind, or its loop.stop(); the loop itself is whole and goes on.
                logger.error("a tool stopped the loop of the async tools: %s", type(error).__name__)
        return self._is_stopping or not main.cancelled()
