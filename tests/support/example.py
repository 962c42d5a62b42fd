"""Walks the example's graph tool by tool, so that its tests need neither engine nor store."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from service.core.graph import ToolNode
from service.core.routing.conditions import decide
from service.core.state import State
from service.core.validation import read_graph
from service.example import GRAPH, TOOLS

FUNCTIONS = {tool.name: tool.function for tool in TOOLS}


READ_GRAPH = read_graph(GRAPH, FUNCTIONS)


@dataclass
class Attempt:
    """What a tool gets as its context."""

    folder: Path
    run_id: str = "run"
    step: int = 1
    attempt: int = 1
    node: str = ""
    lines: list[str] = field(default_factory=list)

    @property
    def idempotency_key(self) -> str:
        return f"{self.run_id}:{self.step}"

    def log(self, message: str, **data: Any) -> None:
        json.dumps(data, allow_nan=False)
        self.lines.append(message)


@dataclass
class Walk:
    """A run of the graph over one source, from its start to its end."""

    attempt: Attempt
    state: dict[str, Any]
    nodes: list[str] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    """The state that the last step started from."""
    before_each: Callable[[Walk, str], None] = lambda _walk, _node: None
    after_each: Callable[[Walk, str], None] = lambda _walk, _node: None

    def to_the_end(self) -> Walk:
        node: str | None = READ_GRAPH.start_node
        while node:
            self.before_each(self, node)
            self.take(node)
            self.after_each(self, node)
            node = decide(READ_GRAPH.edges_from(node), State.of(self.state, 1 << 24)).to
            self.attempt.step += 1
        return self

    def take(self, node: str) -> None:
        self.before, self.state = self.state, self.outcome(node)
        self.nodes.append(node)

    def outcome(self, node: str) -> dict[str, Any]:
        """The state after a node, as JSON brings it back; this walk's own is left as it is."""
        given = json.loads(json.dumps(self.state))
        self.attempt.node = node
        called = READ_GRAPH.nodes[node]
        assert isinstance(called, ToolNode)
        returned = FUNCTIONS[called.tool](given, context=self.attempt)
        after: dict[str, Any] = json.loads(json.dumps(given | returned, allow_nan=False))
        return after

    @property
    def totals(self) -> list[int]:
        return [entry["anomaly_count"] for entry in self.state["history"]]

    def counts(self, iteration: int) -> dict[str, int]:
        """What was found in an iteration, by kind."""
        found = self.state["history"][iteration - 1]["counts"]
        return {kind: count for kind, count in found.items() if count}

    def file(self, role: str) -> Path:
        return self.attempt.folder / str(self.state["output"][role])

    def rows(self, role: str) -> list[list[str]]:
        """The records of one of the CSV files, without the header."""
        return read_csv(self.file(role))[1:]

    def cleaned(self) -> list[list[str]]:
        return self.rows("table_csv")

    def column(self, name: str) -> list[str]:
        header, *rows = read_csv(self.file("table_csv"))
        return [row[header.index(name)] for row in rows]

    def changes(self) -> list[tuple[int, str, str, str, str]]:
        """Row, column, before, after and kind of each change."""
        return [
            (int(row), column, before, after, kind) for row, column, before, after, kind, *_ in self.rows("changes_csv")
        ]

    def flags(self, kind: str | None = None) -> list[tuple[str, str, str, str, str]]:
        """Row, column, value, kind and reason of each flag."""
        return [(row[0], row[1], row[2], row[3], row[4]) for row in self.rows("flags_csv") if kind in (None, row[3])]

    @property
    def types(self) -> dict[str, str]:
        return {rule["column"]: rule["type"] for rule in self.state["rules"] if rule["kind"] == "column"}

    def validate(self, table: Path, **reading: Any) -> None:
        """Hold a CSV file against the run's Pandera schema; SchemaErrors where it does not pass."""
        import pandas as pd  # type: ignore[import-untyped]  # its types are a package of their own

        self.validate_frame(pd.read_csv(table, **reading))

    def validate_frame(self, frame: Any) -> None:
        from pandera.io.pandas_io import from_yaml

        schema = from_yaml(self.file("schema_yaml"))  # type: ignore[no-untyped-call]  # pandera has no types there
        schema.validate(frame, lazy=True)

    def query(self, rest: str) -> list[tuple[Any, ...]]:
        """SELECT … from the cleaned table."""
        with duckdb.connect(":memory:") as db:
            path = str(self.file("table_parquet")).replace("'", "''")
            db.execute(f"CREATE VIEW cleaned AS FROM read_parquet('{path}')")
            return db.execute(rest).fetchall()


def schema_errors() -> Any:
    """Return what Pandera raises. Few tests need it, and every process of the tests would import it for seconds."""
    from pandera.errors import SchemaErrors

    return SchemaErrors


def read_csv(path: Path) -> list[list[str]]:
    csv.field_size_limit(1 << 30)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


Start = Callable[..., Walk]
