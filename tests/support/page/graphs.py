"""Tools and graphs for the page's tests."""

from __future__ import annotations

from typing import Any

TOOLS = """
import asyncio
from pathlib import Path
from service import tool

@tool
def count(state, metadata): return {"n": state["n"] + metadata.get("by", 1)}

@tool
def same(state): return None

@tool
async def tick(state, context):
    context.log(f"tick {state['n']}")
    while state["n"] in (60, 120) and not Path(f"go-{state['n']}").exists():
        await asyncio.sleep(0.02)
    return {"n": state["n"] + 1}

@tool
def leave(state, context):
    context.log(state["text"], **{state["text"]: state["text"]})
    (context.folder / "x.html").write_text(state["text"])
    (context.folder / "x.csv").write_text("a,b\\n" + state["text"] + ",2\\n")
    raise ValueError(state["text"])
"""

LOOP: dict[str, Any] = {
    "name": "count-up",
    "start_node": "count",
    "nodes": {"count": {"tool": "count", "metadata": {"by": 7}}, "check": "same", "celebrate": "same"},
    "edges": {
        "count": "check",
        "check": [
            {"to": "celebrate", "condition": {"key": "n", "op": ">=", "value": 30}},
            {"to": "count", "condition": {"key": "n", "op": "<", "value": 1000}},
            {"to": None},
        ],
    },
}

APPROVAL: dict[str, Any] = {
    "name": "approval",
    "start_node": "wait",
    "nodes": {"wait": {"signal": "approve", "into": "approval"}, "publish": "same"},
    "edges": {
        "wait": [{"to": "publish", "condition": {"key": "approval.ok", "op": "==", "value": True}}, {"to": None}]
    },
}

SLEEPER: dict[str, Any] = {"name": "sleeper", "start_node": "rest", "nodes": {"rest": {"sleep": 86400}}}

TICKER: dict[str, Any] = {
    "name": "ticker",
    "start_node": "tick",
    "nodes": {"tick": "tick"},
    "edges": {"tick": [{"to": "tick", "condition": {"key": "n", "op": "<", "value": 150}}, {"to": None}]},
}

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'


def hostile() -> dict[str, Any]:
    """A graph whose names are markup, and names that objects of JavaScript have by themselves."""
    return {
        "name": HOSTILE,
        "start_node": HOSTILE,
        "nodes": {HOSTILE: "same", "__proto__": "leave", "constructor": {"signal": HOSTILE, "into": HOSTILE}},
        "edges": {
            HOSTILE: [{"to": "__proto__", "condition": {"key": "/text", "op": "==", "value": HOSTILE}}, {"to": None}],
            "__proto__": [{"to": "constructor", "on_error": True, "into": HOSTILE}],
        },
    }
