"""Compare the engine with its peers and the limit: in each round all run in turn, in fresh processes on fresh files.

    python benchmarks/compare.py S1 [S2 S3 S4 S5 S8] [--rounds 5]

Prints a table for each workload and writes its figures to `results/`, from which `support/plot.py` draws. The
competitors are in `COMPETITORS`, the workloads in `WORKLOADS`, and what each competitor does for them is in `peers/`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.environments import Missing, python_of, versions_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OURS = "rungraph"
PURE = "rungraph (pure)"
"""The same with a tool that is declared as pure, whose steps need not wait for the disk one after the other."""
TIMEOUT_S = 1800
"""For one competitor in one round."""

Figures = dict[str, dict[str, Any]]
"""Of one round: what each competitor printed."""


@dataclass(frozen=True)
class Competitor:
    module: str
    environment: str | None
    """None: that of this checkout."""
    variant: str = ""


COMPETITORS = {
    OURS: Competitor("rungraph", None),
    PURE: Competitor("rungraph", None, "pure"),
    "raw": Competitor("raw", None),
    "bare": Competitor("bare", None),
    "langgraph": Competitor("langgraph", "langgraph"),
    "langgraph (async)": Competitor("langgraph", "langgraph", "async"),
    "langgraph (exit)": Competitor("langgraph", "langgraph", "exit"),
    "langgraph dev": Competitor("langgraph", "langgraph-dev"),
    "dbos": Competitor("dbos", "dbos"),
    "dbos (WAL)": Competitor("dbos", "dbos", "wal"),
    "burr": Competitor("burr", "burr"),
    "burr (WAL)": Competitor("burr", "burr", "wal"),
    "burr (sync)": Competitor("burr", "burr", "sync"),
    "dura": Competitor("dura", "dura"),
    "absurd": Competitor("absurd", "absurd"),
}
LANGGRAPHS = ("langgraph", "langgraph (async)", "langgraph (exit)")
ON_SQLITE = (OURS, PURE, "raw", *LANGGRAPHS, "dbos", "dbos (WAL)", "burr", "burr (WAL)", "burr (sync)", "dura")
ON_POSTGRES = (OURS, PURE, "raw", *LANGGRAPHS, "dbos", "absurd")


@dataclass(frozen=True)
class Workload:
    title: str
    asked: str
    """What the competitors' command line calls it."""
    competitors: tuple[str, ...]
    unit: str = "steps/s"
    on_postgres: bool = False
    servers: int = 0
    shows_bytes: bool = False

    def value(self, line: dict[str, Any]) -> float:
        seconds = float(line["seconds"])
        return seconds if self.unit == "s" else line["steps"] / seconds

    def ratio(self, ours: float, other: float) -> float:
        """How many times as fast we are."""
        return other / ours if self.unit == "s" else ours / other


