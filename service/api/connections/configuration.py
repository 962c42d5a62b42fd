"""The part of uvicorn's configuration that every server of the API has."""

from __future__ import annotations

from typing import Any

import uvicorn
from starlette.types import ASGIApp

from service.api.connections.http import HttpProtocol
from service.api.connections.inbound_limit import MESSAGE_BYTES_MAX


def uvicorn_config(app: ASGIApp, **options: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=HttpProtocol,
        # The application bounds what a client sends on a log stream; this is in front of it.
        ws_max_size=MESSAGE_BYTES_MAX,
        ws_per_message_deflate=False,
        **options,
    )
