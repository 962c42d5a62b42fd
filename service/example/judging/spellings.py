"""Judge spellings: find texts that are misspellings of a more frequent text.

Two texts may be one name if they differ only in case, accents and space, only in a company's designators (AIRBUS,
AIRBUS INDUSTRIE), or only in few letters. Similarity alone is not enough. A spelling is repaired only if no other
column tells the two texts apart, and if the spelling is rare compared with the other one or occurs with the same values
of another column (the models of a manufacturer).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from service.example.judging.findings import Flag, Judgement, Kind, Repair, counted, shown
from service.example.judging.texts import distance, name_key, plain_key
from service.example.tables.columns import TEXT, Facts
from service.example.tables.database import Connection, literals

DISTINCT_MAX = 2000
LENGTH_MAX = 100
LETTERS_MIN = 4
"""Shorter texts may mean different things although they differ only in case, such as mg and Mg, or Co and CO."""
RARITY = 5
SLIP_RARITY = 20
SLIP_ROWS_MAX = 3
SLIP_LETTERS_MIN = 6
DOMINANCE = 50
"""A text this many times more frequent than another may be meant even if several letters differ."""
CLOSED_SHARE = 0.8
"""The least share of a column's rare texts that must be slips of frequent ones before any is treated as a slip."""
LONG_LETTERS = 12
LETTERS_A_SLIP = 6
"""In a long text, one letter of this many may be wrong."""
STYLE_SHARE = 0.9
INVERTED_MIN, INVERTED_AMONG = 4, 20
"""The fewest capitals in a word whose case is inverted, and the fewest cells that begin with a capital."""
OWN_SHARE = 0.9
SHARED_MIN = 0.5
SHARED_PURE = 0.98
SHARED_ROWS_MIN = 10
CONTEXT_MAX = 12
PAIRS_MAX = 2000


class Pair(NamedTuple):
    """A spelling, the spelling that may be meant, and the way in which they are alike."""

    column: int
    rare: str
    common: str
    rare_count: int
    common_count: int
    why: str
    needs_company: bool
    """Whether another column must support the repair, because the texts and their counts are too little evidence."""


class Company(NamedTuple):
    """The evidence of other columns about a pair. Each field names a column, or is None if there is no such column."""

    own: str | None
    """A column that the common spelling decides, and in which the rare spelling mostly has other values."""
    shared: str | None
    """A column in which both spellings have the same values, which hardly occur with other texts."""
    agrees: str | None
    """A column that the common spelling decides, and in which the rare spelling has the same value."""


def judge_spellings(db: Connection, judged: Sequence[Facts], all_columns: Sequence[Facts]) -> Judgement:
    """Judge the texts of some columns, with the evidence of `all_columns`. The table `spelled` has the counts."""
    found = Judgement()
    columns = {facts.column: facts for facts in judged if _has_names(facts)}
    if not columns:
        return found
    texts: dict[int, dict[str, int]] = defaultdict(dict)
    query = f"SELECT col, value, n FROM spelled WHERE col IN ({literals(columns)}) ORDER BY col, n DESC, value"
    for col, value, n in db.execute(query).fetchall():
        texts[col][value] = n
    pairs = [pair for col, counts in texts.items() for pair in _pairs(columns[col], counts)][:PAIRS_MAX]
    company = _company(db, pairs, all_columns)
    for index, pair in enumerate(pairs):
        doubt, reason = _doubt(pair, company[index])
        if doubt is None:
            found.repairs.append(Repair(pair.column, None, pair.rare, pair.common, Kind.SPELLING, reason))
        else:
            found.flags.append(Flag(pair.column, None, pair.rare, Kind.SPELLING, f"{reason}; {doubt}"))
    return found


def judge_inverted(db: Connection, judged: Sequence[Facts]) -> Judgement:
    """Judge words typed with the caps lock on, such as lONDON, among texts that begin with a capital."""
    texts = [facts.column for facts in judged if facts.type == TEXT]
    rows = db.execute(
        rf"""SELECT col, value, capitalised, total FROM (
            SELECT col, value, sum(n) FILTER (regexp_matches(value, '^\p{{Lu}}\p{{Ll}}')) OVER c AS capitalised,
                sum(n) OVER c AS total
            FROM spelled WHERE col IN ({literals(texts) or "NULL"}) WINDOW c AS (PARTITION BY col))
        WHERE regexp_full_match(value, '\p{{Ll}}\p{{Lu}}{{{INVERTED_MIN},}}')
        AND capitalised >= greatest({INVERTED_AMONG}, {STYLE_SHARE} * total) ORDER BY col, value"""
    ).fetchall()
    reason = "capitals and small letters are exchanged; {:,} of {:,} texts begin with a capital"
    return Judgement(
        flags=[
            Flag(col, None, text, Kind.SPELLING, reason.format(capitalised, total))
            for col, text, capitalised, total in rows
        ]
    )


