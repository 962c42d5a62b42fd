"""Serve files that a run left in its folder.

Only regular files directly in the folder are served. A name that begins with a dot marks a file that a tool is still
writing.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from anyio import open_file, to_thread
from fastapi import Query
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from service.api.parameters import RunId, ServicesDep, strict_router
from service.api.responses import answers
from service.api.responses.openapi import FILE, refusals
from service.api.responses.rendering import Json
from service.core.errors import NotFound

_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".sql": "text/plain",
    ".txt": "text/plain",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}
INLINE_TYPES = frozenset({"text/csv", "text/plain", "application/json", "image/png", "image/jpeg"})
"""Types that a browser may show, because nothing in them can run."""
FILES_LISTED_MAX = 10_000

router = strict_router(tags=["runs"])


class WholeFile(FileResponse):
    """A download of a whole file. `Range` headers are ignored, as RFC 9110 allows.

    A tool may be writing the file: what it appends after the file was measured is not sent.
    """

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        unsent = int(self.headers["content-length"])
        try:
            file = await open_file(self.path, "rb")
        except OSError as error:
            raise NotFound("file", (self.filename or "")[:200]) from error
        async with file:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while unsent and scope["method"] != "HEAD" and (chunk := await file.read(min(unsent, self.chunk_size))):
                unsent -= len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@router.get("/runs/{run_id}/files", response_model=answers.FileList, responses=refusals(404))
async def list_files(run_id: RunId, services: ServicesDep) -> Json:
    """List the files that the run left in its folder, in the order of their names. At most 10,000 are listed."""
    await services.store.runs.get(run_id)
    files = await to_thread.run_sync(_files_of, services.runs_folder / run_id)
    items = [
        {
            "name": name,
            "bytes": found.st_size,
            "modified_at": datetime.fromtimestamp(found.st_mtime, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
        }
        for name, found in files
    ]
    return Json({"items": items})


@router.get("/runs/{run_id}/files/{name}", response_class=WholeFile, responses={200: FILE, **refusals(404)})
async def get_file(
    run_id: RunId,
    name: str,
    services: ServicesDep,
    inline: Annotated[
        Literal["0", "1"] | None,
        Query(description="`1` lets a browser show the file if it is text, CSV, JSON, PNG or JPEG."),
    ] = None,
) -> WholeFile:
    """Return a file that the run left in its folder, as a download unless `inline` asks otherwise."""
    await services.store.runs.get(run_id)
    path, found = await to_thread.run_sync(_regular_file, services.runs_folder / run_id, name)
    media_type = _MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
    return WholeFile(
        path,
        media_type=media_type,
        filename=name,
        stat_result=found,
        content_disposition_type="inline" if inline == "1" and media_type in INLINE_TYPES else "attachment",
        headers={"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox", "Accept-Ranges": "none"},
    )


def _files_of(folder: Path) -> list[tuple[str, os.stat_result]]:
    """Return the names and statuses of the first FILES_LISTED_MAX files that are served, in the order of names."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if _is_plain(entry.name))
    except OSError:
        return []  # The run has left no files.
    files: list[tuple[str, os.stat_result]] = []
    for name in names:
        with suppress(OSError):
            found = os.lstat(folder / name)
            if stat.S_ISREG(found.st_mode):
                files.append((name, found))
        if len(files) == FILES_LISTED_MAX:
            break
    return files


def _regular_file(folder: Path, name: str) -> tuple[Path, os.stat_result]:
    """Return the path and status of the regular file `name` in `folder`. Raise NotFound if there is none."""
    try:
        # `lstat` does not follow a link, which could lead out of the folder.
        found = os.lstat(folder / name) if _is_plain(name) else None
    except OSError:
        found = None
    if found is None or not stat.S_ISREG(found.st_mode):
        raise NotFound("file", name[:200])
    return folder / name, found


def _is_plain(name: str) -> bool:
    """Return whether `name` can be that of a served file: valid UTF-8, without a leading dot, and not a path."""
    if not name or name[0] == "." or any(mark in name for mark in "/\\\0"):
        return False
    return not any("\ud800" <= character <= "\udfff" for character in name)
