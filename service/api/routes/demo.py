"""Start the example graph on a bundled data set, or on rows or a CSV file that the call contains.

An uploaded table is on disk, in the run's folder, before the run is started. A refused start leaves nothing behind.
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

from service.api.body import chunks, content_type, read_json, validate
from service.api.folders.copying import sync
from service.api.folders.unfinished import unfinished
from service.api.parameters import DecimalNumber, Number, ServicesDep, SettingsDep, new_run_id, strict_router
from service.api.responses import answers, requests
from service.api.responses.openapi import DEMO_BODY, refusals
from service.api.responses.rendering import Json
from service.api.routes.runs.start import initial_state, started, trace_of
from service.api.services import WRITE_WITHIN_S, ApiSettings, Services
from service.core import codec
from service.core.errors import Fault, Invalid, Unavailable
from service.core.syntax.trace_context import Trace
from service.core.tool import JsonObject
from service.core.validation.spelling import closest
from service.store.commands.start import Start

CSV_FILE = "upload.csv"
ROWS_FILE = "upload.json"

Mode = Annotated[str | None, Query(description="`report` changes nothing; `mend`, the default, changes cells.")]
Allow = Annotated[
    list[str], Query(description="A change that is allowed without evidence; repeatable.", max_length=100)
]
Keep = Annotated[list[str], Query(description="A column that is never changed; repeatable.", max_length=10_000)]
Delimiter = Annotated[str | None, Query(description="CSV: the field separator; `tab` means a tab.")]
Quote = Annotated[str | None, Query(description="CSV: the quote character; empty for none.")]
Encoding = Annotated[str | None, Query(description="CSV: the encoding; by default the `charset` of the content type.")]
Header = Annotated[
    str | None, Query(description="CSV: whether the first record has the column names: `true` or `false`.")
]
Skip = Annotated[Number | None, Query(description="CSV: the number of lines before the table.")]

router = strict_router(tags=["demo"])


@router.post(
    "/demo/run_data_quality",
    status_code=202,
    response_model=answers.RunStarted,
    responses=refusals(413, 415),
    openapi_extra=DEMO_BODY,
)
async def run_data_quality(
    request: Request,
    services: ServicesDep,
    settings: SettingsDep,
    threshold: Annotated[
        DecimalNumber | None, Query(description="The run ends at this number of anomalies or fewer; 0 by default.")
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
    """Find anomalies in a table and mend those with evidence, until nothing more can be mended."""
    run_id = new_run_id()
    folder = services.runs_folder / run_id
    asked = _without_none(threshold=threshold, mode=mode, allow=allow or None, keep=keep or None)
    options = _without_none(delimiter=delimiter, quote=quote, encoding=encoding, header=header, skip=skip)
    with unfinished(services.runs_folder, run_id), ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        source, asked = await _keep_table(request, services, settings, folder, asked, options)
        try:
            await _start(services, settings, run_id, source, asked, trace_of(request))
        except Unavailable:
            undo.pop_all()  # The run may exist after all, and would need its folder.
            raise
        undo.pop_all()
    return started(request, run_id)


async def _keep_table(
    request: Request, services: Services, settings: ApiSettings, folder: Path, asked: JsonObject, options: JsonObject
) -> tuple[JsonObject, JsonObject]:
    """Write an uploaded table into the run's folder. Return the table's source and the example's parameters."""
    if content_type(request) == "text/csv":
        asked["options"] = _csv_options(request, options)
        _refuse_faults(services, asked)
        await _write(folder / CSV_FILE, chunks(request, settings.upload_bytes_max))
        return {"kind": "csv", "file": CSV_FILE}, asked
    if options:
        raise Invalid([Fault(f"/{name}", "is an option of CSV files, and this is not one") for name in options])
    body = await _read_request(request, services, settings, asked)
    asked = body.model_dump(include={"threshold", "mode", "allow", "keep"})
    _refuse_faults(services, asked)
    source = {"kind": "dataset", "name": body.dataset}
    if body.rows:
        _refuse_unknown_columns(body)
        source = {"kind": "rows", "file": ROWS_FILE}
        await _write(folder / ROWS_FILE, _single_piece(codec.encode(body.rows).encode()))
    return source, asked


def _without_none(**parameters: Any) -> JsonObject:
    """Return the parameters that are not None."""
    return {name: value for name, value in parameters.items() if value is not None}


def _csv_options(request: Request, options: JsonObject) -> JsonObject:
    """Return `options` with `header` as a boolean, and with the content type's `charset` as default encoding."""
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


def _refuse_unknown_columns(body: requests.DemoRequest) -> None:
    """Raise Invalid if a name in `keep` is not a key of any row.

    Names that begin with `column_` are accepted, because the tools give such a name to a column whose key is unusable.
    """
    names = {" ".join(key.split())[:100] for row in body.rows for key in row} | {
        key for row in body.rows for key in row
    }
    for index, name in enumerate(body.keep):
        if name not in names and not name.startswith("column_"):
            raise Invalid.at(f"/keep/{index}", f"the rows have no key {name!r:.200}{closest(name, names)}")


async def _read_request(
    request: Request, services: Services, settings: ApiSettings, in_query: JsonObject
) -> requests.DemoRequest:
    """Return the request that the JSON body and the query parameters make up. The body may be empty.

    Raise Invalid if both have the same parameter.
    """
    document = {"dataset": next(iter(services.example.datasets))}
    body = await read_json(request, settings.body_bytes_max, empty={}, others=("text/csv",))
    if isinstance(body, dict):
        if "dataset" in body and "rows" in body:
            raise Invalid.at("/rows", "send either `dataset` or `rows`, not both")
        for name in in_query:
            if name in body:
                raise Invalid.at(f"/{name}", "is both in the body and in the query; send it once")
        body = document | in_query | body
    asked = validate(requests.DemoRequest, body)
    if asked.dataset not in services.example.datasets:
        hint = closest(asked.dataset, services.example.datasets)
        raise Invalid.at("/dataset", f"there is no data set {asked.dataset!r:.200}{hint}")
    return asked


async def _start(
    services: Services,
    settings: ApiSettings,
    run_id: str,
    source: JsonObject,
    asked: JsonObject,
    trace: Trace | None,
) -> None:
    example = services.example
    threshold = asked.pop("threshold", 0)
    state = initial_state(example.initial_state(source, threshold, asked), settings.state_bytes_max)
    await services.store.graphs.add(example.graph, within_s=WRITE_WITHIN_S)
    start = Start(run_id, example.graph.id, state, {}, trace=trace)
    await services.store.runs.start(start, within_s=WRITE_WITHIN_S)


async def _write(path: Path, pieces: AsyncIterator[bytes]) -> None:
    """Write `pieces` durably to a new file. Raise Unavailable if the disk fails, and Invalid if there are no bytes."""
    try:
        await to_thread.run_sync(lambda: path.parent.mkdir(parents=True))
        size = 0
        with path.open("xb") as file:
            async for piece in pieces:
                size += await to_thread.run_sync(file.write, piece)
            await to_thread.run_sync(_sync, file, path.parent)
    except OSError as error:
        raise Unavailable(f"the upload cannot be stored: {error.strerror}") from error
    if not size:
        raise Invalid.at("", "the file is empty")


def _sync(file: Any, folder: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    for place in (folder, folder.parent):
        sync(place)


async def _single_piece(piece: bytes) -> AsyncIterator[bytes]:
    yield piece
