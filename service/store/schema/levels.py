"""The levels of priority that runs with a due time have, found by one search of an index for each level.

The index of due runs begins with the priority. So one search for each level finds what is due, in the order in which
runs are claimed, and reads no run that is due later.
"""

from __future__ import annotations

from service.core.queueing.limits import PRIORITY_MAX, PRIORITY_MIN

LEVELS_MAX = PRIORITY_MAX - PRIORITY_MIN + 2
"""The most rows of LEVELS."""

LEVELS = """\
WITH RECURSIVE levels (priority) AS (
    SELECT max(priority) FROM runs WHERE due_at IS NOT NULL
    UNION ALL
    SELECT (SELECT max(r.priority) FROM runs AS r WHERE r.due_at IS NOT NULL AND r.priority < levels.priority)
    FROM levels WHERE levels.priority IS NOT NULL
)"""
"""The beginning of a query that reads `levels`, the highest priority first. The last one is NULL."""
