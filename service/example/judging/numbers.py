"""Judge numbers that are written with separators, a currency, a percent sign or a unit.

A text is first split into its parts. What the parts mean is then decided by the column as a whole.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from service.example.judging.findings import Judgement, Kind, Repair, format_flag
from service.example.tables.columns import DIGITS_EXACT, PLAIN, Facts

_NUMBER = re.compile(
    r"(?P<open>\()?\s*(?P<sign1>[-+−])?\s*(?P<before>[$€£¥₹]|[A-Z]{1,3}\s?[$€£¥₹]|(?:USD|EUR|GBP|CHF|JPY|CAD|AUD)\s?)?"
    r"\s*(?P<sign2>[-+−])?(?P<digits>\d[\d.,'\u2019\u00a0\u202f ]*\d|\d|[.,]\d+)\s*"
    r"(?P<after>[%‰°€£$¥₹]|[^\W\d_](?:[^\W\d_]|[/.°% -])*[²³23]?)?(?P<close>\))?"
)
_ORDINALS = ("st", "nd", "rd", "th")
_MAGNITUDES = ("k", "M", "m", "B", "b", "bn", "mn", "mio", "mrd", "million", "billion", "thousand")
"""Words after a number that may multiply it. None is taken for a unit, except `m` in a column without plain numbers."""
_GROUPS = {
    mark: re.compile(rf"\d{{1,3}}(?:{re.escape(mark)}\d{{3}})+")
    for mark in (",", ".", "'", "\u2019", " ", "\u00a0", "\u202f")
}
_INDIAN = re.compile(r"\d{1,2}(?:,\d{2})+,\d{3}")
"""Digits grouped by two above the last three, as in 12,34,567."""
_UNITS = {
    "oz": "oz ounce ounces", "lb": "lb lbs pound pounds", "kg": "kg kgs kilo kilos kilogram kilograms kilogramme",
    "g": "g gr gram grams gramme grammes", "in": "in inch inches", "ft": "ft foot feet", "yd": "yd yard yards",
    "mi": "mi mile miles", "km": "km kms kilometer kilometers kilometre kilometres", "m": "m meter meters metre metres",
    "cm": "cm cms centimeter centimeters centimetre centimetres", "mm": "mm millimeter millimeters millimetre",
    "l": "l liter liters litre litres ltr", "ml": "ml milliliter milliliters millilitre millilitres",
    "gal": "gal gallon gallons", "h": "h hr hrs hour hours", "min": "min mins minute minutes",
    "s": "s sec secs second seconds", "d": "d day days", "wk": "wk wks week weeks", "yr": "y yr yrs year years",
    "mo": "mo mos month months", "%": "% percent pct per-cent", "USD": "$ us$ usd dollar dollars",
    "EUR": "€ eur euro euros", "GBP": "£ gbp", "mph": "mph", "kmh": "km/h kmh kph",
}  # fmt: skip
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words.split()}
SHARE_MIN = 0.98
"""The least share of a column's texts that must be numbers before any of them is rewritten."""
MOST = 0.9
NO_NUMBER = "it is not a number, and the column holds numbers"
PLAIN_MIN = 5
TEXTS_MIN = 3
"""The fewest texts that are evidence of how a column is written."""
CODE_DIGITS_MIN = 8
NOISELESS_DIGITS_MAX = 8
FAR = 8.0
"""A reading of a percentage is accepted if it is this many times closer to the column's median than the other one."""


class Number(NamedTuple):
    """A text split into the digits of a number and the parts around them."""

    sign: str
    digits: str
    unit: str | None
    """The standard name of the unit, or the unit as it is written if it has none; None without a unit."""
    remark: str = ""
    """The text after the unit."""


def read_number(text: str) -> Number | None:
    match = _NUMBER.fullmatch(text.strip())
    if match is None or bool(match["open"]) != bool(match["close"]):
        return None
    before, after = (match["before"] or "").strip(), (match["after"] or "").strip()
    if (before and after) or (match["sign1"] and match["sign2"]):
        return None
    sign = "-" if match["open"] or {match["sign1"], match["sign2"]} & {"-", "−"} else ""
    if re.match(r"[eE][-+\d]", after) or after.casefold() in _ORDINALS:
        return None  # This is an exponent or an ordinal, not a unit.
    unit, remark = unit_of(before or after)
    return Number(sign, match["digits"], unit, remark)


