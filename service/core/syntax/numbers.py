"""The bound of counts, limits and cursors."""

from __future__ import annotations

NUMBER_MAX = 2**63 - 1
"""The largest integer that a column of either database holds."""
