"""The counts and durations that an engine reports for monitoring. Two loops record them; another thread reads them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

from service.core.metrics import Histogram, Metric
from service.core.run import Transition
from service.core.transitions import OVER, Status
from service.store.commands.commit import Moved

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
TYPES_MAX = 50
"""The most error types that are counted separately. Errors of further types count as `other`."""


class Figures:
    def __init__(self) -> None:
        self._attempts = Histogram(BOUNDS_S)
        self._steps = Histogram(BOUNDS_S)
        self._failed: Counter[str] = Counter()
        # Zeros from the start: Prometheus sees no increase in a counter that begins with 1.
        self._ended: Counter[str] = Counter({status.value: 0 for status in sorted(OVER)})
        self._lock = threading.Lock()

    def note(self, transition: Transition, seconds: float, attempt_s: float | None = None) -> None:
        """Count a committed transition. `seconds` is the time from the start of its last attempt to its commit.

        `attempt_s` is the duration of the tool's call, or None if no tool was called.
        """
        with self._lock:
            if attempt_s is not None:
                self._attempts.observe(attempt_s)
            if transition.step is not None:
                self._steps.observe(seconds)
            if transition.error is not None or transition.run.status is not Status.RUNNING:
                self._count(transition)

    def note_chain(self, moves: Sequence[Moved], now: float) -> None:
        """Count the steps of a chain that was committed at `now`, a monotonic time."""
        with self._lock:
            for transition, started, finished, _ in moves:
                self._attempts.observe(finished - started)
                if transition.step is not None:
                    self._steps.observe(now - started)
                if transition.error is not None or transition.run.status is not Status.RUNNING:
                    self._count(transition)

    def _count(self, transition: Transition) -> None:
        """Count the error of a committed transition if it has one, and the end of its run if the run is over."""
        if transition.error is not None:
            name = transition.error.type
            self._failed[name if name in self._failed or len(self._failed) < TYPES_MAX else "other"] += 1
        if transition.run.status in OVER:
            self._ended[transition.run.status.value] += 1

    def metrics(self) -> Sequence[Metric]:
        return (
            Metric(
                "attempt_duration_seconds", "histogram", "Time in a tool, of attempts by this server.", self._attempts
            ),
            Metric("step_duration_seconds", "histogram", "Time from a step's last attempt to its commit.", self._steps),
            Metric(
                "attempts_failed",
                "counter",
                "Failed attempts of this server, by error type.",
                dict(self._failed),
                "type",
            ),
            Metric("runs_ended", "counter", "Runs that ended on this server.", dict(self._ended), "status"),
        )
