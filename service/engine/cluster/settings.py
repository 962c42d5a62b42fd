"""The settings of the cluster that a server uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.core.errors import StartRefused

TOOL_ARGUMENTS = ("-P", "-m", "service", "isolated")
"""The arguments with which a worker's Python starts a process that calls tools."""
LOCAL_ARGUMENTS = ("-P", "-m", "service", "cluster")
"""The arguments with which Python starts a cluster of this machine."""


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    address: str | None
    """The address of the scheduler, or None if this server starts a cluster on this machine."""
    calls_max: int
    """The most calls that the server has on the cluster at the same time. Further calls wait without a thread."""
    tools: Callable[[], Any] = dict
    """Returns the tools that a process of a worker has to load, as JSON."""
    tool_arguments: tuple[str, ...] = TOOL_ARGUMENTS
    local_arguments: tuple[str, ...] = LOCAL_ARGUMENTS

    @property
    def name(self) -> str:
        """The cluster, as messages name it."""
        return "the cluster of this machine" if self.address is None else f"the cluster {self.address}"


def check_installed() -> None:
    """Raise StartRefused if Dask's package is not installed."""
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise StartRefused(f"RUNGRAPH_CLUSTER needs the extra `dask`: pip install 'rungraph[dask]' ({error})") from None
