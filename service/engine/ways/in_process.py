"""Call isolated tools in processes of their own on this machine."""

from __future__ import annotations

from service.core.moves import Outcome
from service.engine.isolation.messages import encode_call
from service.engine.isolation.pool import ProcessPool
from service.engine.ways.way import Attempt


class InProcess:
    def __init__(self, pool: ProcessPool) -> None:
        self._pool = pool

    async def call(self, attempt: Attempt) -> Outcome:
        headers = None if attempt.spans is None else attempt.spans.headers()
        request = encode_call(attempt.run, attempt.move, attempt.runs_folder, attempt.state_bytes_max, headers)
        return await self._pool.call(request, attempt.move, attempt.lines, attempt.carrier.begin)
