"""Clients of a server, for programs and for the command line.

calls        what each call of the API looks like
messages     a call and its answer, as plain values
errors       the errors that a client raises
retrying     decide whether and when a failed call is made again
connections  send a call with httpx and return its answer
events       read server-sent events
following    read the pages of a list, and the log of a run that is not over
shown        runs as a notebook shows them
picture      a graph with the path of a run, as SVG
client       Client, whose methods block
async_client AsyncClient, whose methods are awaited

Each name is imported when it is first used: the command line needs few of them.
"""

from typing import TYPE_CHECKING

from service.lazy import attributes_of

if TYPE_CHECKING:
    from service.client.async_client import AsyncClient
    from service.client.client import Client
    from service.client.connections import AsyncConnection
    from service.client.errors import ApiError, NotRungraph, ServerUnreachable
    from service.client.messages import Answer, Request
    from service.client.shown import RunState, RunView
else:
    __getattr__, __dir__ = attributes_of(
        __name__,
        Answer="service.client.messages",
        ApiError="service.client.errors",
        AsyncClient="service.client.async_client",
        AsyncConnection="service.client.connections",
        Client="service.client.client",
        NotRungraph="service.client.errors",
        Request="service.client.messages",
        RunState="service.client.shown",
        RunView="service.client.shown",
        ServerUnreachable="service.client.errors",
    )

__all__ = [
    "Answer",
    "ApiError",
    "AsyncClient",
    "AsyncConnection",
    "Client",
    "NotRungraph",
    "Request",
    "RunState",
    "RunView",
    "ServerUnreachable",
]
