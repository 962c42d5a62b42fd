"""Make names for columns."""

from __future__ import annotations

from collections.abc import Iterable

NAME_CHARS_MAX = 100


def unique_names(names: Iterable[str]) -> list[str]:
    """Return names that are not empty, unique without regard to case (as in SQL), and short enough to print."""
    taken: set[str] = set()
    counts: dict[str, int] = {}
    unique = []
    for position, raw in enumerate(names, start=1):
        plain = "".join(letter if letter.isprintable() else " " for letter in raw)
        base = " ".join(plain.split())[:NAME_CHARS_MAX] or f"column_{position}"
        name, count = base, counts.get(base.casefold(), 1)
        while name.casefold() in taken:
            count += 1
            name = f"{base}_{count}"
        counts[base.casefold()] = count  # Starting here next time makes thousands of equal names fast.
        taken.add(name.casefold())
        unique.append(name)
    return unique
