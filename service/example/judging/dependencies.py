"""Judge cells by dependencies between columns, where one column's value decides another's in all but a few rows.

An approximate functional dependency X → Y (Huhtala et al., TANE, 1999) is found by its confidence: among the rows whose
X repeats, the share that has the most frequent Y for its X. A cell that breaks a dependency gets a vote from each
column that decides the cell. The cell is repaired if all votes or a clear majority agree, and if one of two things is
certain: the value is a misspelling, or enough columns decide the cell's column almost without exception. Otherwise the
cell is flagged. The number of candidates is bounded, so that a table of thousands of columns costs no more than a
narrow one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from service.example.judging.findings import Flag, Judgement, Kind, Repair, counted, shown
from service.example.judging.texts import agrees_in_digits, breaks_pattern, is_made_of, is_slip
from service.example.tables.columns import TEXT, Facts
from service.example.tables.database import Connection, literals

COLUMNS_MAX = 40
PAIR_ROWS = 2_000_000
"""The most rows × pairs of columns that one query counts. A query counts at least one pair."""
SAMPLE_ROWS = 20_000
CONFIDENCE_MIN = 0.9
LIFT_MIN = 0.3
"""A dependency must explain at least this share of the cells that differ from their column's most frequent value."""
GROUPS_MIN = 3
GROUP_ROWS_MIN = 3
SURE_CONFIDENCE = 0.99
SURE_GROUP_ROWS = 8
SLIP_GROUP_ROWS = 4
SLIP_MAJORITY = 0.8
SHORT_LETTERS = 3
SHORT_VOTES_MIN = 3
"""The fewest columns that must agree to repair a slip in a short word, where one letter may make another word."""
WITNESSES_FEW, WITNESSES_SOME = 4, 6
"""The widest tables in which one deciding column, and two such columns, suffice for a repair.

A wider table needs three. In a narrow table, fewer columns could support a value, so fewer must contradict it.
"""
MAJORITY_SHARE = 0.6
COMMON_ROWS = 3
COMMON_MAX = 20_000
EXPLAINED_ROWS_MIN = 3
EXPLAINED_SHARE = 0.5
VIOLATIONS_MAX = 100_000


class Dependency(NamedTuple):
    source: int
    target: int
    confidence: float
    groups: int
    is_mutual: bool
    """Whether the target also decides the source, so that either may be wrong."""


class Vote(NamedTuple):
    """The vote of a dependency on one cell, cast by the group of rows that have the same value in the source column."""

    source: int
    key: str
    majority: str
    support: int
    total: int
    current: int
    """The number of rows in the group that have the cell's value."""


@dataclass(frozen=True, slots=True)
class Cell:
    row: int
    column: int
    value: str
    is_alive: bool
    """Whether the value occurs in its column in a row where no dependency contradicts it."""
    is_explained: bool
    """Whether the difference is systematic, and so no error.

    It is if at least half of the rows with some value of another column differ in this column, too.
    """


def candidates(columns: Iterable[Facts], row_count: int) -> list[Facts]:
    """Return at most COLUMNS_MAX columns for dependencies: their values repeat, and are not decimal numbers."""
    repeating = [
        facts
        for facts in columns
        if facts.present >= 0.5 * row_count and 2 <= facts.distinct <= 0.7 * facts.present and facts.type != "DOUBLE"
    ]
    if len(repeating) > COLUMNS_MAX:
        repeating.sort(key=lambda facts: (facts.type != TEXT, facts.column))
    return sorted(repeating[:COLUMNS_MAX], key=lambda facts: facts.column)


