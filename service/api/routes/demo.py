"""The example graph at one call: a bundled data set, rows, or a CSV file of the caller's.

What was sent lies in the run's folder, on disk, before the run is started; a refused start leaves nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack
from email.message import Message
from pathlib import Path
from typing import Annotated, Any

from anyio import to_thread
from fastapi import Query, Request

from service.api.body import chunks, content_type, read_json, shaped
from service.api.folders.copying import sync
from service.api.folders.unfinished import unfinished
from service.api.parameters import Decimal, Number, Served, Settings, new_run_id, routes
from service.api.responses import shapes
from service.api.responses.openapi import DEMO_BODY, refusals
from service.api.responses.rendering import Json
from service.api.routes.runs import initial_state, started
from service.api.services import WRITE_WITHIN_S, ApiSettings, Services
from service.core import codec
from service.core.errors import Fault, Invalid, Unavailable
from service.core.tool import JsonObject
from service.core.validation.spelling import closest
from service.store.commands.start import Start

CSV_FILE = "upload.csv"
ROWS_FILE = "upload.json"

Mode = Annotated[str | None, Query(description="`report` changes nothing; `mend`, the default, does.")]
Allow = Annotated[
    list[str], Query(description="What may be done beyond what evidence supports; repeatable.", max_length=100)
]
Keep = Annotated[list[str], Query(description="A column that is never touched; repeatable.", max_length=10_000)]
Delimiter = Annotated[str | None, Query(description="CSV: what separates fields; `tab` is a tab.")]
Quote = Annotated[str | None, Query(description="CSV: what quotes a text; empty, nothing does.")]
Encoding = Annotated[str | None, Query(description="CSV: the encoding; `charset` of the content type if left out.")]
Header = Annotated[str | None, Query(description="CSV: whether the first record has the names: `true` or `false`.")]
Skip = Annotated[Number | None, Query(description="CSV: so many lines stand before the table.")]

router = routes(tags=["demo"])


@router.post(
    "/demo/run_data_quality",
    status_code=202,
    response_model=shapes.RunStarted,
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
    mode: Mode = None,
    allow: Allow = [],  # noqa: B006  # FastAPI copies defaults.
    keep: Keep = [],  # noqa: B006
    delimiter: Delimiter = None,
    quote: Quote = None,
    encoding: Encoding = None,
    header: Header = None,
    skip: Skip = None,
) -> Json:
    """Find what is wrong with a table, and mend what evidence supports, until nothing more can be mended."""
    run_id = new_run_id()
    folder = services.runs_folder / run_id
    asked = _given(threshold=threshold, mode=mode, allow=allow or None, keep=keep or None)
    options = _given(delimiter=delimiter, quote=quote, encoding=encoding, header=header, skip=skip)
    with unfinished(services.runs_folder, run_id), ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        source, asked = await _keep_table(request, services, settings, folder, asked, options)
        try:
            await _start(services, settings, run_id, source, asked)
        except Unavailable:
            undo.pop_all()  # Nobody knows whether the run is there; it would need its folder.
            raise
        undo.pop_all()
    return started(request, run_id)


async def _keep_table(
    request: Request, services: Services, settings: ApiSettings, folder: Path, asked: JsonObject, options: JsonObject
) -> tuple[JsonObject, JsonObject]:
    """Write the table that was sent into the run's folder: where the run finds it, and all that was asked."""
    if content_type(request) == "text/csv":
        asked["options"] = _csv_options(request, options)
        _refuse_faults(services, asked)
        await _write(folder / CSV_FILE, chunks(request, settings.upload_bytes_max))
        return {"kind": "csv", "file": CSV_FILE}, asked
    if options:
        raise Invalid([Fault(f"/{name}", "says how a CSV file is written; this is none") for name in options])
    body = await _read_request(request, services, settings, asked)
    asked = body.model_dump(include={"threshold", "mode", "allow", "keep"})
    _refuse_faults(services, asked)
    source = {"kind": "dataset", "name": body.dataset}
    if body.rows:
        _refuse_unknown_columns(body)
        source = {"kind": "rows", "file": ROWS_FILE}
        await _write(folder / ROWS_FILE, _one(codec.encode(body.rows).encode()))
    return source, asked


def _given(**parameters: Any) -> JsonObject:
    """The parameters that the caller gave."""
    return {name: value for name, value in parameters.items() if value is not None}


def _csv_options(request: Request, options: JsonObject) -> JsonObject:
    """The options, `header` as a boolean, and the content type's `charset` where no encoding is given."""
    parsed = Message()
    parsed["content-type"] = request.headers.get("content-type", "")
    try:
        charset = parsed.get_content_charset()
    except (TypeError, ValueError) as error:
        raise Invalid.at("/encoding", "the content type's charset cannot be read") from error
    if charset is not None:
        options = {"encoding": charset} | options
    if "header" in options:
        options = options | {"header": {"true": True, "false": False}.get(options["header"], options["header"])}
    return options


def _refuse_faults(services: Services, asked: JsonObject) -> None:
    if faults := services.example.faults(asked):
        raise Invalid([Fault(f"/{name}", message) for name, message in faults])


def _refuse_unknown_columns(body: shapes.DemoRequest) -> None:
    """A name in `keep` is a key of the rows; the tools name columns by them, as far as they are names."""
    names = {" ".join(key.split())[:100] for row in body.rows for key in row} | {
        key for row in body.rows for key in row
    }
    for index, name in enumerate(body.keep):
        if name not in names and not name.startswith("column_"):
            raise Invalid.at(f"/keep/{index}", f"the rows have no key {name!r:.200}{closest(name, names)}")


async def _read_request(
    request: Request, services: Services, settings: ApiSettings, in_query: JsonObject
) -> shapes.DemoRequest:
    """The JSON body, if there is one, with what the query says where the body does not."""
    document = {"dataset": next(iter(services.example.datasets))}
    body = await read_json(request, settings.body_bytes_max, empty={})
    if isinstance(body, dict):
        if "dataset" in body and "rows" in body:
            raise Invalid.at("/rows", "either `dataset` or `rows`, not both")
        for name in in_query:
            if name in body:
                raise Invalid.at(f"/{name}", "once is enough: in the body or in the query")
        body = document | in_query | body
    asked = shaped(shapes.DemoRequest, body)
    if asked.dataset not in services.example.datasets:
        hint = closest(asked.dataset, services.example.datasets)
        raise Invalid.at("/dataset", f"there is no data set {asked.dataset!r:.200}{hint}")
    return asked


async def _start(services: Services, settings: ApiSettings, run_id: str, source: JsonObject, asked: JsonObject) -> None:
    example = services.example
    threshold = asked.pop("threshold", 0)
    state = initial_state(example.initial_state(source, threshold, asked), settings.state_bytes_max)
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
