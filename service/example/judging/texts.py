"""Compare texts: slips, shapes, and the keys that two spellings of one name share."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

SLIP_SHARE_MAX = 0.34
"""The largest share of letters that a slip may change. It is halved if the slip changes the text's length."""
DESIGNATORS = re.compile(
    "inc|incorporated|ltd|limited|llc|llp|lp|plc|co|company|corp|corporation|gmbh|ag|kg|sa|sas|sarl|spa|srl|nv"
    "|bv|ab|oy|oyj|kk|pty|pte|group|holdings?|industries?|industrie|aircraft"
)


def distance(one: str, other: str, most: int) -> int:
    """Return the number of edits between two texts, or some number greater than `most` if there are more edits.

    This is the optimal string alignment distance (Damerau 1964), in which swapping two adjacent letters is one edit.
    """
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    previous = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        current = [i]
        for j, match in enumerate(other, start=1):
            cost = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (letter != match))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == match:
                cost = min(cost, before[j - 2] + 1)
            current.append(cost)
        if min(current) > most:
            return most + 1
        before, previous = previous, current
    return previous[-1]


def is_slip(text: str, meant: str) -> bool:
    """Return whether a text can be a slip of another: few letters differ, and no digit replaces another digit."""
    one, other = text.casefold(), meant.casefold()
    if one == other:
        return True
    if len(meant) > 500:
        return text[:1] == meant[:1]
    words, meant_words = re.findall(r"\w+", one), re.findall(r"\w+", other)
    if len(other) < 2 or (
        len(words) == len(meant_words)
        and any(
            distance(a, b, max(1, len(b) // 2)) > max(1, len(b) // 2) for a, b in zip(words, meant_words, strict=True)
        )
    ):
        return False  # Another word, such as Eucla for Perth, is not a slip.
    most = max(1, int((SLIP_SHARE_MAX if len(one) == len(other) else SLIP_SHARE_MAX / 2) * len(other)))
    if distance(one, other, most) > most:
        return False
    if len(one) == len(other):
        return agrees_in_digits(one, other)
    return re.sub(r"\D", "", one) == re.sub(r"\D", "", other)


def agrees_in_digits(text: str, meant: str) -> bool:
    """Return whether two texts have equal length, and the same digit wherever both have a digit."""
    return len(text) == len(meant) and not any(
        a != b and a.isdigit() and b.isdigit() for a, b in zip(text, meant, strict=True)
    )


def shape(text: str) -> str:
    """Return the text with each run of letters replaced by `a`, and each run of digits by `9`."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", text))


def breaks_pattern(text: str, common: Sequence[str]) -> bool:
    """Return whether the column's common values have few shapes, and the text has none of these."""
    shapes = {shape(each) for each in common if each != text}
    return 0 < len(shapes) <= max(3, len(common) // 10) and shape(text) not in shapes


def is_made_of(text: str, common: Sequence[str]) -> bool:
    """Return whether each word of a text occurs in other common values, so that the text is hardly a misspelling."""
    words = set(re.findall(r"[^\W_]+", text.casefold()))
    for each in common:
        if not words:
            break
        if each != text:
            words.difference_update(re.findall(r"[^\W_]+", each.casefold()))
    return not words


def plain_key(text: str) -> str:
    """Return the text without differences in case, accents and space."""
    letters = (each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return " ".join("".join(letters).casefold().split())


def name_key(text: str) -> str:
    """Return a key that the spellings of one name share: its words in order, without a company's designators.

    A text with a digit is a designation (737-7H4), and a short text is a code (A+). Their key is the `plain_key`.
    """
    plain = plain_key(text)
    if any(map(str.isdigit, plain)):
        return plain
    words = [word for word in re.split(r"[\s.,;:'\"/_-]+", plain) if word]
    while len(words) > 1 and DESIGNATORS.fullmatch(words[-1]):
        words.pop()
    key = " ".join(words)
    return key if len(key) >= 4 else plain
