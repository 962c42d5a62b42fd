"""Judge values that slipped into a neighbouring cell: the city is `Portland OR`, and the state is missing.

The table itself is the evidence. The text's last word is a value of the neighbouring column. Nearly every row that
lacks a value in that column has a text that ends in such a word. Enough of these texts are correctly split in other
rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from service.example.judging.findings import Judgement, Kind, Repair, shown
from service.example.tables.columns import TEXT, Facts
from service.example.tables.database import Connection

COLUMNS_MAX = 30
MISSING_SHARE_MAX = 0.5
ROWS_MIN = 3
SHARE_MIN = 0.9
KNOWN_SHARE_MIN = 0.3


def judge_shifted(db: Connection, columns: Sequence[Facts], row_count: int) -> Judgement:
    """Judge the texts of columns in rows where a neighbouring column lacks a value."""
    found = Judgement()
    texts = [facts for facts in columns if facts.type == TEXT and facts.distinct >= 2][:COLUMNS_MAX]
    lacking = [
        facts
        for facts in texts
        if ROWS_MIN <= row_count - facts.present <= MISSING_SHARE_MAX * row_count
        and facts.distinct <= 0.2 * facts.present
    ]
    for target in lacking:
        for source in texts:
            if abs(source.column - target.column) == 1:
                found.add(_judge_pair(db, source, target, row_count))
    return found


def _judge_pair(db: Connection, source: Facts, target: Facts, row_count: int) -> Judgement:
    found = Judgement()
    rows = db.execute(
        rf"""WITH lacking AS (
            SELECT row, whole, regexp_extract(whole, '^(.*\S)[ ,]+(\S+)$', 1) AS rest,
                regexp_extract(whole, '^(.*\S)[ ,]+(\S+)$', 2) AS word
            FROM (SELECT row, cells[{source.column}] AS whole FROM input
                  WHERE cells[{target.column}] IS NULL AND cells[{source.column}] IS NOT NULL)),
        known AS (
            SELECT DISTINCT cells[{source.column}] AS rest, cells[{target.column}] AS word FROM input
            WHERE cells[{target.column}] IS NOT NULL)
        SELECT l.row, l.whole, l.rest, l.word, k.rest IS NOT NULL
        FROM lacking AS l JOIN (SELECT value AS word FROM spelled WHERE col = {target.column} AND n >= 2) USING (word)
        LEFT JOIN known AS k ON k.rest = l.rest AND k.word = l.word WHERE l.rest <> '' ORDER BY l.row"""
    ).fetchall()
    missing = row_count - target.present
    known = sum(is_known for *_, is_known in rows)
    if len(rows) < max(ROWS_MIN, SHARE_MIN * missing) or known < KNOWN_SHARE_MIN * len(rows):
        return found
    for row, whole, rest, word, _ in rows:
        evidence = (
            f"{target.name} is missing, and {source.name} ends with its value {shown(word)}; so do {len(rows):,} of the"
            f" {missing:,} rows without one"
        )
        found.repairs.append(Repair(source.column, row, whole, rest, Kind.SHIFTED, evidence))
        found.repairs.append(Repair(target.column, row, None, word, Kind.SHIFTED, evidence))
    return found