WORKLOADS = {
    "S1": Workload("one run, 1,000 steps", "S1", ON_SQLITE),
    "S2": Workload("1,000 runs × 10 steps at once", "S2", ON_SQLITE),
    "S3": Workload(
        "1 MiB constant in the state, 200 steps",
        "S3",
        tuple(name for name in ON_SQLITE if name not in (PURE, *LANGGRAPHS[1:])),
        shows_bytes=True,
    ),
    "S4": Workload(
        "1,000 runs resumed after SIGKILL, 5 steps left each", "S4", (OURS, "langgraph", "dbos", "dbos (WAL)"), "s"
    ),
    "S5": Workload("POST /graph/run from 20 connections", "S5", (OURS, "bare", "langgraph dev"), "requests/s"),
    "S8-S1": Workload("PostgreSQL: one run, 1,000 steps", "S1", ON_POSTGRES, on_postgres=True),
    "S8-S1-3": Workload(
        "PostgreSQL: one run, three servers", "S1", (OURS, "dbos", "absurd"), on_postgres=True, servers=3
    ),
    "S8-S2": Workload("PostgreSQL: 1,000 runs × 10 steps, one server", "S2", ON_POSTGRES, on_postgres=True, servers=1),
    "S8-S2-3": Workload(
        "PostgreSQL: 1,000 runs × 10 steps, three servers", "S2", ON_POSTGRES, on_postgres=True, servers=3
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="+", metavar="WORKLOAD", help=f"S8 (all of it) or {', '.join(WORKLOADS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", type=lambda text: text.split(","), help="competitors, by commas; ours always runs")
    parser.add_argument("--runs", type=int, help="fewer than the workload has, for a trial")
    parser.add_argument("--steps", type=int, help="likewise")
    parser.add_argument("--cache", type=Path, default=HERE / ".envs", help="where environments are kept")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    given = parser.parse_args()
    names = [name for asked in given.workloads for name in WORKLOADS if name == asked or name.startswith(f"{asked}-")]
    if not names:
        parser.error(f"no workload is called {' or '.join(given.workloads)}")
    (HERE / ".runs").mkdir(exist_ok=True)
    given.results.mkdir(parents=True, exist_ok=True)
    with databases(any(WORKLOADS[name].on_postgres for name in names)) as made:
        for name in names:
            compare(name, given, made)
    plot(given)


def compare(name: str, given: argparse.Namespace, made: Any) -> None:
    """All rounds of one workload, its table and its file of figures."""
    workload = WORKLOADS[name]
    chosen = [other for other in workload.competitors if not given.only or other in (OURS, *given.only)]
    pythons, versions = interpreters(chosen, given.cache)
    rounds: list[Figures] = []
    for number in range(given.rounds):
        # Each round begins with another one, so that nobody always comes after the same.
        order = list(pythons)[number % len(pythons) :] + list(pythons)[: number % len(pythons)]
        figures = {other: run(workload, other, pythons[other], given, made) for other in order}
        rounds.append({other: figures[other] for other in pythons})
    rows = rows_of(workload, rounds)
    title = workload.title + (" (trial sizes)" if given.runs or given.steps else "")
    print(table(name, title, workload, rows), flush=True)
    about = {"workload": name, "title": title, "unit": workload.unit, "rows": rows, "rounds": rounds}
    taken = {"machine": machine(), "commit": commit(), "versions": versions}
    (given.results / f"{name}.json").write_text(json.dumps(about | taken, indent=1, ensure_ascii=False) + "\n")


def interpreters(names: list[str], cache: Path) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """The Python of each competitor that can run here, and what is installed in each environment."""
    pythons, versions = {}, {}
    for name in names:
        environment = COMPETITORS[name].environment
        try:
            pythons[name] = Path(sys.executable) if environment is None else python_of(environment, cache)
        except Missing as missing:
            print(f"{name} is left out: {missing}", file=sys.stderr)
            continue
        if environment is not None:
            versions[environment] = versions_of(pythons[name])
    return pythons, versions


def run(workload: Workload, name: str, python: Path, given: argparse.Namespace, made: Any) -> dict[str, Any]:
    """One competitor's line, from a process of its own; an `error` where it failed."""
    competitor = COMPETITORS[name]
    url = fresh(made) if workload.on_postgres else None
    with tempfile.TemporaryDirectory(dir=HERE / ".runs", ignore_cleanup_errors=True) as folder:
        command = [str(python), "-P", "-m", f"peers.{competitor.module}", workload.asked, "--folder", folder]
        command += ["--url", url] if url else []
        command += ["--servers", str(workload.servers)] if workload.servers else []
        command += ["--variant", competitor.variant] if competitor.variant else []
        for size in ("runs", "steps"):
            command += [f"--{size}", str(getattr(given, size))] if getattr(given, size) else []
        ours = competitor.environment is None
        paths = os.pathsep.join(map(str, (HERE, ROOT) if ours else (HERE,)))
        os.sync()  # What the last one left for the disk is not this one's to wait for.
        line = line_of(command, {**os.environ, "PYTHONPATH": paths}, folder)
    if url:
        made.drop(url)
    shown = line.get("error") or f"{workload.value(line):,.1f} {workload.unit}"
    print(f"  {workload.title}: {name}: {shown}", file=sys.stderr, flush=True)
    return line


def line_of(command: list[str], environment: dict[str, str], folder: str) -> dict[str, Any]:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=environment, cwd=folder, start_new_session=True, **pipes)
    try:
        out, errors = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return {"error": f"did not end within {TIMEOUT_S} s"}
    finally:
        # Its servers as well, where it did not come to end them itself.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        return {"error": f"ended with {process.returncode}: {errors.strip()[-2000:]}"}
    line: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return line