def unit_of(text: str) -> tuple[str | None, str]:
    """Return the unit with which `text` begins, and the text after the unit.

    The unit has its standard name. An unknown unit is returned as it is written, since case matters for units such as
    mg and Mg. None stands for no unit.
    """
    if not text:
        return None, ""
    plain = text.rstrip(".").strip()
    if known := _known_unit(plain):
        return known, ""
    first, _, rest = plain.partition(" ")
    known = _known_unit(first.rstrip("."))
    return (known, rest.strip()) if known and rest.strip() else (plain, "")


def _known_unit(word: str) -> str | None:
    return _UNIT_OF.get(word) or (
        _UNIT_OF.get(word.casefold()) if len(word) > 1 and word not in ("Mm", "Ml", "MM") else None
    )


class Marks(NamedTuple):
    """The mark that groups a column's digits, and the mark that begins the decimals. An unused mark is empty."""

    group: str
    decimal: str


def find_marks(digits: Sequence[str], plain: Facts) -> Marks | None:
    """Return what the marks among a column's digits mean, or None if that is uncertain."""
    commas, points = Counter[str](), Counter[str]()
    for each in digits:
        if "," in each and "." in each:
            (commas if each.rindex(",") > each.rindex(".") else points)["decimal"] += 1
            (points if each.rindex(",") > each.rindex(".") else commas)["group"] += 1
        elif "," in each:
            commas[_role(each, ",")] += 1
        elif "." in each:
            points[_role(each, ".")] += 1
    has_decimals = plain.plain > plain.integer
    if (commas["decimal"] and commas["group"]) or (points["decimal"] and points["group"]):
        return None
    if commas["decimal"] and not points["decimal"] and not has_decimals:
        return Marks("." if points["group"] or points["either"] else "", ",")
    if commas["decimal"] and has_decimals and not commas["either"] and not points:
        return Marks("", ",")  # With 3,5 among plain numbers like 2.7, both marks begin decimals.
    if commas["group"] or (points["decimal"] and not commas["decimal"]):
        return Marks(",", ".")
    if commas["either"] and not commas["decimal"] and (has_decimals or plain.integer >= PLAIN_MIN):
        return Marks(",", ".")
    if points["group"] and not has_decimals:
        return Marks(".", ",")
    return None if commas or points["group"] else Marks("", ".")


def _role(digits: str, mark: str) -> str:
    """Return what `mark` means in `digits`.

    That is `group` in 1,234,567, `decimal` in 3,5 and in 1.234, `either` in 1,234, and `neither` in 1,23,4.
    """
    if digits.count(mark) > 1:
        return "group" if _is_grouping(mark, digits) else "neither"
    whole, _, rest = digits.partition(mark)
    return (
        "either" if len(rest) == 3 and 1 <= len(whole) <= 3 and not whole.startswith("0") and mark == "," else "decimal"
    )


def _is_grouping(mark: str, digits: str) -> bool:
    return bool(_GROUPS[mark].fullmatch(digits) or (mark == "," and _INDIAN.fullmatch(digits)))


def rewritten(number: Number, marks: Marks) -> str | None:
    """Return the digits as a plain number, or None if they do not form one with these marks."""
    whole, point, rest = number.digits, "", ""
    if marks.decimal and marks.decimal in whole:
        whole, point, rest = whole.rpartition(marks.decimal)
    for mark in (marks.group, "'", "\u2019", " ", "\u00a0", "\u202f"):
        if mark and mark in whole and _is_grouping(mark, whole):
            whole = whole.replace(mark, "")
            break
    text = number.sign + (whole or "0") + ("." + rest if point else "")
    return text if re.fullmatch(PLAIN, text) else None


def _is_grouped(number: Number) -> bool:
    return any(mark in number.digits for mark in _GROUPS if mark != ".")


def judge_numbers(facts: Facts, texts: Sequence[tuple[str, int]]) -> Judgement:
    """Judge the texts of a numeric column that are not plain numbers."""
    found = Judgement()
    read = {text: number for text, _ in texts if (number := read_number(text))}
    counts = dict(texts)
    readable = sum(counts[text] for text in read)
    numbers = facts.plain + facts.scientific + readable
    if facts.leading_zero or facts.present < TEXTS_MIN:
        return found
    if numbers >= MOST * facts.present:
        found.flags += [format_flag(facts, text, NO_NUMBER) for text, _ in texts if text not in read]
    if not read or numbers < SHARE_MIN * facts.present:
        return found
    unit, problem = _common_unit(read, counts, facts)
    marks = find_marks([number.digits for number in read.values()], facts)
    if marks and any(_is_grouped(number) and rewritten(number, marks) is None for number in read.values()):
        problem = problem or "not all marks in the column's numbers group their digits by three"
    elif _are_codes(read, facts):
        problem = problem or "digits in groups, as many in each text, may be a code, such as a telephone number"
    for text, number in read.items():
        if doubt := _doubt(number, unit, marks, problem):
            found.flags.append(format_flag(facts, text, doubt))
            continue
        plain = None if marks is None else rewritten(number, marks)
        if plain is not None and number.unit:
            plain = _scaled(_tidy(plain), number.unit, facts)
        if plain is None:
            found.flags.append(format_flag(facts, text, "its value cannot be told for certain from the other numbers"))
        elif not facts.plain and not number.unit and "." in text and "," not in text and plain == text:
            continue
        else:
            evidence = f"the same number; {numbers:,} of {facts.present:,} texts of the column are numbers"
            found.repairs.append(Repair(facts.column, None, text, plain, Kind.FORMAT, evidence))
    if unit and found.repairs:
        found.learnt[facts.column] = {"unit": unit}
    return found


