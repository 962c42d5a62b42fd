"""Write the rules as a CREATE TABLE statement for PostgreSQL, SQLite and DuckDB.

SQLite accepts texts in a numeric column, and PostgreSQL and DuckDB accept values such as NaN. So a numeric column has a
check that exactly the numbers pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from service.example.tables.columns import TEXT, Facts
from service.example.tables.database import literals, quote
from service.example.writing.rules import Rule

NAME_BYTES_MAX = 63
"""PostgreSQL truncates longer names."""
TYPES = {
    TEXT: "TEXT",
    "BOOLEAN": "BOOLEAN",
    "BIGINT": "BIGINT",
    "DOUBLE": "DOUBLE PRECISION",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMP",
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
}
HEAD = """-- What the cleaned table keeps; valid on PostgreSQL, SQLite and DuckDB.
-- Load a delivery into this table, and what breaks a rule is refused.
"""


def rules_sql(columns: Sequence[Facts], rules: Sequence[Rule]) -> str:
    names = [quote(name) for name in _names(facts.name for facts in columns)]
    lines, checks, notes = [], [], []
    for name, rule in zip(names, rules, strict=True):
        demands = (" NOT NULL" if rule.is_required else "") + (" UNIQUE" if rule.is_unique else "")
        kind = "TEXT" if _is_kept_as_text(rule) else TYPES[rule.type]
        lines.append(f"    {name} {kind}{demands}")
        checks += [f"    CHECK ({check})" for check in _checks(name, rule)]
        if rule.low is not None:
            notes.append(f"-- {_comment(rule.column)}: from {rule.low:g} to {rule.high:g} so far")
        if unit := rule.learnt.get("unit"):
            notes.append(f"-- {_comment(rule.column)}: the unit is {_comment(str(unit))}")
    return (
        HEAD
        + "".join(f"{note}\n" for note in notes)
        + "CREATE TABLE cleaned (\n"
        + ",\n".join(lines + checks)
        + "\n);\n"
    )


def _names(names: Iterable[str]) -> list[str]:
    """Return the names, unique and cut to the length that PostgreSQL accepts."""
    taken: set[str] = set()
    short = []
    for number, name in enumerate(names, start=1):
        cut = name.encode()[:NAME_BYTES_MAX].decode(errors="ignore")
        if cut.casefold() in taken:
            tail = f"_{number}"
            cut = name.encode()[: NAME_BYTES_MAX - len(tail)].decode(errors="ignore") + tail
        taken.add(cut.casefold())
        short.append(cut)
    return short


def _comment(text: str) -> str:
    return " ".join(text.split())


def _is_kept_as_text(rule: Rule) -> bool:
    """Return whether the column must be kept as text.

    Otherwise a database would accept a text that was repaired, such as `Jan 5, 2024` for a date.
    """
    reads_more = rule.type in ("DATE", "TIMESTAMP", "TIMESTAMPTZ", "BOOLEAN")
    return reads_more and any(rule.type == "BOOLEAN" or any(map(str.isdigit, text)) for text in rule.refused)


def _checks(name: str, rule: Rule) -> list[str]:
    match rule.type:
        case "BIGINT":
            return [f"{name} BETWEEN -9223372036854775807 AND 9223372036854775807"]
        case "DOUBLE":
            return [f"{name} BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308"]
        case "DATE":
            return [f"CAST({name} AS VARCHAR(40)) LIKE '____-__-__'"]
        case "TIMESTAMP" | "TIMESTAMPTZ":
            return [f"CAST({name} AS VARCHAR(60)) LIKE '____-__-__%:%'"]
        case "BOOLEAN":
            numbers = "" if _is_kept_as_text(rule) else ", '1', '0'"
            return [f"CAST({name} AS VARCHAR(5)) IN ('true', 'false'{numbers})"]
    if rule.allowed:
        return [f"{name} IN ({literals(rule.allowed)})"]
    return [f"{name} NOT IN ({literals(rule.refused)})"] if rule.refused else []
