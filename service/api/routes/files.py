"""Files that a run left in its folder, and nothing else of the disk.

A file is a regular one directly in there; a name with a dot in front is one that a tool still writes.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from anyio import to_thread
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from service.api.parameters import RunId, Served, routes
from service.api.responses.openapi import FILE, refusals
from service.core.errors import NotFound

_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".sql": "text/plain",
    ".txt": "text/plain",
}

router = routes(tags=["runs"])


class WholeFile(FileResponse):
    """A download, always of all of it: a `Range` is passed over, as it may be."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [header for header in scope["headers"] if header[0] != b"range"]
        await super().__call__({**scope, "headers": headers}, receive, send)


@router.get("/runs/{run_id}/files/{name}", response_class=WholeFile, responses={200: FILE, **refusals(404)})
async def get_file(run_id: RunId, name: str, services: Served) -> WholeFile:
    """A file that the run left in its folder."""
    await services.store.runs.get(run_id)
    path, found = await to_thread.run_sync(_regular_file, services.runs_folder / run_id, name)
    return WholeFile(
        path,
        media_type=_MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream"),
        filename=name,
        stat_result=found,
        headers={"X-Content-Type-Options": "nosniff", "Accept-Ranges": "none"},
    )


def _regular_file(folder: Path, name: str) -> tuple[Path, os.stat_result]:
    """The file `name` of `folder`; NotFound where it is none."""
    plain = bool(name) and not name.startswith(".") and not any(mark in name for mark in "/\\\0")
    try:
        # Not stat: a link could lead out of the folder.
        found = os.lstat(folder / name) if plain else None
    except OSError:
        found = None
    if found is None or not stat.S_ISREG(found.st_mode):
        raise NotFound("file", name[:200])
    return folder / name, found
