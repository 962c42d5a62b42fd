"""The first node: measure facts about each column of the current table, without judging them.

In the first iteration it also reads the source. Later it only measures the columns that the last repairs changed.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from service.core.tool import Context, JsonObject
from service.example.reading.options import Options
from service.example.reading.source import load_source
from service.example.steps.run import RAW, REFUSED, SOURCE, Asked, columns_file, columns_of, names_of
from service.example.tables.columns import Facts, measure
from service.example.tables.database import opened, single
from service.example.tables.files import inside, remove_drafts, write_json

TYPES_SHOWN = 50


def profile_table(state: dict[str, Any], context: Context) -> JsonObject:
    """Measure every column: the forms of its texts, their counts, and the spread of its numbers."""
    iteration = state["iteration"] + 1
    remove_drafts(context.folder)
    loaded = _load(state, context) if iteration == 1 else {}
    table = (state | loaded)["table"]
    names = names_of(context.folder)
    Asked.of(state, names)
    touched = list(range(1, len(names) + 1)) if iteration == 1 else list(state["touched"])
    with opened(context.folder, table) as db:
        (row_count,) = single(db, "SELECT count(*) FROM input")
        measured = measure(db, names, touched)
    before = columns_of(context.folder, iteration - 1) if iteration > 1 else []
    columns = [_kept(before[index] if before else None, measured.get(index + 1)) for index in range(len(names))]
    write_json(inside(context.folder, columns_file(iteration)), [facts.as_json() for facts in columns])
    context.log(
        f"Iteration {iteration}: {row_count:,} rows and {len(columns):,} columns",
        types={facts.name: facts.type for facts in columns[:TYPES_SHOWN]},
    )
    return loaded | {"iteration": iteration, "row_count": row_count}


def _load(state: dict[str, Any], context: Context) -> JsonObject:
    folder = context.folder
    options = Options.of(state.get("options", {}))
    read = load_source(state["source"], options, folder, inside(folder, RAW), inside(folder, REFUSED))
    for note in read.notes:
        context.log(note)
    write_json(inside(folder, SOURCE), asdict(read))
    return {"table": RAW, "refused_count": read.refused_count}


def _kept(before: Facts | None, measured: Facts | None) -> Facts:
    """Return the current facts of a column, with the quartiles that were measured when its numbers were first seen."""
    if measured is None or before is None:
        found = measured or before
        assert found is not None
        return found
    if before.median is None:
        return measured
    spread = {key: getattr(before, key) for key in ("q1", "median", "q3", "mad")}
    return Facts(**asdict(measured) | spread)