def rows_of(workload: Workload, rounds: list[Figures]) -> list[dict[str, Any]]:
    """Each competitor over all rounds that it ended; its ratio only over rounds that we ended as well."""
    rows = []
    for name in rounds[0]:
        lines = [figures[name] for figures in rounds if "error" not in figures[name]]
        if not lines:
            rows.append({"name": name, "error": rounds[0][name]["error"]})
            continue
        values = [workload.value(line) for line in lines]
        row = {"name": name, "rounds": len(lines), "ratio": ratios_to(workload, rounds, OURS, name), **spread(values)}
        if PURE in rounds[0]:
            row["ratio_of_pure"] = ratios_to(workload, rounds, PURE, name)
        sizes = [line["bytes"] for line in lines if line["bytes"] is not None]
        rows.append({**row, "bytes": statistics.median(sizes) if sizes else None, "durability": lines[0]["durability"]})
    return rows


def ratios_to(workload: Workload, rounds: list[Figures], ours: str, name: str) -> dict[str, float] | None:
    """How many times as fast `ours` is as `name`, over the rounds that both have ended."""
    ratios = [
        workload.ratio(workload.value(figures[ours]), workload.value(figures[name]))
        for figures in rounds
        if "error" not in figures[name] and "error" not in figures[ours]
    ]
    return spread(ratios) if ratios else None


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def table(name: str, title: str, workload: Workload, rows: list[dict[str, Any]]) -> str:
    """In Markdown. The ratio is ours to the row's, taken within each round."""
    more = " with a pure tool |" if PURE in workload.competitors else ""
    more += " MiB on disk |" if workload.shows_bytes else ""
    lines = [
        f"\n**{name}**: {title} ({workload.unit})\n",
        f"| | median | min | max | rungraph is … times as fast | min | max |{more}",
        f"|---|---:|---:|---:|---:|---:|---:|{'---:|' * more.count('|')}",
    ]
    form = ",.2f" if workload.unit == "s" else ",.0f"
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['name']} | failed |" + " |" * (5 + more.count("|")))
            continue
        values = [f"{row[of]:{form}}" for of in ("median", "min", "max")]
        ratios = [f"{row['ratio'][of]:.2f}" if row["ratio"] else "" for of in ("median", "min", "max")]
        if row["name"] == OURS:
            ratios = [""] * 3
        if PURE in workload.competitors:
            ratios.append(f"{row['ratio_of_pure']['median']:.2f}" if row.get("ratio_of_pure") else "")
        size = f"{row['bytes'] / 2**20:,.1f}" if row["bytes"] is not None else ""
        lines.append(f"| {' | '.join([row['name'], *values, *ratios, *([size] if workload.shows_bytes else [])])} |")
    return "\n".join(lines)


@contextmanager
def databases(wanted: bool) -> Iterator[Any]:
    """A PostgreSQL of our own with what it comes with: fsync and synchronous_commit on."""
    if not wanted:
        yield None
        return
    sys.path.insert(0, str(ROOT))
    from tests.support.postgres import Databases, own_server

    with own_server(max_connections="200") as server:
        yield Databases(server.url)


def fresh(made: Any) -> str:
    """A database that nobody used, on a server that has nothing left to write."""
    import psycopg

    url: str = made.empty()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    return url


def machine() -> dict[str, Any]:
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }


def commit() -> str:
    """What of ours was measured."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def plot(given: argparse.Namespace) -> None:
    try:
        python = python_of("plot", given.cache)
    except Missing as missing:
        print(f"no plot: {missing}", file=sys.stderr)
        return
    subprocess.run([python, HERE / "support" / "plot.py", given.results], check=True)


if __name__ == "__main__":
    main()
