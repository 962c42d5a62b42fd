"""Judge dates, times and yes-no words that are written differently from most of their column.

A date proves the order of day and month if exactly one of the two numbers is greater than 12. An order that at least
PROOF_MIN cells prove and no cell contradicts holds for the whole column. A date is not changed if its own order is
unknown, or if its year has two digits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import date, time
from typing import NamedTuple

from service.example.judging.findings import Judgement, Kind, Repair, format_flag
from service.example.tables.columns import DATE, MOMENT, Facts

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
FULL_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
               "november", "december")  # fmt: skip
SHARE_MIN = 0.95
PROOF_MIN = 2
MIXED_SHARE_MAX = 0.1

_YEAR_FIRST = re.compile(r"(\d{4})([-/. ])(\d{1,2})\2(\d{1,2})")
_YEAR_LAST = re.compile(r"(\d{1,2})([-/. ])(\d{1,2})\2(\d{4})")
_SHORT_YEAR = re.compile(r"\d{1,2}([-/. ])\d{1,2}\1\d{2}")
_NAMED_DAY_FIRST = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?[-/. ]*([A-Za-z]{3,9})[-/., ]+(\d{4})")
_NAMED_MONTH_FIRST = re.compile(r"([A-Za-z]{3,9})\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})")
_WITH_TIME = re.compile(r"(.*\d),?[T ]+(\d{1,2}:\d{2}(?::\d{2})?(?:\s*[AaPp]\.?[Mm]\.?)?)")
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\s*([AaPp])(\.?)[Mm](\.?))?")


class Read(NamedTuple):
    """A date as it is written.

    The order is `ymd` if the form tells day and month apart: then `first` is the month, and `second` the day. Otherwise
    the order is `?`, and `first` and `second` are the numbers as they are written.
    """

    order: str
    year: int
    first: int
    second: int
    clock: str = ""
    """The time after the date as `HH:MM` or `HH:MM:SS`; empty if there is none."""


def read_date(text: str) -> Read | None:
    if (match := _WITH_TIME.fullmatch(text)) and (each := _read_day(match[1])) and (read := read_time(match[2])):
        moment, clock = read
        return each._replace(clock=f"{moment:%H:%M:%S}" if clock.has_seconds else f"{moment:%H:%M}")
    return _read_day(text)


def _read_day(text: str) -> Read | None:
    if match := _YEAR_FIRST.fullmatch(text):
        return Read("ymd", int(match[1]), int(match[3]), int(match[4]))
    if match := _YEAR_LAST.fullmatch(text):
        return Read("?", int(match[4]), int(match[1]), int(match[3]))
    if match := _NAMED_DAY_FIRST.fullmatch(text):
        month = _month(match[2])
        return Read("ymd", int(match[3]), month, int(match[1])) if month else None
    if match := _NAMED_MONTH_FIRST.fullmatch(text):
        month = _month(match[1])
        return Read("ymd", int(match[3]), month, int(match[2])) if month else None
    return None


def _month(word: str) -> int:
    word = word.casefold()
    if word in FULL_MONTHS:
        return FULL_MONTHS.index(word) + 1
    word = "sep" if word == "sept" else word
    return MONTHS.index(word) + 1 if word in MONTHS else 0


def judge_dates(facts: Facts, texts: Sequence[tuple[str, int]]) -> Judgement:
    """Judge a column of dates. `texts` has the texts that are not valid ISO dates, each with its count."""
    found = Judgement()
    read = {text: each for text, _ in texts if (each := read_date(text))}
    counts = dict(texts)
    dates = sum(counts[text] for text in read) + sum(n for text, n in texts if _SHORT_YEAR.fullmatch(text))
    if facts.date + facts.moment + facts.zoned + dates < SHARE_MIN * facts.present:
        return found
    order = _order(read, counts)
    for text, n in texts:
        each = read.get(text)
        if each is None:
            reason = (
                "its year has two digits"
                if _SHORT_YEAR.fullmatch(text)
                else "the column holds dates, and it is not a date"
            )
            found.flags.append(format_flag(facts, text, reason))
            continue
        iso, reason = _iso(each, order)
        if iso is None:
            found.flags.append(format_flag(facts, text, reason))
        elif not re.fullmatch(DATE, text):
            found.repairs.append(
                Repair(facts.column, None, text, iso, Kind.FORMAT, f"the same date; {reason} ({n:,} cells)")
            )
    timed = facts.moment + facts.zoned + sum(counts[text] for text, each in read.items() if each.clock)
    if 2 * timed > facts.present:
        short = {text for text, each in read.items() if not each.clock}
        found.repairs = [repair for repair in found.repairs if repair.before not in short]
        found.flags += [format_flag(facts, text, "it lacks the time that the others have") for text in short]
    return found


def _order(read: dict[str, Read], counts: dict[str, int]) -> str | None:
    """Return the order of the column's numeric dates, `dmy` or `mdy`; None if it is not proved or is contradicted."""
    proof = Counter[str]()
    for text, each in read.items():
        if each.order == "?":
            first, second = each.first > 12 >= each.second, each.second > 12 >= each.first
            if first or second:
                proof["dmy" if first else "mdy"] += counts[text]
    if len(proof) != 1:
        return None
    ((order, count),) = proof.items()
    return order if count >= PROOF_MIN else None


