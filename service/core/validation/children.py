"""The graphs that a posted document names as children, by id or by name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from service.core.errors import Fault
from service.core.syntax.pointer import pointer
from service.core.validation.faults import FAULTS_MAX, Place
from service.core.validation.spelling import closest

HINTS_MAX = 10
"""The most missing graphs that get a suggestion. Each suggestion takes up to COMPARED_MAX comparisons of names."""


class ChildGraph(NamedTuple):
    """A place in a document that names a graph."""

    at: Place
    graph: str
    """An id or a name."""


def child_graphs(document: Any) -> list[ChildGraph]:
    """Return the places that name a graph. Values that are not names are skipped, since `read_graph` reports them."""
    return [found for found in _places(document) if isinstance(found.graph, str) and found.graph]


def pin(document: Any, ids: Mapping[str, str]) -> Any:
    """Return `document` with each name of a graph in `ids` replaced by the graph's id, without changing `document`."""
    places = [found for found in child_graphs(document) if ids.get(found.graph, found.graph) != found.graph]
    if not places:
        return document
    nodes = dict(document["nodes"])
    for (_, name, field, *branch), graph in places:
        value = ids[graph]
        nodes[name] = {**nodes[name], field: {**nodes[name][field], branch[0]: value} if branch else value}
    return {**document, "nodes": nodes}


def missing_graphs(document: Any, ids: Mapping[str, str], names: Collection[str] = ()) -> list[Fault]:
    """Return a fault for each graph that `document` names and that is not in `ids`.

    The first HINTS_MAX faults suggest the name in `names` that is most similar. At most FAULTS_MAX faults are returned.
    """
    missing = [found for found in child_graphs(document) if found.graph not in ids]
    return [
        Fault(pointer(*at), f"no graph {graph!r:.200}{closest(graph, names) if number < HINTS_MAX else ''}")
        for number, (at, graph) in enumerate(missing[:FAULTS_MAX])
    ]


def _places(document: Any) -> Iterator[ChildGraph]:
    nodes = document.get("nodes") if isinstance(document, dict) else None
    for name, node in nodes.items() if isinstance(nodes, dict) else ():
        if not isinstance(node, dict):
            continue
        if "graph" in node:
            yield ChildGraph(("nodes", name, "graph"), node["graph"])
        branches = node.get("graphs")
        for branch, graph in branches.items() if isinstance(branches, dict) else ():
            yield ChildGraph(("nodes", name, "graphs", branch), graph)
