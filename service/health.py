"""Check whether a server can do its work: on request, for `/readyz`, and continually, by a watchdog."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any
from urllib.parse import urlsplit

from service.core.errors import Unavailable
from service.engine.engine import Engine
from service.engine.guard.watchdog import ListenCheck, LoopCheck, Watchdog, WorkCheck
from service.store import Store

logger = logging.getLogger(__name__)

PROBE_S = 2.0
"""How long readiness waits for the answer of each part."""


async def unready(store: Store, engine: Engine | None) -> str | None:
    """Return why the server is not ready, or None if it is ready. The answer comes within PROBE_S."""
    if engine is not None and not engine.is_alive():
        return "the engine has stopped"
    probes = [
        _fault("writing", store.servers.probe(within_s=PROBE_S)),
        _fault("reading", store.probe_reading()),
    ]
    if engine is not None:
        probes.append(_fault("the engine's loop", engine.answer()))
    return "; ".join(filter(None, await asyncio.gather(*probes))) or None


async def _fault(part: str, probe: Coroutine[Any, Any, None]) -> str | None:
    """Return what is wrong with `part`, or None if `probe` ends in time and raises nothing."""
    try:
        async with asyncio.timeout(PROBE_S):
            await probe
    except TimeoutError:
        return f"{part}: no answer within {PROBE_S:g} s"
    except Unavailable as error:
        return f"{part}: {error}"
    except Exception:
        logger.exception("readiness could not be asked for: %s", part)
        return f"{part}: a fault of the server's; its log says more"
    return None


def watch(watchdog: Watchdog, store: Store, engine: Engine | None, address: str) -> None:
    """Start `watchdog`, which then checks everything that this server needs and that a tool could take away.

    Call this function on the event loop that answers requests.
    """
    loop = asyncio.get_running_loop()
    watchdog.add("the loop that answers does not move", LoopCheck(loop))
    watchdog.add("it cannot ask its database", WorkCheck(loop, store.works))
    if (port := urlsplit(address).port) is not None:
        watchdog.add(f"nobody listens on port {port}", ListenCheck(port), once_well=True)
    if engine is not None:
        engine.watch(watchdog)
    watchdog.start()
