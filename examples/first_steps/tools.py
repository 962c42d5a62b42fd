"""Newton's method for square roots: a loop whose condition reads what the last step has left in the state."""

from __future__ import annotations

from typing import Any

from service import tool


@tool
def first_guess(state: dict[str, Any]) -> dict[str, Any]:
    return {"root": max(state["number"], 1.0)}


@tool
def improve_guess(state: dict[str, Any]) -> dict[str, Any]:
    root = (state["root"] + state["number"] / state["root"]) / 2
    return {"root": root, "error": abs(root * root - state["number"])}


@tool
def report_root(state: dict[str, Any], metadata: dict[str, Any], context: Any) -> dict[str, Any]:
    context.log("found the root", root=state["root"], after_step=context.step - 1)
    return {"root": round(state["root"], metadata["digits"])}
