"""Renew the leases of the runs that this server executes, and write their log lines while their tools run.

This happens in a thread of its own, so that no run loses its lease if the engine's loop is busy.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from service.engine.guard import interpreter
from service.engine.runner import Runner
from service.store import Store
from service.store.rows.records import Lease

logger = logging.getLogger(__name__)

FLUSH_S = 0.25
"""How often lines are written, so that they can be read within a second."""


class Heartbeat:
    """The thread that renews leases and writes lines, from `start` until `stop`."""

    def __init__(
        self,
        store: Store,
        runners: Callable[[], Sequence[Runner]],
        drop: Callable[[Lease], None],
        renew_every_s: float,
        as_server: bool = True,
        has_room: Callable[[], bool] = lambda: True,
        must_check_leases: Callable[[], bool] = lambda: False,
        check_loop: Callable[[], None] = lambda: None,
    ) -> None:
        """`runners` returns the runners that execute a run now; `drop` is called for each lease that no longer holds.

        `must_check_leases` returns whether leases may have been revoked; if so, all leases are renewed at once.
        `check_loop` is called every FLUSH_S seconds.
        With `as_server`, renewing also tells the other servers that this one is alive and whether it `has_room`.
        """
        self._store = store
        self._runners = runners
        self._drop = drop
        self._renew_every_s = renew_every_s
        self._as_server = as_server
        self._has_room = has_room
        self._must_check_leases = must_check_leases
        self._check_loop = check_loop
        self._renewal: Future[list[Lease]] | None = None
        self._renewed_at = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="rungraph-heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def renewal_age_s(self) -> float:
        """Return the number of seconds since the last renewal began."""
        return time.monotonic() - self._renewed_at

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stopped.wait(FLUSH_S):
            interpreter.put_back()
            self._check_loop()
            runners = self._runners()
            for runner in runners:
                flush(self._store, runner)
            # One renewal at a time: if the database is locked, more would only queue up.
            idle = self._renewal is None or self._renewal.done()
            if idle and (runners or self._store.is_shared) and self._is_renewal_due():
                self._renew([runner.lease for runner in runners])

    def _is_renewal_due(self) -> bool:
        return self._must_check_leases() or time.monotonic() - self._renewed_at >= self._renew_every_s

    def _renew(self, leases: Sequence[Lease]) -> None:
        self._renewed_at = time.monotonic()
        self._renewal = self._store.leases.renew(leases, as_server=self._as_server, has_room=self._has_room())
        self._renewal.add_done_callback(self._drop_lost)

    def _drop_lost(self, renewal: Future[list[Lease]]) -> None:
        if renewal.cancelled():
            return
        if (error := renewal.exception()) is not None:
            logger.warning("leases were not renewed: %s", error)
            return
        for lease in renewal.result():
            self._drop(lease)


def flush(store: Store, runner: Runner) -> None:
    """Queue the lines of the runner's attempt to be written. Keep them while the run `is_held_up`."""
    if (lines := runner.lines) is not None and not runner.is_held_up:
        lines.flush(partial(store.logs.append, runner.lease))
