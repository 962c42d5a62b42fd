"""Spellings of one category, found among a column's few different texts.

Three ways in which two texts are the same name, from sure to likely:

1. The same but for case, accents, space and punctuation (key collision, as in OpenRefine's fingerprint, but
   the words keep their order: London-Paris is not Paris-London).
2. The same but for a company's designators at the end: AIRBUS INDUSTRIE, CANADAIR LTD.
3. One letter apart (Damerau 1964), inside long words, where one is far rarer than the other: a slip.

A text with a digit in it is a designation (737-7H4, 4 Cycle): only case and space are slips there, and in a
whole column where most texts are such. The most frequent spelling stands for all.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable

from service.example.columns import TEXT, Column, bare
from service.example.database import Connection, literals, quote

DISTINCT_MAX = 1000
DISTINCT_SHARE_MAX = 0.5
LENGTH_MAX = 100

DESIGNATORS = re.compile(
    "inc|incorporated|ltd|limited|llc|llp|lp|plc|co|company|corp|corporation|gmbh|ag|kg|sa|sas|sarl|spa|srl|nv"
    "|bv|ab|oy|oyj|kk|pty|pte|group|holdings?|industries?|aircraft"
)
KEY_LETTERS_MIN = 4
"""Shorter names are compared letter by letter: A+ is not A-."""
SLIP_LETTERS_MIN = 8
SLIP_RARITY = 20


def find_merges(db: Connection, column: Column) -> tuple[dict[str, str], int]:
    """Spelling → the spelling that stands for it, and how many cells that changes."""
    placeholders = list(column.placeholders or {})
    values = column.distinct - len(placeholders)
    repeats = 0 < values <= min(DISTINCT_MAX, DISTINCT_SHARE_MAX * column.present)
    is_category = column.type == TEXT and not column.should_be and not column.names_things
    if not (is_category and repeats and column.longest <= LENGTH_MAX):
        return {}, 0
    cell = quote(column.name)
    skipped = f"AND {cell} NOT IN ({literals([*placeholders])})" if placeholders else ""
    rows = f"FROM input WHERE {cell} IS NOT NULL {skipped}"
    counts: dict[str, int] = dict(db.execute(f"SELECT {cell}, count(*) {rows} GROUP BY ALL").fetchall())
    names_types = 2 * sum(any(map(str.isdigit, spelling)) for spelling in counts) > len(counts)
    merges = _same_names(counts, plain_key if names_types else name_key)
    if not names_types:
        merges |= _slips(db, column, merges)
    return merges, sum(counts[spelling] for spelling in merges)


def _same_names(counts: dict[str, int], key: Callable[[str], str]) -> dict[str, str]:
    spellings = defaultdict(list)
    for spelling in counts:
        spellings[key(spelling)].append(spelling)
    merges: dict[str, str] = {}
    for group in spellings.values():
        standing = min(group, key=lambda spelling: (-counts[spelling], spelling)).strip()
        merges |= {spelling: standing for spelling in sorted(group) if spelling != standing}
    return merges


def plain_key(text: str) -> str:
    """The text without what case, accents and space add to it."""
    letters = (each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return " ".join("".join(letters).casefold().split())


def name_key(text: str) -> str:
    """What two spellings of one name have in common."""
    plain = plain_key(text)
    if any(map(str.isdigit, plain)):
        return plain
    words = [word for word in re.split(r"[\s.,;:'\"/_-]+", plain) if word]
    while len(words) > 1 and DESIGNATORS.fullmatch(words[-1]):
        words.pop()
    key = " ".join(words)
    return key if len(key) >= KEY_LETTERS_MIN else plain


def _slips(db: Connection, column: Column, merges: dict[str, str]) -> dict[str, str]:
    """Rare spelling → the frequent one that is a letter away; a first or last letter is seldom a slip."""
    cell = quote(column.name)
    pairs = db.execute(
        f"""WITH counted AS (SELECT {cell} AS text, lower({bare(cell)}) AS word, count(*) AS n FROM input
            WHERE {cell} IS NOT NULL GROUP BY ALL)
        SELECT rare.text, common.text FROM counted AS rare JOIN counted AS common
          ON left(rare.word, 1) = left(common.word, 1) AND right(rare.word, 1) = right(common.word, 1)
        WHERE common.n >= {SLIP_RARITY} * rare.n AND length(rare.word) >= {SLIP_LETTERS_MIN}
          AND abs(length(rare.word) - length(common.word)) <= 1
          AND NOT regexp_matches(rare.word || common.word, '[0-9]')
          AND damerau_levenshtein(rare.word, common.word) = 1
        ORDER BY common.n, common.text"""
    ).fetchall()
    return {rare: merges.get(common, common) for rare, common in pairs if rare not in merges}