def _doubt(number: Number, unit: str | None, marks: Marks | None, problem: str | None) -> str | None:
    """Return the reason not to rewrite `number`, or None. `problem` is such a reason for the whole column, or None."""
    if number.remark:
        return f"it says more than a number and its unit: {number.remark!r}"
    if number.unit and number.unit != unit:
        return problem or (f"the unit of the column is {unit}" if unit else "the other numbers have no unit")
    if marks is None:
        return problem or "the mark in it may group digits or begin decimals"
    return problem


def _are_codes(read: dict[str, Number], facts: Facts) -> bool:
    """Return whether all texts of a column are digits grouped by space, with the same number of digits."""
    digits = {re.sub(r"\D", "", number.digits) for number in read.values()}
    has_space = all(re.search(r"[ \u00a0\u202f]", number.digits) and not number.unit for number in read.values())
    return (
        not facts.plain
        and has_space
        and len(digits) > 1
        and {len(each) for each in digits} == {len(min(digits))}
        and len(min(digits)) >= CODE_DIGITS_MIN
    )


def _common_unit(read: dict[str, Number], counts: dict[str, int], facts: Facts) -> tuple[str | None, str | None]:
    """Return the single unit of a column's numbers, or None, and the reason why no unit may be removed, or None.

    Both are None if the numbers have no unit.
    """
    units = Counter[str]()
    for text, number in read.items():
        if number.unit:
            units[number.unit] += counts[text]
    if not units:
        return None, None
    if len(units) > 1:
        named = ", ".join(map(repr, sorted(units)[:3]))
        return None, f"the column's numbers have several units ({named})"
    (unit,) = units
    if unit in _MAGNITUDES and not (unit == "m" and not facts.plain):
        return None, f"{unit!r} may multiply the number"
    if unit not in _UNITS and facts.plain and len(unit) < 2:
        return None, f"{unit!r} may be part of the value"
    return unit, None


def _scaled(plain: str, unit: str, facts: Facts) -> str | None:
    """Return a number without its unit, on the scale of the column's plain numbers; None if the scale is uncertain."""
    if not facts.plain:
        return plain
    if facts.low is None or facts.high is None or facts.median is None or facts.plain < PLAIN_MIN:
        return None
    value = float(plain)
    fits = facts.low <= value <= facts.high
    if unit != "%":
        return plain if fits else None
    hundredth = value / 100
    fits_divided = facts.low <= hundredth <= facts.high
    if fits and fits_divided and value > 0 and facts.median > 0:
        near, far = abs(math.log(value / facts.median)), abs(math.log(hundredth / facts.median))
        fits, fits_divided = near + math.log(FAR) <= far, far + math.log(FAR) <= near
    if fits and not fits_divided:
        return plain
    return _hundredth(plain) if fits_divided and not fits else None


def _tidy(plain: str) -> str:
    """Return a number without a zero fraction and without rounding noise, as in 0.052000000000000005."""
    if "." not in plain:
        return plain
    plain = plain.rstrip("0").rstrip(".") if plain.rpartition(".")[2].strip("0") == "" else plain
    if len(plain.strip("-0.")) <= DIGITS_EXACT:
        return plain
    short = f"{float(plain):.{DIGITS_EXACT}g}"
    return short if re.fullmatch(PLAIN, short) and len(short.strip("-0.")) <= NOISELESS_DIGITS_MAX else plain


def _hundredth(plain: str) -> str:
    """Return the number divided by a hundred, exactly."""
    sign = "-" if plain.startswith("-") else ""
    whole, _, rest = plain.lstrip("+-").partition(".")
    whole = whole.rjust(3, "0")
    text = f"{int(whole[:-2])}.{whole[-2:]}{rest}"
    return sign + text.rstrip("0").rstrip(".")
