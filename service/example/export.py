"""The output of a run: the cleaned table, and the rules that it keeps as SQL and as a Pandera schema.

Only what holds for the cleaned table goes into the rules' files, since a run may end with anomalies left. So
the table always passes its own rules, and the next delivery can be held against them.
"""

from __future__ import annotations

import json
import re
from typing import Any

from service.core.tool import Context, JsonObject
from service.example.columns import TEXT, Column, columns_of
from service.example.database import ROW, Connection, opened, quote, single, write
from service.example.duplicates import find_key
from service.example.files import inside, replacing
from service.example.rules import Fix, Kind, Rule, rules_of

OUTPUT: JsonObject = {
    "table_csv": "cleaned.csv",
    "table_parquet": "cleaned.parquet",
    "checks_sql": "rules.sql",
    "schema_yaml": "schema.yaml",
}

PANDAS_TYPES = {
    TEXT: "string",
    "BOOLEAN": "boolean",
    "BIGINT": "Int64",
    "DOUBLE": "float64",
    "DATE": "datetime64[us]",
    "TIMESTAMP": "datetime64[us]",
    "TIMESTAMPTZ": "datetime64[us, UTC]",
}

PLAIN_TEXT = re.compile("(?!(true|false|yes|no|on|off|y|n|null)$)[a-z][a-z0-9_]*", re.IGNORECASE)
"""Texts that YAML 1.1 takes for texts without quotes."""


def write_output(state: dict[str, Any], context: Context) -> JsonObject:
    """Write the output files for the current table; return their names and the rules, complete."""
    columns = columns_of(state)
    made = rules_of(state)
    with opened(context.folder, state["table"]) as db:
        cells = ", ".join(quote(column.name) for column in columns)
        rows = f"SELECT {cells} FROM input ORDER BY {quote(ROW)}"
        write(db, rows, inside(context.folder, OUTPUT["table_csv"]), "FORMAT csv, HEADER")
        write(db, rows, inside(context.folder, OUTPUT["table_parquet"]))
        rules = [*made, *_describe(columns, made, state)]
        holding = [rule for rule in rules if _holds(db, rule, columns, state)]
    _write_text(context, OUTPUT["checks_sql"], checks_sql(columns, holding))
    _write_text(context, OUTPUT["schema_yaml"], schema_yaml(columns, holding))
    if left_out := len(rules) - len(holding):
        context.log(f"{left_out} rules do not hold for the table as it is, and are not in the rules' files")
    context.log("Wrote " + ", ".join(OUTPUT.values()), **OUTPUT)
    return {"output": OUTPUT, "rules": [rule.as_json() for rule in rules]}


def _describe(columns: list[Column], made: list[Rule], state: JsonObject) -> list[Rule]:
    """Rules that say what the table is, where no rule that mended it says so already."""
    known = {(rule.kind, rule.column) for rule in made}
    rules = []
    for column in columns:
        rules.append(Rule(Kind.TYPE, column.name, Fix.NONE, {"type": column.type}))
        rules.append(Rule(Kind.NULLABLE if column.missing else Kind.NOT_NULL, column.name, Fix.NONE))
    key = find_key(columns, state["distinct_rows"])
    if key and key.distinct == state["row_count"]:
        rules.append(Rule(Kind.UNIQUE, key.name, Fix.NONE))
    return [rule for rule in rules if (rule.kind, rule.column) not in known]


def _holds(db: Connection, rule: Rule, columns: list[Column], state: JsonObject) -> bool:
    column = next((column for column in columns if column.name == rule.column), None)
    match rule.kind:
        case Kind.UNIQUE_ROW:
            return bool(state["distinct_rows"] == state["row_count"])
        case Kind.UNIQUE:
            return column is not None and column.distinct == state["row_count"]
        case Kind.TYPE:
            return column is not None and column.type == rule.sql_type
    return single(db, f"SELECT count(*) FROM input WHERE NOT ({rule.predicate})") == (0,)


