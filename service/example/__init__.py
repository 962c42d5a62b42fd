"""The example: a data quality pipeline that mends with evidence, damages nothing, and accounts for every row and cell.

`graph` says how the four tools follow one another. The rows lie in files in the run's folder, the state carries only
what is known about them:

    reading   a file → records that are certain, and lines that are refused
    tables    a table as a file: a row's number, and its cells as texts; DuckDB over it
    judging   what is wrong, what mends it, and on what evidence
    steps     profile → detect → generate → apply → profile …, a module each
    writing   the cleaned table, the lists of changes and flags, and the rules as SQL and as a Pandera schema

Every step reads files that nobody alters and writes new ones, whole or not at all, with the same bytes each time; so a
step done twice does no harm. Every path is the bundled data set or lies in the run's folder.
"""

from __future__ import annotations

from service.core.tool import Tool
from service.example.graph import GRAPH, initial_state
from service.example.reading import DATASETS
from service.example.reading.options import faults
from service.example.steps import apply_rules, detect_anomalies, generate_rules, profile_table

TOOLS = tuple(Tool.of(tool) for tool in (profile_table, detect_anomalies, generate_rules, apply_rules))

__all__ = ["DATASETS", "GRAPH", "TOOLS", "faults", "initial_state"]
