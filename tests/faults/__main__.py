"""The long pass: `python -m tests.faults --hours 1` plays rounds of every kind of fault, and prints a matrix.

Each row of the matrix is a kind of fault on a database: how often it was injected, how many runs were acknowledged
meanwhile, and what was lost, doubled, full of holes, or answered by a 5xx other than 503. Exit code 1: anything was.

`python -m tests.faults --attacks --seconds 60` attacks a server of 512 MiB in each way, and prints another matrix.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from tests.faults.attacks.campaign import attack_all
from tests.support.faults.kinds import ON_POSTGRESQL, ON_SQLITE
from tests.support.faults.rounds import Fault, Outcome, play
from tests.support.postgres import Databases, own_server

ROUND_S = 12.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--fault", help="only this kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--round-s", type=float, default=ROUND_S, help="seconds of faults in one round")
    parser.add_argument("--attacks", action="store_true", help="attack a server of 512 MiB instead")
    parser.add_argument("--attack", nargs="*", default=[], help="only these attacks")
    parser.add_argument("--seconds", type=float, default=60.0, help="the time of each attack")
    given = parser.parse_args()
    if given.attacks or given.attack:
        return _attack(given.attack, given.seconds, given.database)
    outcomes: list[Outcome] = []
    broken: list[str] = []
    end = time.monotonic() + given.hours * 3600
    with ExitStack() as stack:
        postgres = None
        if given.database != "sqlite":
            postgres = stack.enter_context(own_server(max_connections="200"))
        for seed, (fault, on_postgres) in zip(itertools.count(given.seed), _kinds(given.database, given.fault)):
            if time.monotonic() > end:
                break
            where = None
            if on_postgres and postgres is not None:
                where = (postgres, Databases(postgres.url).migrated())
            kind = "PostgreSQL" if on_postgres else "SQLite"
            try:
                outcome = play(fault, seed, given.round_s, postgres=where)
            except Exception:
                broken.append(f"{fault.__name__} on {kind}, seed {seed}:\n{traceback.format_exc()}")
                print(broken[-1], flush=True)
                continue
            outcomes.append(outcome)
            print(f"{kind:<10} {fault.__name__:<20} seed {seed}: {outcome.runs} runs", *_wrongs(outcome), flush=True)
    _print_matrix(outcomes)
    print(f"{len(broken)} rounds did not come to their end")
    return 1 if broken or any(outcome.found for outcome in outcomes) else 0


def _attack(only: Sequence[str], seconds: float, database: str) -> int:
    results = []
    if database != "postgresql":
        results += attack_all(only, seconds)
    if database != "sqlite":
        with own_server(max_connections="200") as postgres:
            results += attack_all(only, seconds, Databases(postgres.url).migrated)
    return 1 if any(result.wrong for result in results) else 0


def _kinds(database: str, only: str | None) -> Iterator[tuple[Fault, bool]]:
    """The kinds in turn, for ever, those of the two databases alternating."""
    sqlite = [(fault, False) for fault in ON_SQLITE if only in (None, fault.__name__) and database != "postgresql"]
    postgres = [(fault, True) for fault in ON_POSTGRESQL if only in (None, fault.__name__) and database != "sqlite"]
    both = [pair for pairs in itertools.zip_longest(sqlite, postgres) for pair in pairs if pair is not None]
    return itertools.cycle(both)


def _wrongs(outcome: Outcome) -> list[str]:
    found = outcome.found
    return [f"\n    {what}: {each}" for what, all_ in found._asdict().items() for each in all_]


def _print_matrix(outcomes: list[Outcome]) -> None:
    rows: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        rows[outcome.database, outcome.fault].append(outcome)
    head = ("database", "fault", "injected", "runs", "lost", "doubled", "holes", "5xx", "503", "unsettled")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for (database, fault), of_kind in sorted(rows.items()):
        counts = (
            sum(outcome.injected for outcome in of_kind),
            sum(outcome.runs for outcome in of_kind),
            sum(len(outcome.found.lost) for outcome in of_kind),
            sum(len(outcome.found.doubled) for outcome in of_kind),
            sum(len(outcome.found.holes) for outcome in of_kind),
            sum(len(outcome.found.wrong) for outcome in of_kind),
            sum(outcome.refused for outcome in of_kind),
            sum(outcome.unsettled for outcome in of_kind),
        )
        print("| " + " | ".join([database, fault.replace("_", " "), *map(str, counts)]) + " |")


if __name__ == "__main__":
    sys.exit(main())
