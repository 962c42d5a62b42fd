"""Rungraph for programs: declare tools, ask a server, embed one, and try a graph without one.

Each name is imported when it is first used, so `import rungraph` costs next to nothing.
"""

from typing import TYPE_CHECKING

from service.lazy import attributes_of

if TYPE_CHECKING:
    from service.client import ApiError, AsyncClient, Client, ServerUnreachable
    from service.core.tool import Context
    from service.embedding import create_app
    from service.simulation import Trace, simulate
    from service.tools.registry import tool
    from service.version import VERSION as __version__
else:
    __getattr__, __dir__ = attributes_of(
        __name__,
        ApiError="service.client",
        AsyncClient="service.client",
        Client="service.client",
        Context="service.core.tool",
        ServerUnreachable="service.client",
        Trace="service.simulation",
        create_app="service.embedding",
        simulate="service.simulation",
        tool="service.tools.registry",
        __version__="service.version:VERSION",
    )

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "Context",
    "ServerUnreachable",
    "Trace",
    "__version__",
    "create_app",
    "simulate",
    "tool",
]
