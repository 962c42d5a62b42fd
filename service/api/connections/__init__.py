"""Limits on connections that apply before the access rules: their number, their duration and what each may send.

configuration       uvicorn's options that every server has
http                bounds of the HTTP parser: bytes, lines and time of a head, pace of a body, pipelined requests
open_connections    all connections of a server: which to admit, which to close
handshakes          how many handshakes of WebSockets are in progress at a time
inbound_limit       what a client may send on a log stream
descriptors         how many files the process may open, and how many of them may be connections
log_rate            log records that clients can cause: at most one per second of each kind
"""

from __future__ import annotations

from service.api.connections.configuration import uvicorn_config
from service.api.connections.descriptors import backlog, raise_descriptor_limit
from service.api.connections.http import HttpProtocol
from service.api.connections.log_rate import rate_limited_logs

__all__ = ["HttpProtocol", "backlog", "raise_descriptor_limit", "rate_limited_logs", "uvicorn_config"]
