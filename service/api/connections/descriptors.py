"""File descriptors: connections take half of them at most; the rest is for the database, tools and their files."""

from __future__ import annotations

import resource

DESCRIPTORS_WANTED = 65_536
CONNECTIONS_MAX = 2048
BACKLOG_MAX = 1024
"""Connections that are taken in at once, before any of them is looked at."""


def raise_descriptor_limit() -> None:
    """Let this process open as many files as it may, up to DESCRIPTORS_WANTED; shells usually give it 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections_max() -> int:
    """How many connections may be open at a time."""
    return max(1, min(CONNECTIONS_MAX, _descriptors() // 2))


def backlog() -> int:
    """How many connections may wait to be taken in; asyncio takes in so many at once."""
    return max(1, min(BACKLOG_MAX, _descriptors() // 8))


def _descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DESCRIPTORS_WANTED if soft == resource.RLIM_INFINITY else soft
