"""Connections before there is a call, when nobody is known yet: how many, for how long, and how much each may send.

http          the parser's bounds: a head's bytes, lines and time, a body's pace, requests ahead of their answers
crowd         all connections of a server: who is let in, who waits too long
incoming      what a client may send on a log stream
descriptors   how many files the process may have open, and how many of them are connections
sparing       lines of the log that clients can cause, at most one a second of a kind
"""

from __future__ import annotations

from service.api.connections.descriptors import backlog, raise_descriptor_limit
from service.api.connections.http import HttpProtocol
from service.api.connections.incoming import MESSAGE_BYTES_MAX
from service.api.connections.sparing import sparing_logs

__all__ = ["MESSAGE_BYTES_MAX", "HttpProtocol", "backlog", "raise_descriptor_limit", "sparing_logs"]
