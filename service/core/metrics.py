"""Figures for monitoring: what a metric is, and a histogram that costs little to write."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple


class Histogram:
    """Counts observations by size.

    Only one thread at a time may call `observe`. Other threads may read the counts, and may miss the last observation.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Make a bucket for each of `bounds`, its inclusive upper bound, and one for larger observations.

        `bounds` must ascend.
        """
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Metric(NamedTuple):
    """A Prometheus metric with its current value."""

    name: str
    """Without the prefix `rungraph_` and, for a counter, without the suffix `_total`."""
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    value: float | Histogram | Mapping[str, float]
    """A number, a histogram, or a mapping from each value of the label `label` to a number."""
    label: str | None = None