def checks_sql(columns: list[Column], rules: list[Rule]) -> str:
    """A CREATE TABLE that takes the cleaned table and refuses what the rules refuse, in DuckDB's SQL."""
    demands = {(rule.kind, rule.column) for rule in rules}
    lines = []
    for column in columns:
        not_null = " NOT NULL" if (Kind.NOT_NULL, column.name) in demands else ""
        unique = " UNIQUE" if (Kind.UNIQUE, column.name) in demands else ""
        lines.append(f"    {quote(column.name)} {column.type}{not_null}{unique}")
    checked = [rule for rule in rules if _is_checked(rule, columns)]
    lines += dict.fromkeys(f"    CHECK ({rule.predicate})" for rule in checked)
    comment = "-- What the cleaned table keeps. Load a delivery into this one, and what breaks a rule is refused.\n"
    if (Kind.UNIQUE_ROW, None) in demands:
        comment += "-- Beyond what a CHECK can say: no row repeats another.\n"
    return f"{comment}CREATE TABLE cleaned (\n" + ",\n".join(lines) + "\n);\n"


def _is_checked(rule: Rule, columns: list[Column]) -> bool:
    """Whether a rule needs a check of its own; spellings need none in a column that is no text any more."""
    types = {column.name: column.type for column in columns}
    spells = rule.kind in (Kind.PLACEHOLDER, Kind.CATEGORY) and types[str(rule.column)] == TEXT
    return spells or rule.kind is Kind.RANGE


def schema_yaml(columns: list[Column], rules: list[Rule]) -> str:
    """The rules as a schema that `pandera.io.pandas_io.from_yaml` reads."""
    demands = {(rule.kind, rule.column) for rule in rules}
    checked = [rule for rule in rules if _is_checked(rule, columns)]
    schema: JsonObject = {"schema_type": "dataframe", "columns": {}, "coerce": True, "strict": True}
    for column in columns:
        schema["columns"][column.name] = {
            "dtype": PANDAS_TYPES[column.type],
            "nullable": (Kind.NOT_NULL, column.name) not in demands,
            "unique": (Kind.UNIQUE, column.name) in demands,
        } | _pandera_checks([rule for rule in checked if rule.column == column.name])
    if (Kind.UNIQUE_ROW, None) in demands:
        schema["unique"] = [column.name for column in columns]
    return "\n".join(_yaml_lines(schema)) + "\n"


def _pandera_checks(rules: list[Rule]) -> JsonObject:
    """One check of each kind, however many iterations added to it."""
    checks: JsonObject = {}
    refused = {text: None for rule in rules for key in ("values", "mapping") for text in rule.parameters.get(key, ())}
    if refused:
        checks["notin"] = {"forbidden_values": list(refused)}
    ranges = [rule.parameters for rule in rules if rule.kind is Kind.RANGE]
    if ranges:
        low, high = max(each["low"] for each in ranges), min(each["high"] for each in ranges)
        checks["in_range"] = {"min_value": low, "max_value": high}
    return {"checks": checks} if checks else {}


def _yaml_lines(value: Any, indent: str = "") -> list[str]:
    """Block style for what holds something, JSON's quoting for texts that are not plain."""
    lines = []
    if isinstance(value, dict):
        for key, child in value.items():
            if isinstance(child, dict | list):
                lines += [f"{indent}{_yaml_scalar(key)}:", *_yaml_lines(child, indent + "  ")]
            else:
                lines.append(f"{indent}{_yaml_scalar(key)}: {_yaml_scalar(child)}")
    else:
        lines = [f"{indent}- {_yaml_scalar(child)}" for child in value]
    return lines


def _yaml_scalar(value: object) -> str:
    if isinstance(value, str) and PLAIN_TEXT.fullmatch(value):
        return value
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and "." not in text:
        text = text.replace("e", ".0e")  # YAML 1.1 takes 1e+16 for a text
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _write_text(context: Context, name: str, text: str) -> None:
    with replacing(inside(context.folder, name)) as draft:
        draft.write_text(text, encoding="utf-8")
