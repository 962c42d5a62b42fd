"""What Hypothesis draws here: JSON values and states, whole graph documents, any text that JSON can hold."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from service.core.graph import Op

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
integers = st.integers() | st.integers(-(2**80), 2**80)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | integers | floats | texts
keys = texts | st.sampled_from(["a", "b", "0", "a/b", "m~n", "", "é", "\n", '"', "\\", "\x1f", "😀"])


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)


json_values: st.SearchStrategy[Any] = st.recursive(scalars, _nested, max_leaves=12)
states = st.dictionaries(keys, json_values, max_size=5)

TOOLS = ("add", "detect", "profile")
NODES = ("a", "b/c", "d~e", "0")

_paths = st.sampled_from(["n", "a.b", "/a~1b/0", "/", "x.0.y"])
_literals = {
    Op.IN: st.lists(json_values, max_size=3),
    Op.NOT_IN: st.lists(json_values, max_size=3),
    Op.EXISTS: st.booleans(),
    Op.IS_TYPE: st.sampled_from(["null", "boolean", "number", "string", "array", "object"]),
}


@st.composite
def comparisons(draw: st.DrawFn) -> dict[str, Any]:
    op = draw(st.sampled_from(Op))
    made: dict[str, Any] = {"key": draw(_paths), "op": op.value}
    if op not in (Op.EXISTS, Op.IS_TYPE) and draw(st.booleans()):
        return {**made, "value_from": draw(_paths)}
    return {**made, "value": draw(_literals.get(op, json_values))}


def _combined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    return (
        st.builds(lambda parts: {"all": parts}, some)
        | st.builds(lambda parts: {"any": parts}, some)
        | st.builds(lambda part: {"not": part}, inner)
    )


conditions: st.SearchStrategy[Any] = st.recursive(comparisons(), _combined, max_leaves=4)
_targets = st.none() | st.sampled_from(NODES)


@st.composite
def edge_lists(draw: st.DrawFn) -> list[Any]:
    made: list[Any] = [{"to": draw(_targets), "condition": draw(conditions)} for _ in range(draw(st.integers(0, 3)))]
    if draw(st.booleans()):
        made.append(draw(st.sampled_from(NODES) | st.builds(lambda to: {"to": to}, _targets)))
    return made


@st.composite
def graph_documents(draw: st.DrawFn) -> dict[str, Any]:
    """A document that defines a graph, in any mixture of long forms and shorthands."""
    tools = st.sampled_from(TOOLS)
    nodes = {
        name: draw(tools | st.builds(lambda tool, metadata: {"tool": tool, "metadata": metadata}, tools, states))
        for name in NODES
    }
    optional = {
        "name": draw(texts),
        "max_steps": draw(st.integers(1, 2**63 - 1)),
        "edges": draw(st.dictionaries(st.sampled_from(NODES), edge_lists(), max_size=4)),
    }
    kept = draw(st.sets(st.sampled_from(sorted(optional))))
    return {"start_node": NODES[0], "nodes": nodes, **{name: optional[name] for name in sorted(kept)}}