def find_dependencies(db: Connection, columns: Sequence[Facts], row_count: int) -> list[Dependency]:
    """Return the dependencies between the columns, and make the temporary tables `codes` and `coded` for the votes."""
    if len(columns) < 2:
        return []
    _encode(db, [facts.column for facts in columns])
    by_column = {facts.column: facts for facts in columns}
    pairs = [
        (source.column, target.column)
        for source in columns
        for target in columns
        if source is not target and source.distinct <= 0.5 * source.present
    ]
    if row_count > 2 * SAMPLE_ROWS:
        modulus = row_count // SAMPLE_ROWS
        seen = _confidences(db, pairs, row_count // modulus, f"AND hash(a.code) % {modulus} = 0")
        pairs = [pair for pair in pairs if pair in seen and seen[pair][0] >= CONFIDENCE_MIN]
    seen = _confidences(db, pairs, row_count, "")
    modes = _modes(db)
    found = {
        pair: (confidence, groups)
        for pair, (confidence, groups) in seen.items()
        if groups >= GROUPS_MIN
        and confidence >= CONFIDENCE_MIN
        and _explains(confidence, modes[pair[1]], by_column[pair[1]])
    }
    return [
        Dependency(source, target, confidence, groups, (target, source) in found)
        for (source, target), (confidence, groups) in found.items()
    ]


def _explains(confidence: float, mode: int, target: Facts) -> bool:
    share = mode / target.present
    return 1 - confidence <= (1 - LIFT_MIN) * (1 - share)


def _encode(db: Connection, columns: Sequence[int]) -> None:
    db.execute(
        f"""CREATE OR REPLACE TEMP TABLE codes AS
        SELECT col, value, n, row_number() OVER (ORDER BY col, value)::INTEGER AS code
        FROM spelled WHERE col IN ({literals(columns)})"""
    )
    db.execute(
        """CREATE OR REPLACE TEMP TABLE coded AS SELECT row, col, code
        FROM (SELECT row, unnest(cells) AS value, generate_subscripts(cells, 1)::INTEGER AS col FROM input)
        JOIN codes USING (col, value)"""
    )


def _modes(db: Connection) -> dict[int, int]:
    return dict(db.execute("SELECT col, max(n) FROM codes GROUP BY col").fetchall())


def _confidences(
    db: Connection, pairs: Sequence[tuple[int, int]], row_count: int, condition: str
) -> dict[tuple[int, int], tuple[float, int]]:
    """Return the confidence of each pair of columns, and the number of source values that occur in several rows.

    The SQL `condition` selects the rows. A pair without such values is left out. One query counts several pairs.
    """
    found: dict[tuple[int, int], tuple[float, int]] = {}
    step = max(1, PAIR_ROWS // max(1, row_count))
    for start in range(0, len(pairs), step):
        values = ", ".join(f"({source}, {target})" for source, target in pairs[start : start + step])
        rows = db.execute(
            f"""SELECT source, target, sum(most)::DOUBLE / sum(total), count(*) FROM (
                SELECT source, target, key, max(n) AS most, sum(n) AS total FROM (
                    SELECT p.source, p.target, a.code AS key, b.code AS value, count(*) AS n
                    FROM (VALUES {values}) AS p(source, target)
                    JOIN coded AS a ON a.col = p.source {condition}
                    JOIN coded AS b ON b.row = a.row AND b.col = p.target
                    GROUP BY ALL)
                GROUP BY ALL HAVING sum(n) > 1)
            GROUP BY ALL"""
        ).fetchall()
        found |= {(source, target): (confidence, groups) for source, target, confidence, groups in rows}
    return found


def judge_dependencies(
    db: Connection,
    dependencies: Sequence[Dependency],
    columns: Sequence[Facts],
    mended: set[tuple[int, int]],
    column_count: int,
) -> Judgement:
    """Judge the cells that break a dependency, except those that earlier iterations have repaired for this reason.

    `mended` has the rows and columns of those exceptions, and `column_count` is the width of the whole table.
    """
    found = Judgement()
    if not dependencies:
        return found
    by_column = {facts.column: facts for facts in columns}
    sure = {(each.source, each.target): each for each in dependencies}
    patterns: dict[int, list[str]] = defaultdict(list)
    query = f"SELECT col, value FROM codes WHERE n >= {COMMON_ROWS} ORDER BY n DESC, value LIMIT {COMMON_MAX}"
    for col, value in db.execute(query).fetchall():
        patterns[col].append(value)
    for cell, votes in _violations(db, dependencies):
        if (cell.row, cell.column) in mended:
            continue
        facts = by_column[cell.column]
        majority, evidence, doubt = _decide(
            cell, votes, sure, patterns[cell.column], by_column, _votes_needed(column_count)
        )
        if doubt is None:
            found.repairs.append(Repair(facts.column, cell.row, cell.value, majority, Kind.DEPENDENCY, evidence))
        else:
            reason = f"{evidence}; {doubt}"
            found.flags.append(Flag(facts.column, cell.row, cell.value, Kind.DEPENDENCY, reason))
    return found


def _violations(db: Connection, dependencies: Sequence[Dependency]) -> list[tuple[Cell, list[Vote]]]:
    """Return the cells that differ from the majority of some group, each with the votes of all dependencies on it."""
    _find_broken(db, dependencies)
    rows = db.execute(
        """WITH alive AS (SELECT code FROM broken JOIN codes USING (code) GROUP BY code, n HAVING count(*) < n)
        SELECT x.row, x.col, cur.value, x.code IN (FROM alive), (x.row, x.col) IN (SELECT (row, col) FROM explained),
            d.source, k.value, m.value, d.support, d.total, g.n
        FROM broken AS x
        JOIN coded AS a ON a.row = x.row
        JOIN decided AS d ON d.source = a.col AND d.target = x.col AND d.key = a.code
        JOIN grouped AS g ON g.source = d.source AND g.target = d.target AND g.key = d.key AND g.value = x.code
        JOIN codes AS cur ON cur.code = x.code JOIN codes AS k ON k.code = a.code
        JOIN codes AS m ON m.code = d.majority
        ORDER BY x.row, x.col, d.source"""
    ).fetchall()
    cells: dict[tuple[int, int], tuple[Cell, list[Vote]]] = {}
    for row, col, value, is_alive, is_explained, source, key, majority, support, total, current in rows:
        entry = cells.setdefault((row, col), (Cell(row, col, value, is_alive, is_explained), []))
        entry[1].append(Vote(source, key, majority, support, int(total), current))
    return list(cells.values())


def _find_broken(db: Connection, dependencies: Sequence[Dependency]) -> None:
    """Make the temporary tables from which `_violations` reads the votes.

    `grouped` counts the target values of each group, `decided` has the groups with a clear majority, `broken` the cells
    that differ from such a majority, at most VIOLATIONS_MAX, and `explained` the cells of `broken` that are no errors.
    """
    values = ", ".join(f"({each.source}, {each.target})" for each in dependencies)
    db.execute(
        f"""CREATE OR REPLACE TEMP TABLE grouped AS
        SELECT p.source, p.target, a.code AS key, b.code AS value, count(*) AS n
        FROM (VALUES {values}) AS p(source, target)
        JOIN coded AS a ON a.col = p.source JOIN coded AS b ON b.row = a.row AND b.col = p.target GROUP BY ALL"""
    )
    db.execute(
        f"""CREATE OR REPLACE TEMP TABLE decided AS
        SELECT source, target, key, arg_max(value, (n, -value)) AS majority, max(n) AS support, sum(n) AS total
        FROM grouped GROUP BY ALL HAVING sum(n) >= {GROUP_ROWS_MIN} AND max(n) >= {MAJORITY_SHARE} * sum(n)"""
    )
    db.execute(
        f"""CREATE OR REPLACE TEMP TABLE broken AS
        SELECT DISTINCT b.row, b.col, b.code
        FROM decided AS d JOIN coded AS a ON a.col = d.source AND a.code = d.key
        JOIN coded AS b ON b.row = a.row AND b.col = d.target
        WHERE d.support < d.total AND b.code <> d.majority ORDER BY b.row, b.col LIMIT {VIOLATIONS_MAX}"""
    )
    db.execute(
        f"""CREATE OR REPLACE TEMP TABLE explained AS
        SELECT DISTINCT x.row, x.col FROM broken AS x JOIN coded AS c ON c.row = x.row AND c.col <> x.col
        JOIN (SELECT x.col, c.code FROM broken AS x JOIN coded AS c ON c.row = x.row AND c.col <> x.col
              JOIN codes ON codes.code = c.code GROUP BY x.col, c.code, codes.n
              HAVING count(*) >= {EXPLAINED_ROWS_MIN} AND count(*) >= {EXPLAINED_SHARE} * codes.n) AS e
        ON e.col = x.col AND e.code = c.code"""
    )


def _agreement(others: int) -> str:
    return f"; {counted(others, 'other column')} {'says' if others == 1 else 'say'} the same" if others else ""


def _decide(
    cell: Cell,
    votes: Sequence[Vote],
    sure: dict[tuple[int, int], Dependency],
    common: Sequence[str],
    columns: dict[int, Facts],
    votes_needed: int,
) -> tuple[str, str, str | None]:
    """Return the value that the votes prefer, the evidence for it, and the doubt that forbids the repair.

    The doubt is None if the cell is to be repaired.
    """
    weights: dict[str, int] = defaultdict(int)
    for vote in votes:
        weights[vote.majority] += 1
    against = [vote for vote in votes if vote.majority != cell.value]
    majority = max(against, key=lambda vote: (weights[vote.majority], vote.support, vote.majority)).majority
    agreeing = [vote for vote in against if vote.majority == majority]
    keeping = len(votes) - len(against)
    best = max(agreeing, key=lambda vote: (vote.support, -vote.source))
    evidence = (
        f"of {counted(best.total, 'row')} with {columns[best.source].name} {shown(best.key)}, {best.support:,} have"
        f" {shown(majority)}{_agreement(len(agreeing) - 1)}"
    )
    if cell.is_explained:
        return majority, evidence, "many rows of one kind differ from it in the same way"
    if len(agreeing) < len(against) or keeping:
        clear = len(agreeing) >= 3 and len(agreeing) >= 3 * (len(votes) - len(agreeing))
        if not clear:
            return majority, evidence, "other columns say otherwise"
    if not cell.is_alive and _is_slip_of(cell.value, majority, common) and _outweighs(best, len(agreeing)):
        return majority, f"{evidence}; {shown(cell.value)} is a misspelling of that", None
    enough = [vote for vote in agreeing if vote.support >= SURE_GROUP_ROWS * vote.current]
    dependencies = [sure[vote.source, cell.column] for vote in enough]
    firm = [each for each in dependencies if each.confidence >= SURE_CONFIDENCE]
    one_way = [each for each in firm if not each.is_mutual]
    if len(firm) >= votes_needed and one_way and columns[cell.column].type == TEXT:
        return majority, evidence, None
    return majority, evidence, "the value may be right, and another cell of its row wrong"


def _votes_needed(columns: int) -> int:
    return 1 + (columns > WITNESSES_FEW) + (columns > WITNESSES_SOME)


def _is_slip_of(value: str, majority: str, common: Sequence[str]) -> bool:
    """Return whether `value` is a misspelling of `majority`, or breaks the common pattern that `majority` keeps."""
    if is_slip(value, majority) and not is_made_of(value, common):
        return True
    breaks = breaks_pattern(value, common) and not breaks_pattern(majority, common)
    return breaks and agrees_in_digits(value, majority)


def _outweighs(best: Vote, votes: int) -> bool:
    """Return whether enough rows and columns support the majority to treat another value as a slip."""
    is_lopsided = best.support >= max(SLIP_GROUP_ROWS * best.current, SLIP_MAJORITY * best.total)
    return is_lopsided and votes >= (SHORT_VOTES_MIN if len(best.majority) <= SHORT_LETTERS else 1)
