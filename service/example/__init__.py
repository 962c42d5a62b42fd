"""The example: a data quality pipeline that repairs a table with evidence and accounts for every row and cell.

`graph` defines the order of the four tools. The rows are kept in files in the run's folder, and the state only carries
facts about them:

    reading   reads a file into certain records and refused lines
    tables    stores a table as a file of row numbers and cells, and queries it with DuckDB
    judging   finds errors, and repairs with their evidence
    steps     the tools profile → detect → generate → apply → profile …, one module each
    writing   writes the cleaned table, the changes and flags, and the rules as SQL and as a Pandera schema

Every step reads files that never change and writes new files atomically, with the same bytes each time, so repeating a
step does no harm. Every path is the bundled data set or lies in the run's folder.
"""

from __future__ import annotations

from service.example.datasets import DATASETS
from service.example.graph import GRAPH, initial_state
from service.example.reading.options import faults
from service.example.tools import TOOLS

__all__ = ["DATASETS", "GRAPH", "TOOLS", "faults", "initial_state"]
