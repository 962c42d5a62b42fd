"""Read from the tools' own ledger whether a limit was kept, after any fault of the servers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

TOOLS = Path(__file__).with_name("limited_tools.py")


class Call(NamedTuple):
    run_id: str
    step: int
    attempt: int
    pid: int
    began: float
    ended: float
    """Infinite if the tool has not ended."""


def calls_of(folder: Path) -> list[Call]:
    """Return the calls in the ledger, in the order in which they began. Times are of the monotonic clock."""
    begun: dict[tuple[str, int, int, int], float] = {}
    ended: dict[tuple[str, int, int, int], float] = {}
    for line in (folder / "ledger.txt").read_text().splitlines():
        what, run_id, step, attempt, pid, at = line.split()
        (begun if what == "begin" else ended)[run_id, int(step), int(attempt), int(pid)] = float(at)
    calls = [Call(*key, at, ended.get(key, float("inf"))) for key, at in begun.items()]
    return sorted(calls, key=lambda call: call.began)


def most_at_once(calls: list[Call], ends: Mapping[int, list[float]]) -> int:
    """Return how many attempts held a slot at once, at most.

    `ends` are the times at which each process was killed or frozen for longer than a lease. From then on its calls hold
    no lease, so their slots may be given to others.
    """
    changes: list[tuple[float, int]] = []
    for call in calls:
        stops = [at for at in ends.get(call.pid, ()) if at >= call.began]
        changes += [(call.began, 1), (min([call.ended, *stops]), -1)]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def most_within(calls: list[Call], period_s: float) -> int:
    """Return how many calls began within any period, at most."""
    times = [call.began for call in calls]
    return max(sum(at <= other < at + period_s for other in times) for at in times)


def by_step(calls: list[Call]) -> dict[tuple[str, int], list[Call]]:
    found: dict[tuple[str, int], list[Call]] = defaultdict(list)
    for call in calls:
        found[call.run_id, call.step].append(call)
    return found
