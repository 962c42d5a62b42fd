"""The example graph at one call: a bundled data set, rows, or a CSV file of the caller's.

What was sent lies in the run's folder, on disk, before the run is started; a refused start leaves nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from anyio import to_thread
from fastapi import Query, Request

from service.api import schemas
from service.api.body import chunks, content_type, read_json, shaped
from service.api.copying import sync
from service.api.deps import Decimal, Served, Settings, new_run_id, routes
from service.api.openapi import DEMO_BODY, refusals
from service.api.runs import initial_state, started
from service.api.services import WRITE_WITHIN_S, ApiSettings, Services
from service.api.unfinished import unfinished
from service.api.views import Json
from service.core import codec
from service.core.errors import Invalid, Unavailable
from service.core.spelling import closest
from service.core.tool import JsonObject
from service.store.runs import Start

CSV_FILE = "upload.csv"
ROWS_FILE = "upload.json"

router = routes(tags=["demo"])


@router.post(
    "/demo/run_data_quality",
    status_code=202,
    response_model=schemas.RunStarted,
    responses=refusals(413, 415),
    openapi_extra=DEMO_BODY,
)
async def run_data_quality(
    request: Request,
    services: Served,
    settings: Settings,
    threshold: Annotated[
        Decimal | None, Query(description="The run ends at so many anomalies or fewer; 0 if left out.")
    ] = None,
) -> Json:
    """Profile a table, find what is wrong with it, make rules of that and apply them, until it is clean."""
    run_id = new_run_id()
    folder = services.runs_folder / run_id
    with unfinished(services.runs_folder, run_id), ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        if content_type(request) == "text/csv":
            source: JsonObject = {"kind": "csv", "file": CSV_FILE}
            await _write(folder / CSV_FILE, chunks(request, settings.upload_bytes_max))
        else:
            asked = await _read_request(request, services, settings, threshold)
            threshold = asked.threshold
            source = {"kind": "dataset", "name": asked.dataset}
            if asked.rows:
                source = {"kind": "rows", "file": ROWS_FILE}
                await _write(folder / ROWS_FILE, _one(codec.encode(asked.rows).encode()))
        await _start(services, settings, run_id, source, threshold or 0)
        undo.pop_all()
    return started(request, run_id)


async def _read_request(
    request: Request, services: Services, settings: ApiSettings, threshold: Any
) -> schemas.DemoRequest:
    """The JSON body, if there is one, with the threshold of the query where the body has none."""
    document = {"dataset": next(iter(services.example.datasets))}
    body = await read_json(request, settings.body_bytes_max, empty={})
    if isinstance(body, dict):
        if "dataset" in body and "rows" in body:
            raise Invalid.at("/rows", "either `dataset` or `rows`, not both")
        if "threshold" in body and threshold is not None:
            raise Invalid.at("/threshold", "once is enough: in the body or in the query")
        given = {} if threshold is None else {"threshold": threshold}
        body = document | given | body
    asked = shaped(schemas.DemoRequest, body)
    if asked.dataset not in services.example.datasets:
        hint = closest(asked.dataset, services.example.datasets)
        raise Invalid.at("/dataset", f"there is no data set {asked.dataset!r:.200}{hint}")
    return asked


async def _start(services: Services, settings: ApiSettings, run_id: str, source: JsonObject, threshold: float) -> None:
    example = services.example
    state = initial_state(example.initial_state(source, threshold), settings.state_bytes_max)
    await services.store.graphs.add(example.graph, within_s=WRITE_WITHIN_S)
    start = Start(run_id, example.graph.id, state, {})
    await services.store.runs.start(start, within_s=WRITE_WITHIN_S)


async def _write(path: Path, pieces: AsyncIterator[bytes]) -> None:
    """`pieces` as a file that outlasts a power loss, written off the loop; Unavailable where the disk refuses."""
    try:
        await to_thread.run_sync(lambda: path.parent.mkdir(parents=True))
        size = 0
        with path.open("xb") as file:
            async for piece in pieces:
                size += await to_thread.run_sync(file.write, piece)
            await to_thread.run_sync(_sync, file, path.parent)
    except OSError as error:
        raise Unavailable(f"what was sent cannot be kept: {error.strerror}") from error
    if not size:
        raise Invalid.at("", "the file is empty")


def _sync(file: Any, folder: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    for place in (folder, folder.parent):
        sync(place)


async def _one(piece: bytes) -> AsyncIterator[bytes]:
    yield piece
