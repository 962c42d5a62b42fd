"""One run on a disk that takes 5 ms longer to sync, with a tool that is declared as pure and with one that is not.

    PYTHONPATH=. python benchmarks/slow_disk.py [MILLISECONDS] [ROUNDS]

A preloaded library delays each sync of the database; it needs a C compiler. The two take turns within each round, the
pure one with ten times as many steps.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from steps import PURE, TOOLS, run_engine, show, sqlite_in

from tests.support.faults.disk import library_in

STEPS = 200


def measure(folder: Path, steps: int, kind: str) -> float:
    """Steps per second of one run in a process of its own, whose syncs are slow."""
    command = [sys.executable, __file__, "--run", str(folder), str(steps), kind]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    milliseconds = sys.argv[1] if len(sys.argv) > 1 else "5"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    of: dict[str, list[float]] = {"impure": [], "pure": []}
    with tempfile.TemporaryDirectory(dir=".") as name:
        os.environ |= {
            "LD_PRELOAD": str(library_in(Path(name).absolute())),
            "FAULTS_FILES": "engine.db",
            "FAULTS_SYNC_MS": milliseconds,
        }
        for number in range(rounds):
            for kind, values in of.items():
                folder = Path(name) / f"{kind}{number}"
                folder.mkdir()
                values.append(measure(folder, STEPS * (10 if kind == "pure" else 1), kind))
    for kind, values in of.items():
        show(f"{kind} tool, steps/s", values, ",.0f")
    ratios = [pure / impure for pure, impure in zip(of["pure"], of["impure"], strict=True)]
    print(f"the pure one is {statistics.median(ratios):.0f} times as fast")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        folder, steps, kind = Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
        seconds = asyncio.run(run_engine(sqlite_in(folder), folder, steps, tools=PURE if kind == "pure" else TOOLS))
        print(steps / seconds)
    else:
        main()
