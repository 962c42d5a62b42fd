"""Judge placeholders: texts such as `n/a` that stand for a missing value.

`NA` is Namibia among ISO codes, and `Null` can be a surname. So a word is taken for a placeholder only if the column
holds numbers, dates or times, or if no other text of the column looks like the word. Otherwise the word is flagged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from service.example.judging.findings import Flag, Judgement, Kind, Repair, shown
from service.example.tables.columns import Facts

WORDS = (
    "na", "nan", "nat", "null", "nil", "none", "missing", "unknown", "tbd", "undefined", "unavailable",
)  # fmt: skip
MARKED = (
    "n/a", "#n/a", "n.a.", "n.a", "<na>", "(na)", "[na]", "<null>", "(null)", "[null]", "\\n", "#null!", "#value!",
    "#ref!", "#div/0!", "#name?", "#num!", "#n/a n/a", "not available", "no data", "not applicable", "n/d", "#n/d",
    "k.a.", "k. a.",
)  # fmt: skip
"""Placeholders with a mark or a space that real values rarely have."""
MARKS = (
    "-", "--", "---", "----", "–", "—", "−", "‐", "‒", "―", "?", "??", "???", ".", "..", "...", "…", "*", "_", "/", "#",
    "~", "·",
)  # fmt: skip
INFINITIES = ("inf", "+inf", "-inf", "infinity", "+infinity", "-infinity")
STATEMENTS = (
    "empty", "blank", "(blank)", "unspecified", "(none)", "<none>", "not reported", "not specified", "not known",
)  # fmt: skip
"""Words that say more than that a value is missing."""
LEXICON = (*WORDS, *MARKED, *MARKS, *INFINITIES, *STATEMENTS)
CHARS_MAX = 14

VAGUE = (
    "none", "nil", "undefined", "unavailable", "not applicable", "unknown", "missing", "tbd", "no data",
)  # fmt: skip
"""Words that may be real answers, such as an unknown gender."""
ZERO = ("none", "nil")
"""Words that may mean zero among numbers."""
INFINITE_SHARE_MAX = 0.02
TYPED_SHARE_MIN = 0.95
OTHERS_MIN, OTHER_CELLS_MIN = 2, 20
"""So many other texts, or so many cells with other texts, suffice to show what values of the column look like."""


def judge_placeholders(facts: Facts, hits: Sequence[tuple[str, int]], others: Sequence[tuple[str, int]]) -> Judgement:
    """Judge the texts of a column that are in the lexicon.

    `hits` has these texts, and `others` the most frequent of the column's other texts, each with its count.
    """
    found = Judgement()
    count = facts.present - sum(n for _, n in hits)
    typed = _type(facts, count)
    for text, n in hits:
        word = text.strip().casefold()
        why: str | None
        if word in STATEMENTS:
            why = "it may be an answer of its own"
        elif typed:
            why = _among_typed(word, n, count)
            evidence = f"the column holds {typed}s ({count:,} of them), and {shown(text)} is not a {typed}"
        else:
            why = _among_texts(text.strip(), others)
            evidence = (
                f"none of the column's other texts, such as {shown(others[0][0]) if others else ''}, looks like it"
            )
        if why is None:
            found.repairs.append(Repair(facts.column, None, text, None, Kind.PLACEHOLDER, evidence))
        elif why:
            found.flags.append(Flag(facts.column, None, text, Kind.PLACEHOLDER, why))
    return found


def _type(facts: Facts, count: int) -> str | None:
    """Return what nearly all of the `count` cells with other texts hold: `number`, `date` or `time`; None if mixed."""
    if count < 1:
        return None
    for name, number in (
        ("number", max(facts.plain + facts.scientific, facts.loose if _has_digits(facts) else 0)),
        ("date", max(facts.date + facts.moment + facts.zoned, facts.loose_date)),
        ("time", facts.loose_time),
    ):
        if number >= TYPED_SHARE_MIN * count:
            return name
    return None


def _has_digits(facts: Facts) -> bool:
    return facts.plain > 0 or facts.loose > 0


def _among_typed(word: str, n: int, count: int) -> str | None:
    """Return why a word among numbers, dates or times is not changed; None if it certainly is a placeholder."""
    if word in ZERO:
        return "it may stand for zero"
    if word in INFINITIES and n > max(1, INFINITE_SHARE_MAX * count):
        return "so many infinities may be meant, as the open end of an interval"
    return None


def _among_texts(text: str, others: Sequence[tuple[str, int]]) -> str | None:
    """Return why a word among texts is not changed.

    None means that the word is a placeholder, since no other text looks like it. An empty reason means that the word is
    an ordinary value, which gets no flag either.
    """
    word = text.casefold()
    if len(others) < OTHERS_MIN and sum(n for _, n in others) < OTHER_CELLS_MIN:
        return "the column has too few other values to tell whether it is one"
    if word in INFINITIES:
        return ""
    if word in VAGUE:
        return "it may be an answer of its own"
    if word in MARKS:
        short = [other for other, _ in others if len(other.strip()) == 1 or not any(map(str.isalnum, other))]
        return f"other values are as short, such as {shown(short[0])}" if short else None
    if word in MARKED:
        alike = [other for other, _ in others if _shape(other) == _shape(text)]
        return f"other values look alike, such as {shown(alike[0])}" if alike else None
    alike = [other for other, _ in others if _looks_like(other.strip(), text)]
    return f"it may be a value like {shown(alike[0])}" if alike else None


def _looks_like(other: str, word: str) -> bool:
    """Return whether `other` is a single word of similar length, and of the same case unless both words are short."""
    if not re.fullmatch(r"\w+", other) or abs(len(other) - len(word)) > 3:
        return False
    return _case(other) == _case(word) or (len(word) <= 3 and len(other) <= 3)


def _case(word: str) -> str:
    return "upper" if word.isupper() else "lower" if word.islower() else "title" if word.istitle() else "mixed"


def _shape(text: str) -> str:
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", text.strip()))
