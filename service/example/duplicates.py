"""Rows that are there twice: which repeated rows are a mistake, and which column should tell rows apart."""

from __future__ import annotations

from service.example.columns import TEXT, Column

NAMED_KEY_SHARE_MIN = 0.95
CODE_SHARE_MIN = 0.99
CODE_LENGTH_MAX = 40
REPEATED_SHARE_MAX = 0.05
"""So few repeated rows are a mistake in any table."""
REPEATED_TEXT_SHARE_MAX = 0.25
"""And so few where a text, such as a name, tells the different rows apart."""


def count_repeated_rows(columns: list[Column], row_count: int, distinct_rows: int) -> int:
    """Rows that repeat another by mistake.

    Where there is a key, every repeated row is one. Without, many repeated rows mean that rows simply say
    little, as in a table of answers, where each counts.
    """
    if find_key(columns, distinct_rows):
        limit = 1.0
    elif any(_is_text(column) and column.distinct == distinct_rows for column in columns):
        limit = REPEATED_TEXT_SHARE_MAX
    else:
        limit = REPEATED_SHARE_MAX
    repeated = row_count - distinct_rows
    return repeated if len(columns) > 1 and repeated <= limit * row_count else 0


def find_key(columns: list[Column], distinct_rows: int) -> Column | None:
    """The column that names the rows: by its own name, or by codes that hardly repeat; unique ones first.

    A measure that happens not to repeat is none, nor is a column with missing values.
    """
    candidates = [column for column in columns if not column.missing and _is_key(column, distinct_rows)]
    return max(candidates, key=lambda column: column.distinct == distinct_rows, default=None)


def _is_key(column: Column, distinct_rows: int) -> bool:
    if column.is_named_key:
        return column.distinct >= NAMED_KEY_SHARE_MIN * distinct_rows
    is_code = _is_text(column) and column.is_coded and column.longest <= CODE_LENGTH_MAX
    return is_code and column.distinct >= CODE_SHARE_MIN * distinct_rows


def _is_text(column: Column) -> bool:
    return column.type == TEXT and not column.should_be
