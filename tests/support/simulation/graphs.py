"""Random graphs whose runs do the same each time, with the tools, the children and the states that they need."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NamedTuple

from hypothesis import strategies as st

from service.core.tool import Context, JsonObject

NODES = ("a", "b", "c", "d")


def add(state: JsonObject, metadata: JsonObject) -> JsonObject:
    return {"n": state.get("n", 0) + metadata.get("by", 1)}


def drop(state: JsonObject) -> None:
    state.pop("x", None)
    state["seen"] = [*state.get("seen", []), len(state)]


def boom(state: JsonObject, context: Context) -> JsonObject:
    """Fail at even numbers, and at the first attempt."""
    context.log("trying", attempt=context.attempt)
    if context.attempt == 1 or state.get("n", 0) % 2 == 0:
        raise ValueError(f"boom {state.get('n')}")
    return {"x": context.idempotency_key}


async def later(state: JsonObject) -> JsonObject:
    await asyncio.sleep(0)
    logging.getLogger("later").info("n is %s", state.get("n"))
    return {"x": state.get("n", 0)}


def wrong(state: JsonObject) -> Any:
    return {"x": {1, 2}} if state.get("n", 0) % 2 else [1]


TOOLS = (add, drop, boom, later, wrong)

CHILDREN: dict[str, JsonObject] = {
    "adds": {"name": "adds", "start_node": "a", "nodes": {"a": "add"}},
    "fails": {"name": "fails", "start_node": "a", "nodes": {"a": "boom"}},
    "loops": {
        "name": "loops",
        "start_node": "a",
        "max_steps": 50,
        "nodes": {"a": "add", "b": {"sleep": 0.001}},
        "edges": {"a": "b", "b": [{"to": "a", "condition": {"key": "n", "op": "<", "value": 3}}]},
    },
    "parent": {"name": "parent", "start_node": "a", "nodes": {"a": {"graph": "adds", "into": "inner"}}},
}


class Case(NamedTuple):
    graph: JsonObject
    state: JsonObject
    signals: list[tuple[str, Any]]


_conditions = st.builds(
    lambda key, op, value: {"key": key, "op": op, "value": value},
    st.sampled_from(["n", "n", "n", "x", "seen.0"]),
    st.sampled_from(["<", ">", "==", "!="]),
    st.integers(0, 4),
)
_targets = st.sampled_from([*NODES, *NODES, None])
_retries = st.fixed_dictionaries(
    {"max_attempts": st.integers(1, 3), "backoff_s": st.sampled_from([0, 0.002])},
    optional={"on": st.just(["tool_error"])},
)


def _node(required: dict[str, Any], **optional: Any) -> st.SearchStrategy[JsonObject]:
    return st.fixed_dictionaries(required, optional={"retry": _retries, "max_visits": st.integers(1, 3), **optional})


_inputs = st.lists(st.sampled_from(["n", "n", "x"]), max_size=2, unique=True)
_children = st.sampled_from(["adds", "loops", "parent"])
_nodes = st.one_of(
    st.sampled_from([tool.__name__ for tool in TOOLS]),
    _node({"tool": st.sampled_from([tool.__name__ for tool in TOOLS])}),
    _node({"tool": st.just("add"), "metadata": st.just({"by": 2})}),
    _node({"sleep": st.sampled_from([0, 0.002, {"until": "at"}, {"until": "n"}, {"until": "x"}])}),
    _node({"signal": st.sampled_from(["s", "t"])}, into=st.just("n"), timeout_s=st.just(0.002)),
    _node({"graph": st.sampled_from([*CHILDREN]), "into": st.sampled_from(["x", "child"])}, input=_inputs),
    _node({"graph": _children, "into": st.just("x"), "for_each": st.sampled_from(["items", "n"])}, input=_inputs),
    _node(
        {
            "graph": st.just("fails"),
            "into": st.just("x"),
            "for_each": st.just("items"),
            # One after the other: which of several would fail first is not determined.
            "max_parallel": st.just(1),
        },
        input=_inputs,
    ),
    _node({"graphs": st.dictionaries(st.sampled_from("xyz"), _children, min_size=1), "into": st.just("x")}),
)


@st.composite
def _edges(draw: st.DrawFn) -> list[JsonObject]:
    edges: list[JsonObject] = [
        {"to": draw(_targets), "condition": draw(_conditions)} for _ in range(draw(st.integers(0, 2)))
    ]
    if draw(st.booleans()):
        edges.append({"to": draw(_targets)})
    if draw(st.booleans()):
        condition = {"condition": draw(_conditions)} if draw(st.booleans()) else {}
        edges.insert(draw(st.integers(0, len(edges))), {"to": draw(_targets), "on_error": True, **condition})
    return edges


@st.composite
def cases(draw: st.DrawFn) -> Case:
    graph: dict[str, Any] = {
        "name": "case",
        "start_node": "a",
        "max_steps": draw(st.integers(1, 10)),
        "nodes": {name: draw(_nodes) for name in NODES},
        "edges": {name: draw(_edges()) for name in NODES},
    }
    state = draw(
        st.fixed_dictionaries(
            {"at": st.just("2020-01-01T00:00:00Z")},
            optional={"n": st.integers(0, 3), "items": st.lists(st.integers(0, 9), max_size=3), "x": st.just(1)},
        )
    )
    names = sorted({node["signal"] for node in graph["nodes"].values() if isinstance(node, dict) and "signal" in node})
    signals = draw(st.lists(st.tuples(st.sampled_from(names), st.integers(0, 3)), max_size=3)) if names else []
    return Case(graph, state, signals)
