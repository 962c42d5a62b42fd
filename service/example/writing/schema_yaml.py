"""Write the rules as a Pandera schema in YAML, for `pandera.io.pandas_io.from_yaml`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from service.core.tool import JsonObject
from service.example.tables.columns import TEXT, Facts
from service.example.writing.rules import Rule

PANDAS_TYPES = {
    TEXT: "string",
    "BOOLEAN": "boolean",
    "BIGINT": "Int64",
    "DOUBLE": "float64",
    "DATE": "datetime64[us]",
    "TIMESTAMP": "datetime64[us]",
    "TIMESTAMPTZ": "datetime64[us, UTC]",
}
TIMES = {
    "DATE": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}( 00:00:00)?$",
    "TIMESTAMP": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}",
    "TIMESTAMPTZ": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}",
}
NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
READ_AS_NUMBERS = re.compile(r"\s*[+-]?(nan|inf|infinity)\s*|\s.*|.*\s", re.IGNORECASE | re.DOTALL)
"""Texts that are no plain numbers, but that pandas may convert to numbers."""

PLAIN_TEXT = re.compile("(?!(true|false|yes|no|on|off|y|n|null)$)[a-z][a-z0-9_]*", re.IGNORECASE)
"""Texts that need no quotes in YAML 1.1."""


def schema_yaml(columns: Sequence[Facts], rules: Sequence[Rule]) -> str:
    schema: JsonObject = {"schema_type": "dataframe", "columns": {}, "coerce": True, "strict": True}
    for facts, rule in zip(columns, rules, strict=True):
        schema["columns"][facts.name] = {
            "dtype": "string" if _is_checked_as_text(rule) else PANDAS_TYPES[rule.type],
            "nullable": not rule.is_required or "missing" in rule.hazards,
            "unique": rule.is_unique and not _may_be_reread(facts),
        } | _checks(facts, rule)
    return "\n".join(_yaml_lines(schema)) + "\n"


def _is_checked_as_text(rule: Rule) -> bool:
    """Return whether a column of numbers or times must be read as text and checked by a pattern.

    Otherwise pandas would convert a text that was repaired, so that no check could refuse it. pandas also fails to read
    times beyond the range of nanoseconds, and times in several forms.
    """
    if rule.type in TIMES:
        return bool(rule.hazards & {"range", "shapes"}) or any(any(map(str.isdigit, text)) for text in rule.refused)
    return rule.type in ("DOUBLE", "BIGINT") and any(READ_AS_NUMBERS.fullmatch(text) for text in rule.refused)


def _may_be_reread(facts: Facts) -> bool:
    """Return whether pandas would read the column's texts in a CSV file as numbers or booleans, and lose their form."""
    numbers = facts.plain + facts.scientific + facts.leading_zero
    return facts.type == TEXT and facts.present in (numbers, facts.word)


def _checks(facts: Facts, rule: Rule) -> JsonObject:
    if _is_checked_as_text(rule) and rule.type in TIMES:
        return {"checks": {"str_matches": {"pattern": TIMES[rule.type]}}}
    if _is_checked_as_text(rule):
        return {"checks": {"str_matches": {"pattern": NUMBER}}}
    if rule.type == "DOUBLE":
        return {"checks": {"in_range": {"min_value": -1.7976931348623157e308, "max_value": 1.7976931348623157e308}}}
    if rule.type != TEXT:
        return {}
    if rule.allowed and not _may_be_reread(facts):
        return {"checks": {"isin": {"allowed_values": rule.allowed}}}
    return {"checks": {"notin": {"forbidden_values": rule.refused}}} if rule.refused else {}


def _yaml_lines(value: Any, indent: str = "") -> list[str]:
    """Return the lines of a value in YAML's block style, with JSON's quoting for texts that are not plain."""
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
        text = text.replace("e", ".0e")  # YAML 1.1 reads 1e+16 as a text.
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda found: f"\\u{ord(found[0]):04x}", text)
