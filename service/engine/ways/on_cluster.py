"""Call tools on the workers of a cluster."""

from __future__ import annotations

import asyncio

from service.core.moves import Outcome
from service.engine.cluster.folder import mark_of
from service.engine.cluster.link import ClusterLink
from service.engine.isolation.messages import encode_call
from service.engine.ways.way import Attempt


class OnCluster:
    def __init__(self, link: ClusterLink, calls_max: int) -> None:
        """`calls_max` is the maximum number of calls at a time. Further calls wait, and need no thread meanwhile."""
        self._link = link
        self._slots = asyncio.Semaphore(calls_max)

    async def call(self, attempt: Attempt) -> Outcome:
        """Call the tool as described in Way. Raise CallInterrupted if the cluster was lost during the call."""
        async with self._slots:
            await self._link.ready(attempt)
            await attempt.carrier.begin()
            headers = None if attempt.spans is None else attempt.spans.headers()
            message = encode_call(attempt.run, attempt.move, attempt.runs_folder, attempt.state_bytes_max, headers)
            mark = await asyncio.to_thread(mark_of, attempt.runs_folder)
            request = self._link.request(attempt, message, mark)
            return await self._link.call(attempt, request)
