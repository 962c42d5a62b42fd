"""The SQL of every statement of the store, found by walking its modules."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import CompoundSelect, Select, TextClause
from sqlalchemy.dialects import postgresql, sqlite

from service.core.run import Level, WaitKind
from service.store import commands, database, queries, rows
from service.store.database.statements import ForRows, Statement, insert_into
from service.store.queries.graphs import latest_named
from service.store.queries.runs.filter import (
    Rare,
    RunFilter,
    count_of_graphs,
    count_of_prefix,
    graphs_named,
    matching,
    tagged_count,
)
from service.store.queries.runs.lines import LineFilter, lines_found
from service.store.queries.runs.steps import numbers_of
from service.store.schema import models
from service.store.schema.models import log_lines

FOLDER = Path(__file__).parent
DIALECTS = {
    "sqlite": sqlite.dialect(paramstyle="named"),
    "postgresql": postgresql.dialect(paramstyle="named"),  # type: ignore[no-untyped-call]  # untyped there
}
WIDTH = 110


def files() -> dict[str, str]:
    """Return what each file of this folder must hold, by its name."""
    found = {"inserts.sql": "\n".join(_insert(name) for name in sorted(models.metadata.tables))}
    for room in (commands, database, queries, rows):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            if texts := list(_texts_of(importlib.import_module(module.name))):
                name = "/".join(module.name.split(".")[2:])
                found[f"{name}.sql"] = "\n".join(texts)
    return found


def _texts_of(module: Any) -> Iterator[str]:
    """Yield the texts of a module's own statements, in the order of their definition."""
    for name, value in vars(module).items():
        if name.lower() == name or not _is_defined_in(module, name):
            continue  # A part of statements, or imported.
        for entry, by_dialect in _statements(name, value):
            texts = [(dialect, text) for dialect, of in by_dialect.items() for text in _compiled(of, dialect)]
            if texts:
                yield _entry(entry, texts)
    for name, build in _EXAMPLES.get(module.__name__, {}).items():
        yield _entry(name, [(dialect, text) for dialect in DIALECTS for text in _compiled(build(dialect), dialect)])


_LATE = ("created_at", "id")
_EXAMPLES: dict[str, dict[str, Callable[[str], Any]]] = {
    "service.store.queries.runs.filter": {
        "matching all": lambda dialect: matching(RunFilter(), dialect, 101, after=_LATE),
        "matching two statuses, a graph and a tag": lambda dialect: matching(
            RunFilter(("queued", "failed"), tags=("team:a",)), dialect, 101, graph_ids=("g",)
        ),
        "matching two tags": lambda dialect: matching(
            RunFilter(("completed",), tags=("team:a", "k:b")), dialect, 101, after=_LATE
        ),
        "matching failed runs of a rare tag": lambda dialect: matching(
            RunFilter(("failed",), tags=("k:b",)), dialect, 101, rare=Rare.TAG
        ),
        "tagged_count": lambda dialect: tagged_count("k:b", dialect),
        "count_of_prefix": lambda _: count_of_prefix("0190"),
        "count_of_graphs": lambda _: count_of_graphs(("g",)),
        "matching two versions of a graph": lambda dialect: matching(RunFilter(), dialect, 101, graph_ids=("g", "h")),
        "matching the children of a run": lambda dialect: matching(RunFilter(parent_id="r"), dialect, 101),
        "matching what waits for a signal": lambda dialect: matching(
            RunFilter(waiting_for=WaitKind.SIGNAL, without_tags=("team:a",)), dialect, 101
        ),
        "graphs_named": lambda _: graphs_named("g"),
    },
    "service.store.queries.graphs": {"latest_named": lambda _: latest_named("g")},
    "service.store.queries.runs.steps": {
        "numbers of all": lambda _: numbers_of(None, is_newest_first=True),
        "numbers of a node": lambda _: numbers_of("a", is_newest_first=False),
    },
    "service.store.queries.runs.lines": {
        "lines newest first": lambda dialect: lines_found(
            LineFilter(0, 100, Level.WARNING, "a", "x"), dialect, log_lines
        ),
    },
}
"""Statements that depend on what is asked, by the module that builds them."""


def _statements(name: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name of each statement that `value` is or holds, and the statement by dialect."""
    if not isinstance(value, Mapping):
        yield name, dict.fromkeys(DIALECTS, value)
    elif value.keys() & DIALECTS.keys():
        yield name, {dialect: value[dialect] for dialect in DIALECTS if dialect in value}
    else:
        for key, of in value.items():
            yield f"{name}[{key}]", dict.fromkeys(DIALECTS, of)


def _is_defined_in(module: Any, name: str) -> bool:
    return re.search(rf"^{name}\b.* = ", Path(module.__file__).read_text(), re.MULTILINE) is not None


def _compiled(value: Any, dialect: str) -> Iterator[str]:
    if isinstance(value, ForRows):
        yield value.text(dialect, 1)
        yield value.text(dialect, 2 if dialect == "sqlite" else None)
    elif isinstance(value, Statement):
        yield value.text(dialect)[0]
    elif isinstance(value, Select | CompoundSelect | TextClause):
        yield str(value.compile(dialect=DIALECTS[dialect]))


def _insert(table: str) -> str:
    into = models.metadata.tables[table]
    texts = [("sqlite", insert_into(into, "sqlite", 2)), ("postgresql", insert_into(into, "postgresql", None))]
    return _entry(f"insert into {table}", texts)


def _entry(name: str, texts: list[tuple[str, str]]) -> str:
    """Return the texts under a comment with the statement's name; once for the dialects that share a text."""
    dialects: dict[str, list[str]] = defaultdict(list)
    for dialect, text in texts:
        dialects[_formatted(text)].append(dialect)
    parts = [f"-- {name}"]
    for of, same in groupby(dialects.items(), key=lambda item: item[1]):
        parts += [f"-- on {' and '.join(of)}", *(text for text, _ in same)]
    return "\n".join(parts) + "\n"


def _formatted(text: str) -> str:
    """Return `text` with parameters as `:name`, which sqlite3 and psql read, in lines of at most WIDTH where it can."""
    text = re.sub(r"%\((\w+)\)s", r":\1", text).replace("%%", "%")
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"\) (UPDATE|DELETE|INSERT)\b", r")\n\1", text)
    text = re.sub(r" (FROM|WHERE|SET|VALUES|ORDER BY|RETURNING|ON CONFLICT|UNION ALL|LEFT OUTER JOIN)\b", r"\n\1", text)
    return "\n".join(line for whole in text.split("\n") for line in _wrapped(whole)) + ";"


def _wrapped(line: str) -> Iterator[str]:
    while len(line) > WIDTH:
        at = max(line.rfind(", ", 4, WIDTH) + 1, line.rfind(" AND ", 4, WIDTH), line.rfind(" OR ", 4, WIDTH))
        if at <= 0:
            break
        yield line[:at]
        line = "    " + line[at:].lstrip()
    yield line
