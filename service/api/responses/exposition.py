"""Render metrics in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from service.core.metrics import Histogram, Metric
from service.version import VERSION

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "rungraph_"


def exposition(metrics: Sequence[Metric]) -> bytes:
    """Return the body of an answer to Prometheus: `metrics`, and one more metric with the version of Rungraph."""
    from prometheus_client import CollectorRegistry, generate_latest  # most servers are never scraped
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.registry import Collector

    families = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}

    class Found(Collector):
        def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
            version = GaugeMetricFamily(f"{PREFIX}build_info", "The version of Rungraph.", labels=["version"])
            version.add_metric([VERSION], 1)
            yield version
            for metric in metrics:
                name, value = PREFIX + metric.name, metric.value
                if isinstance(value, Histogram):
                    yield HistogramMetricFamily(name, metric.help, buckets=_buckets(value), sum_value=value.sum)
                    continue
                family = families[metric.kind](name, metric.help, labels=[metric.label] if metric.label else [])
                for label, number in (value if isinstance(value, Mapping) else {"": value}).items():
                    family.add_metric([label] if metric.label else [], number)
                yield family

    registry = CollectorRegistry()
    registry.register(Found())
    return generate_latest(registry)


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Return the upper bound of each bucket as text, with the number of observations that do not exceed this bound."""
    bounds = [*map(str, map(float, histogram.bounds)), "+Inf"]
    return list(zip(bounds, accumulate(histogram.counts), strict=True))
