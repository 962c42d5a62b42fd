"""Read which step wrote each key of a run's state, and the values that a key has had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from anyio import to_thread
from fastapi import Path

from service.api.parameters import BeforeStep, Limit, RunId, ServicesDep, strict_router
from service.api.responses import answers, rendering, texts
from service.api.responses.openapi import refusals
from service.api.responses.rendering import Json
from service.core import codec
from service.core.errors import NotFound
from service.store.queries.runs.keys import WrittenKey

router = strict_router(tags=["runs"])


@router.get("/runs/{run_id}/keys", response_model=answers.KeyList, responses=refusals(404))
async def list_keys(run_id: RunId, services: ServicesDep) -> Json:
    """List the keys of the present state, each with the step that last wrote it. Step 0 is the initial state."""
    keys = await services.store.details.keys(run_id)
    # On a thread, because a state may have a million keys, for which other calls would have to wait.
    return await to_thread.run_sync(_key_list, keys)


def _key_list(keys: Sequence[WrittenKey]) -> Json:
    return Json({"items": texts.array(map(texts.written_key, keys))})


@router.get("/runs/{run_id}/keys/{key:any_text}", response_model=answers.KeyValuePage, responses=refusals(404))
async def list_values(
    run_id: RunId,
    key: Annotated[str, Path(description="A top-level key of the state.")],
    services: ServicesDep,
    before_step: BeforeStep | None = None,
    limit: Limit = 100,
) -> Json:
    """List the values that a key has had, newest first. `removed` is true for a step that removed the key.

    A page may end early: follow the cursor, which is the next `before_step`.
    """
    try:
        codec.check(key)
    except codec.ValueUnfit as error:
        raise NotFound("key", codec.printable(key[:200])) from error
    page = await services.store.details.key_values(run_id, key, before_step, limit)
    return rendering.page(map(texts.key_value, page.items), page.next_cursor)
