"""What the API needs of the rest of the house. `main` makes it; the API imports neither engine nor example.

`ApiSettings` is there when the app is built, `Services` from the app's startup on, as `app.state.services`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.api.stop import Stop
from service.core.graph import Graph
from service.core.tool import JsonObject, Tool
from service.store import Store

WRITE_WITHIN_S = 5.0
"""How long a call waits for a database that somebody else keeps locked, before it says 503."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    body_bytes_max: int = 2**20
    state_bytes_max: int = 16 * 2**20
    upload_bytes_max: int = 256 * 2**20
    api_token: str | None = None
    allow_anonymous: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """The example graph, as `POST /demo/run_data_quality` starts it."""

    graph: Graph
    datasets: Collection[str]
    """The first is the one that a call without a body gets."""
    initial_state: Callable[[JsonObject, float, JsonObject], JsonObject]
    """From a source (`{"kind": "dataset", "name"}`, `{"kind": "csv" | "rows", "file"}`), a threshold, and what else is
    asked: `mode`, `allow`, `keep`, and `options` for a CSV file."""
    faults: Callable[[JsonObject], list[tuple[str, str]]]
    """What is wrong with what is asked: names of the parts, such as `delimiter`, each with what it may be."""


@dataclass(frozen=True, slots=True)
class Services:
    store: Store
    tools: Mapping[str, Tool]
    example: Example
    runs_folder: Path
    """A run's own folder is in here, under its id."""
    ready: Callable[[], Awaitable[str | None]]
    """Why this server cannot take work now; None where it can."""
    stop: Stop
