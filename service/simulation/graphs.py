"""Graphs by id and by name, as if they had been posted one after the other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from service.core.errors import Invalid
from service.core.graph import Graph
from service.core.validation import child_graphs, missing_graphs, pin, read_graph

Graphs = Mapping[str, Mapping[str, Any]] | Iterable[Mapping[str, Any]]
"""Definitions, in the order in which they are posted. In a mapping, each key is a further name of its graph."""


class PostedGraphs:
    """The graphs that a simulation knows."""

    def __init__(self, tools: Collection[str]) -> None:
        self._tools = tools
        self._by_id: dict[str, Graph] = {}
        self._ids: dict[str, str] = {}
        """The id of the latest graph of each name."""

    def post(self, document: Any, alias: str | None = None) -> Graph:
        """Add a graph and return it with its child graphs named by their ids. `alias` is a further name of the graph.

        Raise Invalid if the definition has faults.
        """
        named = {found.graph for found in child_graphs(document)}
        ids = {name: name if name in self._by_id else self._ids[name] for name in named if self._knows(name)}
        if missing := missing_graphs(document, ids, self._ids):
            raise Invalid(missing)
        graph = read_graph(pin(document, ids), self._tools)
        self._by_id[graph.id] = graph
        self._ids |= {name: graph.id for name in (graph.name, alias) if name}
        return graph

    def post_all(self, graphs: Graphs) -> None:
        aliased = graphs.items() if isinstance(graphs, Mapping) else ((None, graph) for graph in graphs)
        for alias, document in aliased:
            self.post(document, alias)

    @property
    def nodes(self) -> set[str]:
        """The names of the nodes of all graphs."""
        return {name for graph in self._by_id.values() for name in graph.nodes}

    def get(self, graph_id: str) -> Graph:
        return self._by_id[graph_id]

    def _knows(self, name: str) -> bool:
        return name in self._by_id or name in self._ids