def _iso(each: Read, order: str | None) -> tuple[str | None, str]:
    """Return the date in ISO 8601 and how its order is known, or None and the reason not to convert it."""
    month, day, why = each.first, each.second, "its form tells the day from the month"
    if each.order == "?":
        if order is None and each.first == each.second:
            why = "day and month are the same number"
        elif order is None and (each.first > 12) == (each.second > 12):
            return None, "day and month may be either, and nothing in the column tells which comes first"
        elif order == "dmy" or (order is None and each.first > 12):
            month, day, why = each.second, each.first, "the day comes first in this column"
        else:
            why = "the month comes first in this column"
    try:
        return f"{date(each.year, month, day)} {each.clock}".strip(), why
    except ValueError:
        return None, "there is no such date"


def judge_mixed_moments(facts: Facts, texts: Sequence[tuple[str, int]]) -> Judgement:
    """Flag the values that lack the time, or the time zone, that nearly all other values of their column have."""
    found = Judgement()
    for few, many, pattern, what in (
        (facts.date, facts.moment + facts.zoned, DATE, "time"),
        (facts.moment, facts.zoned, MOMENT, "zone"),
    ):
        if 0 < few <= MIXED_SHARE_MAX * many:
            lacking = [text for text, _ in texts if re.fullmatch(pattern, text)]
            found.flags += [format_flag(facts, text, f"it lacks the {what} that the others have") for text in lacking]
    return found


def judge_impossible_dates(facts: Facts, texts: Sequence[tuple[str, int]]) -> Judgement:
    """Flag ISO dates that do not exist, such as February 30, in a column of dates."""
    bad = [text for text, _ in texts if re.fullmatch(DATE, text.strip())]
    return Judgement(flags=[format_flag(facts, text, "there is no such date") for text in bad])


class Clock(NamedTuple):
    """The way in which a time is written."""

    has_half: bool
    has_seconds: bool
    letters: str
    """The first letter of AM or PM as `A` or `a`, with a point if one follows it; empty without such letters."""


def read_time(text: str) -> tuple[time, Clock] | None:
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    hour, minute, second, half = int(match[1]), int(match[2]), int(match[3] or 0), match[4]
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half in "Pp" else 0)
    try:
        letters = f"{'A' if (half or '').isupper() else 'a'}{match[5] or ''}" if half else ""
        return time(hour, minute, second), Clock(bool(half), match[3] is not None, letters)
    except ValueError:
        return None


def judge_times(facts: Facts, texts: Sequence[tuple[str, int]]) -> Judgement:
    """Judge a column of times. A time in a rare format gets the format of most times, unless it would lose seconds."""
    found = Judgement()
    read = {text: each for text, _ in texts if (each := read_time(text))}
    counts = Counter[Clock]()
    for text, n in texts:
        if text in read:
            counts[read[text][1]] += n
    if sum(counts.values()) < 0.8 * facts.present:
        return found
    usual, most = counts.most_common(1)[0]
    for text, n in texts:
        if text not in read:
            found.flags.append(format_flag(facts, text, "the column holds times, and it is not a time"))
            continue
        moment, clock = read[text]
        if clock != usual and most >= 0.9 * sum(counts.values()) and (usual.has_seconds or not moment.second):
            if not clock.has_half and not usual.has_half and clock.has_seconds == usual.has_seconds:
                continue
            if usual.has_half and not clock.has_half and 1 <= moment.hour <= 12:
                found.flags.append(format_flag(facts, text, "it may be before noon or after"))
                continue
            after = _written(moment, usual)
            if after != text:
                found.repairs.append(
                    Repair(facts.column, None, text, after, Kind.FORMAT, f"the same time ({n:,} cells)")
                )
    return found


def _written(moment: time, clock: Clock) -> str:
    seconds = f":{moment.second:02}" if clock.has_seconds else ""
    if not clock.has_half:
        return f"{moment.hour:02}:{moment.minute:02}{seconds}"
    half = "PM" if moment.hour >= 12 else "AM"
    half = half if clock.letters[0] == "A" else half.lower()
    half = ".".join(half) + "." if "." in clock.letters else half
    return f"{moment.hour % 12 or 12}:{moment.minute:02}{seconds} {half}"


PAIRS = (("yes", "no"), ("y", "n"), ("true", "false"), ("t", "f"), ("1", "0"))


def judge_words(facts: Facts, texts: Sequence[tuple[str, int]]) -> Judgement:
    """Judge a column of yes-no words. Words of a rarer pair become the words of the most frequent pair."""
    found = Judgement()
    counts = Counter[tuple[str, str]]()
    for text, n in texts:
        pair = next((pair for pair in PAIRS if text.casefold() in pair), None)
        if pair is None:
            return found
        counts[pair] += n
    usual = counts.most_common(1)[0][0]
    if len(counts) < 2 or usual == ("1", "0") or len({("t", "f"), ("y", "n")} & set(counts)) == 2:
        return found
    spelled = {
        word: max((each for each in texts if each[0].casefold() == word), key=lambda each: each[1], default=(word, 0))[
            0
        ]
        for word in usual
    }
    for text, n in texts:
        pair = next(pair for pair in PAIRS if text.casefold() in pair)
        after = spelled[usual[pair.index(text.casefold())]]
        if pair != usual:
            evidence = f"the same answer; {counts[usual]:,} cells say {usual[0]} or {usual[1]} ({n:,} cells)"
            found.repairs.append(Repair(facts.column, None, text, after, Kind.FORMAT, evidence))
    return found
