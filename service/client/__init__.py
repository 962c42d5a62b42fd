"""Clients of a server, for programs and for the command line.

calls        what each call of the API looks like
messages     a call and its answer, as plain values
errors       the errors that a client raises
retrying     when a call is made again after the connection broke
connections  send a call with httpx and return its answer
events       read server-sent events
shown        runs as a notebook shows them
picture      a graph with the path of a run, as SVG
client       Client, whose methods block
async_client AsyncClient, whose methods are awaited
"""

from service.client.async_client import AsyncClient
from service.client.client import Client
from service.client.connections import AsyncConnection
from service.client.errors import ApiError, NotRungraph, ServerUnreachable
from service.client.messages import Answer, Request
from service.client.shown import RunState, RunView

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
