"""The workers of a cluster, and which of them can make calls of this server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast

from distributed import Client

from service.engine.cluster.versions import describe_misfit, versions_here, versions_of_report

logger = logging.getLogger(__name__)

CHECKS_MAX = 16
"""The most workers that are asked for their versions at the same time."""
CHECK_S = 2.0
"""How long to wait for an answer. A worker that does not answer is asked again, after the others."""


class Workers:
    """The workers of a cluster, by their addresses. It is used on the loop of the connection.

    Each worker is checked in a task of its own, so that a worker that does not answer delays no other.
    """

    def __init__(
        self, client: Client, name: str, on_unfit: Callable[[], None], on_fit: Callable[[str], Awaitable[None]]
    ) -> None:
        """`on_fit` is called with each new worker that can make calls. `on_unfit` is called when one is found unfit."""
        self.unfit: dict[str, str] = {}
        """For each worker that cannot make calls of this server, the reason."""
        self.changed = asyncio.Event()
        """Set whenever workers come, go or turn out to be unfit."""
        self._client = client
        self._name = name
        self._on_unfit = on_unfit
        self._on_fit = on_fit
        self._fit: set[str] = set()
        self._checks: dict[str, asyncio.Task[None]] = {}
        """The check of each worker in the cluster. It is kept after it is done."""
        self._slots = asyncio.Semaphore(CHECKS_MAX)
        self._left: set[str] | None = set()
        """The workers that have left before `begin` has listed the workers; None after that."""
        self._versions = _versions_to_compare()

    @property
    def fitting(self) -> list[str]:
        return sorted(self._fit)

    async def begin(self) -> None:
        """Find and check the workers that are in the cluster. Checks that take longer than CHECK_S go on afterwards."""
        info = await cast(Any, self._client.scheduler).identity()
        for worker in info["workers"].keys() - self._checks.keys() - (self._left or set()):
            self.add(worker)
        self._left = None
        if self._checks:
            await asyncio.wait(self._checks.values(), timeout=CHECK_S)

    def close(self) -> None:
        for check in self._checks.values():
            check.cancel()

    def add(self, worker: str) -> None:
        """Add a worker that has joined the cluster. It replaces a former worker with the same address."""
        self.remove(worker)
        self._checks[worker] = asyncio.ensure_future(self._check(worker))

    def remove(self, worker: str) -> None:
        if (check := self._checks.pop(worker, None)) is not None:
            check.cancel()
        if self._left is not None:
            self._left.add(worker)
        self._fit.discard(worker)
        self.unfit.pop(worker, None)
        self.changed.set()

    def refuse(self, worker: str, because: str) -> None:
        if worker not in self._checks:
            return  # The worker has already left. If it were added now, nothing would remove it.
        if worker not in self.unfit:
            logger.warning("the worker %s of %s cannot be used: %s", worker, self._name, because)
        self.unfit[worker] = because
        self._fit.discard(worker)
        self.changed.set()
        self._on_unfit()

    async def resources(self, worker: str) -> Mapping[str, float] | None:
        """Return the resources of a worker, or None if they cannot be found out."""
        try:
            async with asyncio.timeout(CHECK_S):
                info = await cast(Any, self._client.scheduler).identity()
        except OSError:  # A TimeoutError is one, too.
            return None
        except Exception:
            logger.warning("the resources of the worker %s cannot be read", worker, exc_info=True)
            return None
        return cast(Mapping[str, float] | None, info["workers"].get(worker, {}).get("resources"))

    async def _check(self, worker: str) -> None:
        report = await self._report(worker)
        if report is not None and (misfit := describe_misfit(self._versions, versions_of_report(report))):
            self.refuse(worker, misfit)
        elif worker not in self.unfit:
            self._fit.add(worker)
            self.changed.set()
            await self._on_fit(worker)

    async def _report(self, worker: str) -> Mapping[str, Any] | None:
        """Return the versions of a worker's packages, or None if it cannot be asked.

        A worker that cannot be asked may still be called, since it also checks the versions itself at each call.
        """
        while True:
            async with self._slots:
                try:
                    async with asyncio.timeout(CHECK_S):
                        message = {"op": "versions", "packages": ["rungraph"]}
                        scheduler = cast(Any, self._client.scheduler)
                        reports = await scheduler.broadcast(msg=message, workers=[worker], on_error="ignore")
                        return cast(Mapping[str, Any] | None, reports.get(worker))
                except TimeoutError:
                    continue  # For example because the process of the worker was stopped.
                except OSError:  # `Session.watch` reports a lost connection.
                    return None
                except Exception:
                    logger.warning("the versions of the worker %s cannot be read", worker, exc_info=True)
                    return None


def _versions_to_compare() -> dict[str, str | None]:
    """Return our versions, without Rungraph's if Rungraph is only on the module search path and not installed.

    A worker may then find Rungraph in the same way, and Dask does not report its version. The worker compares that
    version itself.
    """
    ours = versions_here()
    try:
        version("rungraph")
    except PackageNotFoundError:
        del ours["rungraph"]
    return ours
