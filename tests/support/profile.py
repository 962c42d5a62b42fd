"""How often tests repeat a check: seldom in an ordinary run, often with `RUNGRAPH_TESTS=long`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

LONG = os.environ.get("RUNGRAPH_TESTS") == "long"
"""Whether this run takes the time for many examples, as before a release. Every check is made in either run."""


def repeat(ordinary: int, long: int) -> int:
    """Return how many times to repeat something: examples of a property, rounds, kills."""
    return long if LONG else ordinary


def load_hypothesis_profile() -> None:
    """Register and load Hypothesis's settings. They bound no time, since other processes may have the cores."""
    for name, examples in (("ordinary", 20), ("long", 200)):
        settings.register_profile(
            name, deadline=None, max_examples=examples, suppress_health_check=[HealthCheck.too_slow]
        )
    settings.load_profile("long" if LONG else "ordinary")
