"""The largest number that a count, a limit or a cursor may be."""

from __future__ import annotations

NUMBER_MAX = 2**63 - 1
"""The largest integer that columns of both databases can hold."""
