"""Read and validate a posted graph.

Each fault has the JSON Pointer of its place in the document as it was sent, and a misspelt name gets a suggestion.
A part with a fault is replaced by a stand-in so that reading goes on; the graph is then discarded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from service.core.errors import Invalid
from service.core.graph import ERROR_INTO_DEFAULT, MAX_STEPS_DEFAULT, NODE_NAME_CHARS_MAX, Edge, Graph, Node
from service.core.validation.conditions import STAND_IN, read_condition
from service.core.validation.faults import Faults, Place
from service.core.validation.nodes import read_error_types, read_node

SCHEMA = "$schema"
"""A field for editors, which check the document against the schema that the field names. The graph does not keep it."""

_ENDS = ("", "end", "stop", "exit", "finish", "done", "null", "none")
"""Names that other systems use for the end of a run."""
_END = 'to end the run, write {"to": null}'


def read_graph(document: Any, tools: Collection[str]) -> Graph:
    """Return the graph that `document` defines; `tools` are the known tool names. Raise Invalid with all faults."""
    faults = Faults()
    graph = _graph(document, tools, faults)
    if graph is None:
        raise Invalid(faults.found)
    return graph


def _graph(document: Any, tools: Collection[str], faults: Faults) -> Graph | None:
    if not faults.is_object(document, (), "a graph", (*Graph.model_fields, SCHEMA)):
        return None
    if not isinstance(document.get(SCHEMA, ""), str):
        faults.add((SCHEMA,), f"`{SCHEMA}` must be a string: where the schema of graphs is")
    nodes = _nodes(document, tools, faults)
    start = _start(document, nodes, faults)
    edges = _edges(document.get("edges", {}), nodes, faults)
    name = document.get("name", "")
    if not isinstance(name, str):
        faults.add(("name",), "a name must be a string")
    max_steps = faults.integer(document.get("max_steps", MAX_STEPS_DEFAULT), ("max_steps",))
    if faults.found:
        return None
    return Graph(name=name, start_node=start, max_steps=max_steps, nodes=nodes or {}, edges=edges)


def _start(document: dict[str, Any], nodes: Mapping[str, Any] | None, faults: Faults) -> str:
    if "start_node" not in document:
        faults.add((), "`start_node` is required")
        return ""
    return _node_name(document["start_node"], ("start_node",), nodes, faults) or ""


def _nodes(document: dict[str, Any], tools: Collection[str], faults: Faults) -> dict[str, Node] | None:
    """Return the nodes by name. None means that the document has no valid `nodes` to check names against."""
    if "nodes" not in document:
        faults.add((), "`nodes` is required")
        return None
    nodes = document["nodes"]
    if not isinstance(nodes, dict):
        faults.add(("nodes",), "`nodes` must be an object: the nodes by name")
        return None
    if not nodes:
        faults.add(("nodes",), "a graph must have at least one node")
    made = {}
    for name, node in nodes.items():
        at = ("nodes", name)
        if not name:
            faults.add(at, "a node's name must not be empty")
        if len(name) > NODE_NAME_CHARS_MAX:
            faults.add(at, f"a node's name must have at most {NODE_NAME_CHARS_MAX} characters")
        made[name] = read_node(node, at, tools, faults)
    return made


def _edges(edges: Any, nodes: Mapping[str, Any] | None, faults: Faults) -> dict[str, tuple[Edge, ...]]:
    if not isinstance(edges, dict):
        faults.add(("edges",), "`edges` must be an object: the edges by the name of the node that they leave")
        return {}
    made = {}
    for source, ways in edges.items():
        at: Place = ("edges", source)
        _node_name(source, at, nodes, faults)
        if isinstance(ways, list):
            read = [_edge(edge, (*at, index), nodes, faults) for index, edge in enumerate(ways)]
            _check_order(read, at, faults)
        else:
            read = [_edge(ways, at, nodes, faults)]
        if read:
            made[source] = tuple(read)
    return made


def _check_order(edges: list[Edge], at: Place, faults: Faults) -> None:
    ordinary = [(index, edge) for index, edge in enumerate(edges) if edge.on_error is None]
    for index, edge in ordinary[:-1]:
        if edge.condition is None:
            faults.add((*at, index), "an edge without a condition is always true: it must be the last one")


def _edge(edge: Any, at: Place, nodes: Mapping[str, Any] | None, faults: Faults) -> Edge:
    if isinstance(edge, str):
        return Edge(to=_target(edge, at, nodes, faults))
    if edge is None:
        faults.add(at, f"an edge must be a target's name or an object; {_END}")
        return Edge(to=None, condition=STAND_IN)
    if not faults.is_object(edge, at, "an edge", tuple(Edge.model_fields), "a target's name or "):
        return Edge(to=None, condition=STAND_IN)
    if "to" not in edge:
        faults.add(at, "`to` is required: a node's name, or null to end the run")
    to = edge.get("to")
    if to is not None:
        to = _target(to, (*at, "to"), nodes, faults)
    condition = read_condition(edge["condition"], (*at, "condition"), faults) if "condition" in edge else None
    if "on_error" not in edge:
        if "into" in edge:
            faults.add((*at, "into"), "`into` goes with `on_error`: it is the key for the error's record")
        return Edge(to=to, condition=condition)
    into = faults.text(edge.get("into", ERROR_INTO_DEFAULT), (*at, "into"), "a key of the state")
    on_error = edge["on_error"]
    types = True if on_error is True else read_error_types(on_error, (*at, "on_error"), faults, "true or ")
    return Edge(to=to, condition=condition, on_error=types, into=into)


def _target(name: Any, at: Place, nodes: Mapping[str, Any] | None, faults: Faults) -> str | None:
    if isinstance(name, str) and nodes is not None and name not in nodes and name.strip("_ ").lower() in _ENDS:
        faults.add(at, f"no node {name!r:.200}{faults.closest(name, nodes) or f'; {_END}'}")
        return name
    return _node_name(name, at, nodes, faults)


def _node_name(name: Any, at: Place, nodes: Mapping[str, Any] | None, faults: Faults) -> str | None:
    if not isinstance(name, str):
        faults.add(at, "a node's name must be a string")
        return None
    if nodes is not None and name not in nodes:
        faults.add(at, f"no node {name!r:.200}{faults.closest(name, nodes)}")
    return name
