"""Read a scrape with the parser of prometheus-client."""

from __future__ import annotations

from collections import defaultdict

from prometheus_client.parser import text_string_to_metric_families


def samples_of(text: str) -> dict[str, dict[str, float]]:
    """Return the values of each sample's name, by the value of its only label; without labels by the empty text."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name]["".join(sample.labels.values())] = sample.value
    return dict(found)
