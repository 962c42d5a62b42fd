"""Bounds of what clients send. The OpenAPI document and the error messages name them."""

from __future__ import annotations

LIMIT_MAX = 1000
"""The most items of a page."""
TAGS_MAX = 100
"""The most tags of a run."""
TAG_KEY_CHARS_MAX = 200
TAG_VALUE_CHARS_MAX = 2000
FILTERS_MAX = 20
"""The most values of a filter that takes several."""
ID_PREFIX_CHARS_MIN = 4
SCHEDULE_NAME_CHARS_MAX = 200
SCHEDULE_EVERY_S_MIN = 0.1
SCHEDULE_NEXT = 5
"""How many next ticks the answer for a schedule lists."""
