"""The example: a data quality pipeline that profiles, judges and mends a table until it is clean.

`graph` says how the four tools follow one another; each tool has a module of its own. The rows lie in
files in the run's folder, the state carries only what is known about them:

    profile   source → table, facts about each column            profile.py  (source.py loads)
    detect    facts → findings; where it stops here: the output   detect.py   (outliers.py, categories.py)
    generate  findings → rules                                    generate.py (rules.py: what a rule is)
    apply     rules → the next table; back to profile             apply.py

Every step reads files that nobody alters and writes a new one, whole or not at all, with the same bytes
each time; so a step done twice does no harm. Every path is the bundled data set or lies in the run's folder.
"""

from __future__ import annotations

from service.core.tool import Tool
from service.example.apply import apply_rules
from service.example.detect import detect_anomalies
from service.example.generate import generate_rules
from service.example.graph import GRAPH, initial_state
from service.example.profile import profile_table
from service.example.source import DATASETS

TOOLS = tuple(Tool.of(tool) for tool in (profile_table, detect_anomalies, generate_rules, apply_rules))

__all__ = ["DATASETS", "GRAPH", "TOOLS", "initial_state"]
