"""Write the output of a run: the cleaned table, the lists of changes, flags and refused lines, and the rules."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from service.core.tool import Context, JsonObject
from service.example.judging.findings import Flag, Judgement, Kind
from service.example.judging.table import Judge, unmade
from service.example.steps.run import SOURCE, changes_file
from service.example.tables.columns import TEXT, Facts
from service.example.tables.database import Connection, literal, load, parquet, quote, single, write
from service.example.tables.files import inside, read_json, replacing
from service.example.writing.rules import learn_rules
from service.example.writing.schema_yaml import schema_yaml
from service.example.writing.sql import rules_sql

OUTPUT: JsonObject = {
    "table_csv": "cleaned.csv",
    "table_parquet": "cleaned.parquet",
    "changes_csv": "changes.csv",
    "changes_parquet": "changes.parquet",
    "flags_csv": "flags.csv",
    "flags_parquet": "flags.parquet",
    "refused_csv": "refused.csv",
    "checks_sql": "rules.sql",
    "schema_yaml": "schema.yaml",
}
ROWS = 20_000
RULES_IN_STATE_MAX = 5_000
REPEATED_SHARE_MAX = 0.5
"""If a larger share of rows repeats another row, as in a table of answers, one flag stands for all of them."""


def write_output(db: Connection, judge: Judge, found: Judgement, state: JsonObject, context: Context) -> JsonObject:
    """Write all files. Return their names, the number of flags, and the complete rules."""
    folder, columns = context.folder, judge.columns
    _write_cleaned_csv(db, columns, inside(folder, OUTPUT["table_csv"]))
    typed = ", ".join(f"{_typed(facts)} AS {quote(facts.name)}" for facts in columns)
    write(db, f"SELECT {typed} FROM input ORDER BY row", inside(folder, OUTPUT["table_parquet"]))
    load(db, folder, "names", {"col": "INTEGER", "name": "VARCHAR"}, ((each.column, each.name) for each in columns))
    _write_changes(db, state, folder)
    flag_count = _write_flags(db, judge, found, state, folder)
    rules = learn_rules(db, columns, state["row_count"], _learnt(state, columns))
    _write_text(inside(folder, OUTPUT["checks_sql"]), rules_sql(columns, rules))
    _write_text(inside(folder, OUTPUT["schema_yaml"]), schema_yaml(columns, rules))
    told = [*state["rules"], *(rule.as_json() for rule in rules)]
    context.log(f"{flag_count:,} flags: what looks wrong and was left alone is in {OUTPUT['flags_csv']}")
    context.log("Wrote " + ", ".join(OUTPUT.values()), **OUTPUT)
    return {"output": OUTPUT, "flag_count": flag_count, "rules": told[:RULES_IN_STATE_MAX], "rule_count": len(told)}


def _learnt(state: JsonObject, columns: Sequence[Facts]) -> dict[int, JsonObject]:
    """Return what the iterations learnt about columns, such as a removed unit, by number of the column."""
    return {facts.column: state["learnt"][facts.name] for facts in columns if facts.name in state["learnt"]}


def _typed(facts: Facts) -> str:
    cell = f"cells[{facts.column}]"
    return cell if facts.type == TEXT else f"CAST({cell} AS {facts.type})"


def _write_cleaned_csv(db: Connection, columns: Sequence[Facts], path: Path) -> None:
    """Write the table as CSV, each cell unchanged and a missing cell empty."""
    quoted = "'\"' || replace(cell, '\"', '\"\"') || '\"'"
    cell = f"""CASE WHEN cell IS NULL THEN '' WHEN regexp_matches(cell, '[",\\n\\r]') THEN {quoted} ELSE cell END"""
    line = f"array_to_string(list_transform(cells, lambda cell: {cell}), ',')"
    if len(columns) == 1:
        line = f"coalesce(nullif({line}, ''), '\"\"')"  # Readers skip empty lines.
    rows = db.execute(f"SELECT {line} FROM input ORDER BY row")
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        file.write(_csv_line([facts.name for facts in columns]))
        while batch := rows.fetchmany(ROWS):
            file.write("\n".join(line for (line,) in batch) + "\n")


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _write_changes(db: Connection, state: JsonObject, folder: Path) -> None:
    made = [
        f"SELECT * FROM {parquet(inside(folder, changes_file(each)))}" for each in range(1, int(state["iteration"]))
    ]
    nothing = (
        "SELECT 0::BIGINT AS row, 0 AS col, '' AS before, '' AS after, '' AS kind, '' AS rule, 0 AS iteration,"
        " '' AS evidence WHERE FALSE"
    )
    query = f"""SELECT row, coalesce(name, '') AS "column", before, after, kind, rule, iteration, evidence
        FROM ({" UNION ALL ".join([nothing, *made])}) LEFT JOIN names USING (col) ORDER BY iteration, row, col"""
    write(db, query, inside(folder, OUTPUT["changes_parquet"]))
    _copy_csv(db, OUTPUT["changes_parquet"], OUTPUT["changes_csv"], folder)
    db.execute(f"CREATE TEMP VIEW made AS FROM {parquet(inside(folder, OUTPUT['changes_parquet']))}")


def _copy_csv(db: Connection, source: str, target: str, folder: Path) -> None:
    write(db, f"FROM {parquet(inside(folder, source))}", inside(folder, target), "FORMAT csv, HEADER")


def _write_flags(db: Connection, judge: Judge, found: Judgement, state: JsonObject, folder: Path) -> int:
    """Write the flags, one for each cell or row that looks wrong and for each missing cell. Return their number."""
    mends = state["mode"] == "mend"
    why = "the run ended before" if mends else "the mode `report` changes nothing"
    flags = [
        *_of_reading(folder),
        *found.flags,
        *judge.outliers(judge.columns),
        *(unmade(repair, why) for repair in found.repairs),
        *_of_rows(judge),
    ]
    types = {"col": "INTEGER", "row": "BIGINT", "value": "VARCHAR", "kind": "VARCHAR", "reason": "VARCHAR"}
    load(db, folder, "flags", types, ((*flag[:3], flag.kind.value, flag.reason) for flag in flags))
    query = f"""WITH cells AS (
            SELECT row, value, col FROM (
                SELECT row, unnest(cells) AS value, generate_subscripts(cells, 1)::INTEGER AS col FROM input)
            WHERE value IS NULL OR col IN (SELECT col FROM flags WHERE row IS NULL)),
        listed AS (
            SELECT c.row, c.col, c.value, f.kind, f.reason FROM cells AS c JOIN flags AS f
            ON f.row IS NULL AND f.col = c.col AND f.value = c.value
            UNION ALL SELECT row, col, value, kind, reason FROM flags
            WHERE row IS NOT NULL OR col IS NULL
            UNION ALL SELECT row, col, NULL, {literal(Kind.MISSING.value)}, 'the cell is empty'
            FROM cells WHERE value IS NULL)
        SELECT row, name AS "column", value, kind, reason FROM listed LEFT JOIN names USING (col)
        ORDER BY row NULLS FIRST, col, kind, reason"""
    write(db, query, inside(folder, OUTPUT["flags_parquet"]))
    _copy_csv(db, OUTPUT["flags_parquet"], OUTPUT["flags_csv"], folder)
    (count,) = single(db, f"SELECT count(*) FROM {parquet(inside(folder, OUTPUT['flags_parquet']))}")
    return int(count)


def _of_reading(folder: Path) -> list[Flag]:
    """Return flags for the doubts that were left when the file was read."""
    source = read_json(inside(folder, SOURCE))
    flags = []
    if source["header_doubt"]:
        reason = f"{source['header_doubt']}; the first record may be no header: the option `header` settles it"
        flags.append(Flag(None, None, ",".join(source["header"])[:1000], Kind.HEADER, reason))
    if source["encoding_doubt"]:
        flags.append(Flag(None, None, source["encoding"], Kind.ENCODING, source["encoding_doubt"]))
    return flags


def _of_rows(judge: Judge) -> list[Flag]:
    repeated = judge.repeated_rows()
    if len(repeated) > REPEATED_SHARE_MAX * judge.row_count:
        reason = f"{len(repeated):,} rows repeat another one in every cell, as rows of few values do"
        return [Flag(None, None, None, Kind.DUPLICATE, reason)]
    return [Flag(None, row, None, Kind.DUPLICATE, f"it repeats row {first} in every cell") for row, first in repeated]


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