def _has_names(facts: Facts) -> bool:
    return (
        facts.type == TEXT
        and 2 <= facts.distinct <= min(DISTINCT_MAX, 0.5 * facts.present)
        and facts.longest <= LENGTH_MAX
        and facts.loose < 0.5 * facts.present
    )


def _pairs(facts: Facts, counts: dict[str, int]) -> list[Pair]:
    with_digits = sum(any(map(str.isdigit, text)) for text in counts)
    if 2 * with_digits > len(counts):
        return []
    same = _same_names(facts, counts)
    taken = {pair.rare for pair in same}
    return same + _slips(facts, {text: n for text, n in counts.items() if text not in taken})


def _same_names(facts: Facts, counts: dict[str, int]) -> list[Pair]:
    """Return each text paired with the most frequent text that has the same key."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for text in counts:
        spellings[name_key(text)].append(text)
    style = _style(counts)
    pairs = []
    for key, group in spellings.items():
        common, *others = sorted(group, key=lambda text: (-counts[text], text))
        for rare in others:
            same_letters = plain_key(rare) == plain_key(common)
            why = (
                "differ only in case, accents and spaces"
                if same_letters
                else "differ only in marks or a company's form"
            )
            odd = same_letters and style is not None and _case(rare) != style and _case(common) == style
            scarce = counts[common] >= (2 if odd else RARITY) * counts[rare]
            is_short = len(key) < LETTERS_MIN or any(map(str.isdigit, key))
            if is_short and " ".join(rare.split()) != " ".join(common.split()):
                continue
            pairs.append(
                Pair(
                    facts.column,
                    rare,
                    common,
                    counts[rare],
                    counts[common],
                    why,
                    not (scarce and (odd or same_letters)),
                )
            )
    return pairs


def _style(counts: dict[str, int]) -> str | None:
    """Return the case in which nearly all texts of a column are written, or None if the cases are mixed."""
    cases = Counter(_case(text) for text in counts)
    style, n = cases.most_common(1)[0]
    return style if n >= STYLE_SHARE * len(counts) or n >= len(counts) - 1 else None


def _case(text: str) -> str:
    letters = "".join(each for each in text if each.isalpha())
    if letters.isupper():
        return "upper"
    if letters.islower():
        return "lower"
    return "title" if text[:1].isupper() else "mixed"


def _slips(facts: Facts, counts: dict[str, int]) -> list[Pair]:
    """Return each rare text paired with the frequent text that it means, if most rare texts are such slips."""
    words = Counter(word for text in counts for word in set(_words(text)))
    frequent = [text for text, n in counts.items() if n >= SLIP_RARITY]
    most = max((counts[text] for text in frequent), default=0)
    rare = [text for text, n in counts.items() if n <= max(SLIP_ROWS_MAX, most / DOMINANCE)]
    pairs, near = [], 0
    for text in rare:
        close = [each for each in frequent if each != text and _is_close(text, each, counts)]
        near += bool(close)
        if len(close) != 1 or len(text) < SLIP_LETTERS_MIN or any(map(str.isdigit, text)):
            continue
        common = close[0]
        odd = [word for word in _words(text) if word not in _words(common)]
        if not odd or any(words[word] > 1 for word in odd) or counts[common] < SLIP_RARITY * counts[text]:
            continue
        is_sure = counts[common] >= DOMINANCE * counts[text] and len(text) > LONG_LETTERS
        pairs.append(
            Pair(facts.column, text, common, counts[text], counts[common], "differ by a typing error", not is_sure)
        )
    return pairs if near >= CLOSED_SHARE * len(rare) else []


def _is_close(text: str, common: str, counts: dict[str, int]) -> bool:
    """Return whether two texts differ in one inner letter, or in several if `common` is long and far more frequent."""
    one, other = text.casefold(), common.casefold()
    if counts[common] >= DOMINANCE * counts[text] and len(other) > LONG_LETTERS:
        most = len(other) // LETTERS_A_SLIP
        return distance(one, other, most) <= most
    return one[0] == other[0] and one[-1] == other[-1] and distance(one, other, 1) == 1


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _doubt(pair: Pair, company: Company) -> tuple[str | None, str]:
    """Return the reason not to repair a pair, or None, and the evidence."""
    reason = (
        f"{shown(pair.rare)} ({counted(pair.rare_count, 'cell')}) and"
        f" {shown(pair.common)} ({counted(pair.common_count, 'cell')}) {pair.why}"
    )
    if company.own:
        return f"they may be two names, since {company.own} has other values for each", reason
    if company.shared:
        return None, f"{reason}, and occur with the same values of {company.shared}"
    if company.agrees and (pair.common_count >= RARITY * pair.rare_count):
        return None, f"{reason}, and occur with one value of {company.agrees}"
    return ("nothing in the table says which is right" if pair.needs_company else None), reason


def _company(db: Connection, pairs: Sequence[Pair], columns: Sequence[Facts]) -> list[Company]:
    """Return for each pair the evidence of those columns whose values repeat."""
    context = [each for each in columns if 2 <= each.distinct <= 0.5 * each.present and each.type != "DOUBLE"]
    context = sorted(context, key=lambda each: (each.type != TEXT, each.column))[:CONTEXT_MAX]
    if not pairs or not context:
        return [Company(None, None, None)] * len(pairs)
    rows = [(index, pair.column, pair.rare, pair.common) for index, pair in enumerate(pairs)]
    _load_pairs(db, rows)
    names = {each.column: each.name for each in columns}
    own: dict[int, str] = {}
    shared: dict[int, str] = {}
    agrees: dict[int, str] = {}
    for each in context:
        for index, rare, matching, common_share, mode_share, global_share, pure in _asked(db, each.column):
            if pairs[index].column == each.column:
                continue
            decides = common_share >= OWN_SHARE and pairs[index].common_count >= 5
            if decides and mode_share < 0.5:
                own.setdefault(index, names[each.column])
            elif decides and mode_share == 1.0 and global_share <= 0.6:
                agrees.setdefault(index, names[each.column])
            is_shared = matching >= SHARED_MIN * rare and pure >= SHARED_PURE
            if is_shared and each.distinct >= 5 and pairs[index].common_count >= SHARED_ROWS_MIN:
                shared.setdefault(index, names[each.column])
    return [Company(own.get(index), shared.get(index), agrees.get(index)) for index in range(len(pairs))]


def _load_pairs(db: Connection, rows: Sequence[tuple[int, int, str, str]]) -> None:
    db.execute("CREATE OR REPLACE TEMP TABLE pairs (id INTEGER, col INTEGER, rare VARCHAR, common VARCHAR)")
    db.executemany("INSERT INTO pairs VALUES (?, ?, ?, ?)", [list(row) for row in rows])


def _asked(db: Connection, column: int) -> list[tuple[int, int, int, float, float, float, float]]:
    """Return the figures of one column for each pair, as rows of seven fields.

    The fields are the index of the pair; the number of rows with the rare spelling; the number of those whose value
    also occurs with the common spelling; the share of the common spelling's rows that have its most frequent value; the
    share of the rare spelling's rows with this value; the share of all rows with this value; and, of the rows whose
    value occurs with both spellings, the share that has the common text or any rare spelling of it.
    """
    return db.execute(
        f"""WITH seen AS (
            SELECT p.id, i.cells[p.col] AS spelling, p.rare, i.cells[{column}] AS x
            FROM pairs AS p JOIN input AS i ON i.cells[p.col] = p.rare OR i.cells[p.col] = p.common
            WHERE i.cells[{column}] IS NOT NULL),
        commons AS (SELECT id, x, count(*) AS n FROM seen WHERE spelling <> rare GROUP BY ALL),
        modes AS (SELECT id, arg_max(x, (n, x)) AS x, max(n) / sum(n) AS share FROM commons GROUP BY ALL),
        rares AS (SELECT id, x, count(*) AS n FROM seen WHERE spelling = rare GROUP BY ALL),
        everywhere AS (SELECT value AS x, n, sum(n) OVER () AS total FROM spelled WHERE col = {column}),
        family AS (SELECT col, common, rare AS spelling FROM pairs UNION SELECT col, common, common FROM pairs),
        kin AS (
            SELECT f.col, f.common, i.cells[{column}] AS x, count(*) AS n
            FROM family AS f JOIN input AS i ON i.cells[f.col] = f.spelling GROUP BY ALL),
        pure AS (
            SELECT r.id, sum(k.n) / sum(e.n) AS pure
            FROM rares AS r JOIN commons AS c USING (id, x) JOIN everywhere AS e USING (x)
            JOIN pairs AS p USING (id)
            JOIN kin AS k ON k.col = p.col AND k.common = p.common AND k.x = r.x GROUP BY r.id)
        SELECT r.id, sum(r.n)::BIGINT, coalesce(sum(r.n) FILTER (c.n IS NOT NULL), 0)::BIGINT, any_value(m.share),
            coalesce(sum(r.n) FILTER (r.x = m.x), 0) / sum(r.n), any_value(e.n / e.total),
            coalesce(any_value(b.pure), 0)
        FROM rares AS r JOIN modes AS m USING (id) LEFT JOIN commons AS c ON c.id = r.id AND c.x = r.x
        JOIN everywhere AS e ON e.x = m.x LEFT JOIN pure AS b ON b.id = r.id
        GROUP BY r.id ORDER BY r.id"""
    ).fetchall()
