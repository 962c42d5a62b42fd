"""Figures for monitoring: what a metric is, and a histogram that costs little to write."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple


class Histogram:
    """Counts observations by size. One thread at a time observes; others may read, and miss the last one."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` are the upper bounds of the buckets, ascending; larger observations are in one more."""
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Metric(NamedTuple):
    """A metric of Prometheus, as it stands now."""

    name: str
    """Without the prefix `rungraph_` and, for a counter, without the suffix `_total`."""
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    value: float | Histogram | Mapping[str, float]
    """A mapping has a value for each value of `label`."""
    label: str | None = None
