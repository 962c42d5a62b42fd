"""Read and validate nodes: their kind, the fields of that kind, and the options of all kinds."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from service.core.graph import (
    AMOUNT_MAX,
    ERROR_TYPES,
    SECONDS_MAX,
    Demands,
    GraphNode,
    Node,
    On,
    Options,
    Retry,
    SignalNode,
    SleepNode,
    ToolNode,
    Until,
)
from service.core.queueing.limits import LIMIT_NAME_CHARS_MAX
from service.core.tool import Tools, is_without_cluster
from service.core.validation.faults import Faults, Place

_KINDS: dict[str, type[Options]] = {
    "tool": ToolNode,
    "sleep": SleepNode,
    "signal": SignalNode,
    "graph": GraphNode,
    "graphs": GraphNode,
}
_STAND_IN = ToolNode(tool="")


def read_node(node: Any, at: Place, tools: Collection[str], faults: Faults) -> Node:
    """Read the node at the place `at` and add its faults to `faults`."""
    if isinstance(node, str):
        return ToolNode(tool=_tool(node, at, tools, faults))
    kinds = [kind for kind in _KINDS if isinstance(node, dict) and kind in node]
    fields = [field for kind in kinds or _KINDS for field in _KINDS[kind].model_fields]
    if kinds == ["graphs"]:
        fields = [field for field in fields if field not in ("graph", "for_each")]
    if not faults.is_object(
        node, at, f"a {kinds[0]} node" if len(kinds) == 1 else "a node", fields, "a tool's name or "
    ):
        return _STAND_IN
    if len(kinds) != 1:
        what = f"one kind, not {' and '.join(f'`{kind}`' for kind in kinds)}" if kinds else "a kind"
        faults.add(at, f"a node must have {what}: `tool`, `sleep`, `signal` or `graph`")
        return _STAND_IN
    options = _options(node, at, faults)
    match kinds[0]:
        case "tool":
            return _tool_node(node, at, tools, options, faults)
        case "sleep":
            return SleepNode(sleep=_sleep(node["sleep"], (*at, "sleep"), faults), **options)
        case "signal":
            name = faults.text(node["signal"], (*at, "signal"), "a signal's name")
            into = faults.text(node["into"], (*at, "into"), "a key of the state") if "into" in node else name
            return SignalNode(signal=name, into=into, **options)
        case _:
            return _graph_node(node, at, options, faults)


def _tool_node(
    node: dict[str, Any], at: Place, tools: Collection[str], options: dict[str, Any], faults: Faults
) -> ToolNode:
    metadata = node.get("metadata", {})
    if not isinstance(metadata, dict):
        faults.add((*at, "metadata"), "`metadata` must be an object")
        metadata = {}
    faults.fits(metadata, (*at, "metadata"))
    isolate = node.get("isolate", False)
    if not isinstance(isolate, bool):
        faults.add((*at, "isolate"), "`isolate` must be true or false")
        isolate = False
    if (pure := node.get("pure", False)) is not False:
        why = ": a node cannot declare its tool pure, only `@tool(pure=True)` can" if pure is True else ""
        faults.add((*at, "pure"), f"`pure` must be false or left out{why}")
    limit = _limit(node["limit"], (*at, "limit"), faults) if "limit" in node else None
    on = _on(node["on"], (*at, "on"), tools, faults) if "on" in node else None
    if on is not None and isolate:
        faults.add((*at, "isolate"), "`isolate` does not go with `on`: a worker calls each tool in a separate process")
    tool = _tool(node["tool"], (*at, "tool"), tools, faults)
    may_be_pure = "pure" not in node
    return ToolNode(tool=tool, metadata=metadata, isolate=isolate, pure=may_be_pure, limit=limit, on=on, **options)


def _on(on: Any, at: Place, tools: Collection[str], faults: Faults) -> On:
    """Read the field `on`, which says where a tool is called."""
    if is_without_cluster(tools):
        faults.add(at, "this server has no cluster: set RUNGRAPH_CLUSTER to the address of one, or to `local`")
    demands: Any = {}
    if isinstance(on, dict) and faults.is_object(on, at, "`on`", tuple(On.model_fields)):
        if "cluster" not in on:
            faults.add(at, '`on` must be "cluster" or {"cluster": {"resources": {NAME: NUMBER}}}')
        demands = on.get("cluster", {})
    elif on != "cluster" and not isinstance(on, dict):
        faults.add(at, '`on` must be "cluster" or {"cluster": {"resources": {NAME: NUMBER}}}')
    at = (*at, "cluster")
    if not faults.is_object(demands, at, "`cluster`", tuple(Demands.model_fields)):
        return On(cluster=Demands())
    return On(cluster=Demands(resources=_resources(demands.get("resources", {}), (*at, "resources"), faults)))


def _resources(resources: Any, at: Place, faults: Faults) -> dict[str, int | float]:
    if not isinstance(resources, dict):
        faults.add(at, "`resources` must be an object: amounts by the names of resources")
        return {}
    given: dict[str, int | float] = {}
    for name, amount in resources.items():
        faults.text(name, (*at, name), "a resource's name")
        if type(amount) not in (int, float) or not 0 < amount <= AMOUNT_MAX:
            faults.add((*at, name), f"it must be a number above 0 up to {AMOUNT_MAX}")
        else:
            given[name] = amount
    return given


def _limit(value: Any, at: Place, faults: Faults) -> str:
    name = faults.text(value, at, "a limit's name")
    if len(name) > LIMIT_NAME_CHARS_MAX:
        faults.add(at, f"a limit's name must have at most {LIMIT_NAME_CHARS_MAX} characters")
    return name


def _tool(name: Any, at: Place, tools: Collection[str], faults: Faults) -> str:
    if not isinstance(name, str):
        faults.add(at, "a tool's name must be a string")
        return ""
    if name not in tools:
        hint = faults.closest(name, tools) or (tools.why_missing(name) if isinstance(tools, Tools) else "")
        faults.add(at, f"no tool {name!r:.200} is registered{hint}")
    return name


def _sleep(sleep: Any, at: Place, faults: Faults) -> int | float | Until:
    if not isinstance(sleep, dict):
        if type(sleep) not in (int, float):
            faults.add(at, f'`sleep` must be a number of seconds from 0 to {SECONDS_MAX}, or {{"until": PATH}}')
            return 0
        return faults.seconds(sleep, at, most=SECONDS_MAX)
    faults.is_object(sleep, at, "a sleep", ("until",))
    if "until" not in sleep:
        faults.add(at, "`until` is required: the path of a moment in the state")
    return Until(until=faults.path(sleep.get("until", "path"), (*at, "until")))


def _graph_node(node: dict[str, Any], at: Place, options: dict[str, Any], faults: Faults) -> GraphNode:
    if "into" not in node:
        faults.add(at, "`into` is required: the key of the state for the result")
    given: dict[str, Any] = {}
    if "for_each" in node:
        given["for_each"] = faults.path(node["for_each"], (*at, "for_each"))
    if "max_parallel" in node:
        given["max_parallel"] = faults.integer(node["max_parallel"], (*at, "max_parallel"))
    if "input" in node:
        given["input"] = _keys(node["input"], (*at, "input"), faults)
    if "graphs" in node:
        given["graphs"] = _branches(node["graphs"], (*at, "graphs"), faults)
    else:
        given["graph"] = faults.text(node["graph"], (*at, "graph"), "a graph's id")
    return GraphNode(
        into=faults.text(node.get("into", "into"), (*at, "into"), "a key of the state"),
        **given,
        **options,
    )


def _branches(graphs: Any, at: Place, faults: Faults) -> dict[str, str]:
    if not isinstance(graphs, dict) or not graphs:
        faults.add(at, "`graphs` must be an object of at least one graph: the branches by name")
        return {}
    for name in graphs:
        faults.text(name, (*at, name), "a branch's name")
    return {name: faults.text(graph, (*at, name), "a graph's id") for name, graph in graphs.items()}


def _keys(keys: Any, at: Place, faults: Faults) -> tuple[str, ...]:
    if not isinstance(keys, list):
        faults.add(at, "`input` must be a list of keys of the state")
        return ()
    return tuple(faults.text(key, (*at, index), "a key of the state") for index, key in enumerate(keys))


def _options(node: dict[str, Any], at: Place, faults: Faults) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if "timeout_s" in node:
        options["timeout_s"] = faults.seconds(node["timeout_s"], (*at, "timeout_s"), most=SECONDS_MAX, above=True)
    if "max_visits" in node:
        options["max_visits"] = faults.integer(node["max_visits"], (*at, "max_visits"))
    if "retry" in node:
        options["retry"] = _retry(node["retry"], (*at, "retry"), faults)
    return options


def _retry(retry: Any, at: Place, faults: Faults) -> Retry:
    if not isinstance(retry, dict):
        faults.add(at, '`retry` must be an object such as {"max_attempts": 3}')
        return Retry()
    faults.is_object(retry, at, "`retry`", tuple(Retry.model_fields))
    given: dict[str, Any] = {}
    if "max_attempts" in retry:
        given["max_attempts"] = faults.integer(retry["max_attempts"], (*at, "max_attempts"))
    for name in ("backoff_s", "max_backoff_s"):
        if name in retry:
            given[name] = faults.seconds(retry[name], (*at, name), most=SECONDS_MAX)
    if "backoff_rate" in retry:
        given["backoff_rate"] = faults.seconds(retry["backoff_rate"], (*at, "backoff_rate"), least=1, most=1000)
    if "on" in retry:
        given["on"] = read_error_types(retry["on"], (*at, "on"), faults)
    return Retry(**given)


def read_error_types(types: Any, at: Place, faults: Faults, or_else: str = "") -> tuple[str, ...]:
    """Read a list of error types and add its faults to `faults`.

    `or_else` names what is allowed instead of the list, for the message of a fault.
    """
    if not isinstance(types, list) or not types:
        faults.add(at, f'it must be {or_else}a list of at least one type of error, such as ["tool_error"]')
        return ()
    for index, name in enumerate(types):
        if not isinstance(name, str):
            faults.add((*at, index), "a type of error must be a string")
        elif name not in ERROR_TYPES:
            faults.add((*at, index), f"no type of error {name!r:.200}{faults.closest(name, ERROR_TYPES)}")
    return tuple(name for name in types if isinstance(name, str))
