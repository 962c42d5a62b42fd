"""What the API needs from other packages. `main` provides it, so the API imports neither engine nor example.

The application is built with an `ApiSettings`. Its lifespan sets `app.state.services` to a `Services`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.api.stop import Stop
from service.core.graph import Graph
from service.core.metrics import Metric
from service.core.operations.webhooks import AllowedHosts
from service.core.tool import JsonObject, Tool
from service.store import Store

WRITE_WITHIN_S = 5.0
"""How long a call waits for a locked database before it is answered with 503."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Limits and access settings of the API."""

    body_bytes_max: int = 2**20
    state_bytes_max: int = 16 * 2**20
    upload_bytes_max: int = 256 * 2**20
    api_token: str | None = None
    allow_anonymous: bool = False
    webhook_hosts: AllowedHosts = field(default_factory=AllowedHosts)
    can_sign_webhooks: bool = False
    accepts_test_client: bool = False
    """Whether Starlette's TestClient counts as a client on this machine. The TestClient uses no socket."""
    page_folder: Path = Path(__file__).parent.parent / "page"
    """Contains the files of the web page."""


@dataclass(frozen=True, slots=True)
class Example:
    """The example graph that `POST /demo/run_data_quality` starts."""

    graph: Graph
    datasets: Collection[str]
    """Names of the bundled data sets. The first is the default."""
    initial_state: Callable[[JsonObject, float, JsonObject], JsonObject]
    """Makes the state from a source (`{"kind": "dataset", "name"}` or `{"kind": "csv" | "rows", "file"}`), a threshold
    and the other parameters: `mode`, `allow`, `keep`, and `options` for a CSV file."""
    faults: Callable[[JsonObject], list[tuple[str, str]]]
    """Returns the faults of the parameters: for each, the parameter's name, such as `delimiter`, and a message."""


@dataclass(frozen=True, slots=True)
class Services:
    """The store and the other objects that the routes use while the application runs."""

    store: Store
    tools: Mapping[str, Tool]
    example: Example
    runs_folder: Path
    """Contains one folder per run, named by the run's id."""
    ready: Callable[[], Awaitable[str | None]]
    """Returns why this server is not ready, or None if it is ready."""
    stop: Stop
    engine_metrics: Callable[[], Sequence[Metric]] = tuple
    """Returns what the engine of this server has counted. Empty if the server has no engine."""
    note: Callable[[], str | None] = lambda: None
    """Returns what delays runs of this server although the server is ready, or None if nothing does."""
