"""A plot of the figures that `compare.py` wrote: `python support/plot.py results` draws `results/peers.svg`.

One field a workload, a line a competitor: a dot at its median, a bar from the least to the most. Logarithmic, since
the competitors lie powers of ten apart, and so dots: a bar's length would mean nothing.
`compare.py` calls it with an environment of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt  # it takes the backend that is set
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

OURS, LIMITS, PEERS = "#1f77b4", "#9e9e9e", "#d9a441"
COLUMNS = 2


def colour(name: str) -> str:
    return OURS if name.startswith("rungraph") else LIMITS if name in ("raw", "bare") else PEERS


def draw(field: Axes, figures: dict[str, Any]) -> None:
    rows = [row for row in figures["rows"] if "error" not in row][::-1]
    values = [row["median"] for row in rows]
    spans = [[row["median"] - row["min"] for row in rows], [row["max"] - row["median"] for row in rows]]
    names = [row["name"] for row in rows]
    field.errorbar(values, names, xerr=spans, fmt="none", ecolor="black", lw=1, capsize=2, zorder=2)
    field.scatter(values, names, c=[colour(name) for name in names], s=40, zorder=3)
    field.grid(axis="x", lw=0.4, color="#cccccc", zorder=0)
    field.margins(y=0.12)
    field.set_xscale("log")
    field.set_xlim(min(row["min"] for row in rows) / 3, max(row["max"] for row in rows) * 6)
    for place, row in enumerate(rows):
        shown = f"{row['median']:,.2f}" if row["median"] < 10 else f"{row['median']:,.0f}"
        field.annotate(shown, (row["max"], place), (7, 0), textcoords="offset points", va="center", fontsize=8)
    less = " (less is better)" if figures["unit"] == "s" else ""
    field.set_title(f"{figures['workload']}  {figures['title']}", fontsize=9, loc="left")
    field.set_xlabel(figures["unit"] + less, fontsize=8)
    field.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    field.xaxis.set_minor_formatter(NullFormatter())
    field.tick_params(labelsize=8)
    field.spines[["top", "right"]].set_visible(False)


def main() -> None:
    folder = Path(sys.argv[1])
    found = [json.loads(file.read_text()) for file in sorted(folder.glob("S*.json"), key=lambda file: file.stem)]
    found = [figures for figures in found if any("error" not in row for row in figures["rows"])]
    if not found:
        return
    lines = -(-len(found) // COLUMNS)
    columns = min(COLUMNS, len(found))
    mpl.rcParams.update({"svg.hashsalt": "rungraph", "svg.fonttype": "none", "font.family": "sans-serif"})
    figure, fields = plt.subplots(lines, columns, figsize=(5.6 * columns, 2.7 * lines), squeeze=False)
    for field in fields.flat[len(found) :]:
        field.set_visible(False)
    for field, figures in zip(fields.flat, found, strict=False):
        draw(field, figures)
    figure.tight_layout()
    # No date in it: the same figures give the same file.
    figure.savefig(folder / "peers.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
