"""Extract pages from an unreliable source, clean each one in a run of its own, and load them into one table."""

from __future__ import annotations

import csv
from typing import Any

from service import tool

# This dictionary stands for an HTTP API: page 2 fails at the first attempt, and page 4 at every one.
SOURCE = {
    1: [{"city": " Oslo", "celsius": "4"}, {"city": "Bergen", "celsius": "7"}],
    2: [{"city": "Turku ", "celsius": "-1"}],
    3: [{"city": "Malmö", "celsius": "n/a"}, {"city": "Lund", "celsius": "6"}],
}


@tool
def list_pages() -> dict[str, Any]:
    return {"pages": [1, 2, 3, 4]}


@tool
async def fetch_page(state: dict[str, Any], context: Any) -> dict[str, Any]:
    page = state["item"]
    if page not in SOURCE or (page == 2 and context.attempt == 1):
        raise ConnectionError(f"page {page} cannot be read")
    return {"rows": SOURCE[page]}


@tool
def clean_rows(state: dict[str, Any]) -> dict[str, Any]:
    rows = [{"city": row["city"].strip(), "celsius": row["celsius"]} for row in state["rows"]]
    return {"rows": [row for row in rows if row["celsius"] != "n/a"]}


@tool
def skip_page() -> dict[str, Any]:
    return {"rows": []}  # The error edge has put the reason into `error`.


@tool
def load_table(state: dict[str, Any], context: Any) -> dict[str, Any]:
    results = state.pop("results")  # The rows go into a file, and the state stays small.
    rows = [row for result in results for row in result["rows"]]
    unfinished = context.folder / "table.csv.part"
    with unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["city", "celsius"])
        writer.writeheader()
        writer.writerows(rows)
    unfinished.replace(context.folder / "table.csv")  # An attempt that dies leaves no half of a table.
    return {"row_count": len(rows), "skipped": [result["item"] for result in results if "error" in result]}


@tool
def warn_of_gaps(state: dict[str, Any], context: Any) -> None:
    context.log("the table has gaps", pages=state["skipped"])
