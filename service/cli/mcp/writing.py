"""The tools of the assistant that start runs and send signals. They are served only with --allow-writes."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from pydantic import Field

from service.cli import asking
from service.cli.mcp.reading import RunId, told_refusals
from service.client import Request, calls
from service.core import codec
from service.settings import Settings

Key = Annotated[
    str | None, Field(description="An Idempotency-Key: the same key and arguments have the effect of one call.")
]


class WritingTools:
    """The writing tools, on the server or the database that `settings` name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        """Held during a call, because without a server each call owns the database while it writes."""

    async def start_run(
        self,
        graph: Annotated[str, Field(description="The id of a graph, or its name for the latest of that name.")],
        state: Annotated[dict[str, Any] | None, Field(description="The initial state; empty if omitted.")] = None,
        tags: Annotated[dict[str, str] | None, Field(description="Tags of the run.")] = None,
        idempotency_key: Key = None,
    ) -> str:
        """Start a run and return its id. The run goes on in the background: explain_run says where it is."""
        return await self._ask(calls.start(graph, state or {}, tags or {}, idempotency_key, {}))

    async def send_signal(
        self,
        run_id: RunId,
        name: Annotated[str, Field(description="The name of the signal, as explain_run says it.")],
        payload: Annotated[Any, Field(description="Any JSON; the state of the run gets it.")] = None,
        idempotency_key: Key = None,
    ) -> str:
        """Send a run a signal that it waits for or will wait for. A signal cannot be taken back."""
        with told_refusals():
            asking.known_run_id(run_id)
        return await self._ask(calls.signal(run_id, name, payload, idempotency_key))

    async def _ask(self, request: Request) -> str:
        with told_refusals():
            async with self._lock, asking.executing(self._settings, "mcp", must_exist=True) as server:
                answer = await server.ask(request)
                if server.address is None:
                    answer["note"] = "no server runs on this database; the run goes on as soon as one does"
                return codec.encode(answer)
