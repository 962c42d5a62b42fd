"""Strategies of Hypothesis for JSON values and states, whole graph documents, and any text that JSON can hold."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from service.core.graph import ERROR_TYPES, SECONDS_MAX, Op

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


_error_types = st.lists(st.sampled_from(ERROR_TYPES), min_size=1, max_size=3)
_state_keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
_counts = st.integers(1, 2**63 - 1)
_seconds = st.integers(0, SECONDS_MAX) | st.floats(0, SECONDS_MAX)


def _with(required: dict[str, Any], **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


_retries = _with(
    {},
    max_attempts=_counts,
    backoff_s=_seconds,
    backoff_rate=st.integers(1, 1000) | st.floats(1, 1000),
    max_backoff_s=_seconds,
    on=_error_types,
)
_options: dict[str, Any] = {
    "retry": _retries,
    "timeout_s": st.integers(1, SECONDS_MAX) | st.floats(0, SECONDS_MAX, exclude_min=True),
    "max_visits": _counts,
}
_amounts = st.integers(1, 100) | st.floats(0, 100, exclude_min=True)
_on = st.just("cluster") | st.dictionaries(_state_keys, _amounts, max_size=2).map(
    lambda resources: {"cluster": {"resources": resources}}
)
_tools = st.sampled_from(TOOLS)
nodes: st.SearchStrategy[Any] = (
    _tools
    | _with({"tool": _tools}, metadata=states, isolate=st.booleans(), pure=st.just(False), **_options)
    | _with({"tool": _tools}, metadata=states, on=_on, **_options)
    | _with({"sleep": _seconds | _with({"until": _paths})}, **_options)
    | _with({"signal": _state_keys}, into=_state_keys, **_options)
    | _with(
        {"graph": _state_keys, "into": _state_keys},
        for_each=_paths,
        input=st.lists(_state_keys, max_size=3),
        max_parallel=_counts,
        **_options,
    )
)
nodes = nodes | _with(
    {"graphs": st.dictionaries(_state_keys, _state_keys, min_size=1, max_size=3), "into": _state_keys},
    input=st.lists(_state_keys, max_size=3),
    max_parallel=_counts,
    **_options,
)
_error_edges = _with({"to": _targets, "on_error": st.just(True) | _error_types}, into=_state_keys, condition=conditions)


@st.composite
def edge_lists(draw: st.DrawFn) -> list[Any]:
    """Ordinary edges, the last of which may be unconditional, and error edges anywhere among them."""
    made: list[Any] = [{"to": draw(_targets), "condition": draw(conditions)} for _ in range(draw(st.integers(0, 3)))]
    if draw(st.booleans()):
        made.append(draw(st.sampled_from(NODES) | st.builds(lambda to: {"to": to}, _targets)))
    for edge in draw(st.lists(_error_edges, max_size=2)):
        made.insert(draw(st.integers(0, len(made))), edge)
    return made


@st.composite
def graph_documents(draw: st.DrawFn) -> dict[str, Any]:
    """A document that defines a graph, in any mixture of kinds, long forms and shorthands."""
    optional = {
        "name": draw(texts),
        "$schema": draw(texts),
        "max_steps": draw(_counts),
        "edges": draw(st.dictionaries(st.sampled_from(NODES), edge_lists(), max_size=4)),
    }
    kept = draw(st.sets(st.sampled_from(sorted(optional))))
    made = {name: draw(nodes) for name in NODES}
    return {"start_node": NODES[0], "nodes": made, **{name: optional[name] for name in sorted(kept)}}
