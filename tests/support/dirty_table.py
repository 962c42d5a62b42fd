"""A table with errors of many kinds."""

from __future__ import annotations

import csv
import io


def dirty_table() -> list[list[str]]:
    """A table with errors of many kinds, some of which hide others."""
    rows = []
    for number in range(120):
        city, region = [("Manchester", "North"), ("Birmingham", "Midlands"), ("Plymouth", "South")][number % 3]
        rows.append([f"k{number}", city, region, f"{1000 + number * 7}", f"2024-01-{number % 28 + 1:02}", "yes"])
    rows[4][1] = " Manchester"[::1]
    rows[10][1] = "Manchestre"
    rows[13][1] = "MANCHESTER"
    rows[20][3] = "1,140"
    rows[21][3] = "NA"
    rows[22][4] = "n/a"
    rows[23][4] = "24 Jan 2024"
    rows[30][5] = "Y"
    rows[31][3] = " 1217 "
    rows[33][2] = "-"
    rows[40][3] = "99999999"
    rows.append(list(rows[0]))
    return rows


def as_csv(rows: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([["key", "city", "region", "amount", "day", "ok"], *rows])
    return out.getvalue()
