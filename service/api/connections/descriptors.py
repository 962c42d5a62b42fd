"""Limits on file descriptors. Connections use at most half of them; the database, tools and files need the rest."""

from __future__ import annotations

import resource

DESCRIPTORS_WANTED = 65_536
CONNECTIONS_MAX = 2048
BACKLOG_MAX = 1024
"""The most connections that asyncio accepts in one go."""


def raise_descriptor_limit() -> None:
    """Raise the process's limit of open files, often 1,024, to DESCRIPTORS_WANTED or to the hard limit if lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections_max() -> int:
    """Return how many connections may be open at a time."""
    return max(1, min(CONNECTIONS_MAX, _descriptors() // 2))


def backlog() -> int:
    """Return how many connections may wait to be accepted. asyncio accepts that many in one go."""
    return max(1, min(BACKLOG_MAX, _descriptors() // 8))


def _descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DESCRIPTORS_WANTED if soft == resource.RLIM_INFINITY else soft
