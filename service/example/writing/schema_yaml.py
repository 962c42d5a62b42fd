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
NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
READ_AS_NUMBERS = re.compile(r"\s*[+-]?(nan|inf|infinity)\s*|\s.*|.*\s", re.IGNORECASE | re.DOTALL)
"""Texts that pandas converts to numbers."""

PLAIN_TEXT = re.compile("(?!(true|false|yes|no|on|off|y|n|null)$)[a-z][a-z0-9_]*", re.IGNORECASE)
"""Texts that need no quotes in YAML 1.1."""


def schema_yaml(columns: Sequence[Facts], rules: Sequence[Rule]) -> str:
    schema: JsonObject = {"schema_type": "dataframe", "columns": {}, "coerce": True, "strict": True}
    for facts, rule in zip(columns, rules, strict=True):
        schema["columns"][facts.name] = {
            "dtype": "string" if _is_checked_as_text(rule) else PANDAS_TYPES[rule.type],
            "nullable": not rule.is_required,
            "unique": rule.is_unique,
        } | _checks(rule)
    return "\n".join(_yaml_lines(schema)) + "\n"


def _is_checked_as_text(rule: Rule) -> bool:
    """Return whether pandas would read a repaired text as a number, so that only a check of its text can refuse it."""
    return rule.type in ("DOUBLE", "BIGINT") and any(READ_AS_NUMBERS.fullmatch(text) for text in rule.refused)


def _checks(rule: Rule) -> JsonObject:
    if _is_checked_as_text(rule):
        return {"checks": {"str_matches": {"pattern": NUMBER}}}
    if rule.type == "DOUBLE":
        return {"checks": {"in_range": {"min_value": -1.7976931348623157e308, "max_value": 1.7976931348623157e308}}}
    if rule.type != TEXT:
        return {}
    if rule.allowed:
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
