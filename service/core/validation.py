"""From a posted document to a Graph, or to everything that is wrong with it at once.

Each fault carries the JSON Pointer of its place in the document as it was sent, shorthands and all; a
name that is nearly right comes with the closest match.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from service.core import codec, path
from service.core.codec import pointer
from service.core.conditions import JSON_TYPES
from service.core.errors import Fault, Invalid
from service.core.graph import (
    CONDITION_DEPTH_MAX,
    MAX_STEPS_DEFAULT,
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    Edge,
    Graph,
    Node,
    Not,
    Op,
)

FAULTS_MAX = 1000
FAULTS_LENGTH_MAX = 2**20
"""Characters of all faults together: one long name may stand in every pointer."""
_COMPARISONS_MAX = 2000
"""Names that misspelt ones are compared with, in all: each costs up to a quarter of a millisecond."""
_NUMBER_MAX = 2**63 - 1

# Contract, section 5: refused until the engine can do it.
_NODE_KINDS_LATER = ("sleep", "signal", "graph")
_NODE_OPTIONS_LATER = (
    *("retry", "timeout_s", "max_visits", "isolate"),
    *("into", "for_each", "input", "max_parallel"),
)
_EDGE_OPTIONS_LATER = ("on_error", "into")

_Place = tuple[str | int, ...]
"""Where in the document: a pointer's segments. Most are never written out, and one may hold a long name."""


def read_graph(document: Any, tools: Collection[str]) -> Graph:
    """The graph that `document` defines, its tools being among `tools`; Invalid with all its faults."""
    return _Reader(tools).read(document)


class _Reader:
    """One pass over a document. Goes on after a fault, with a stand-in that is thrown away at the end."""

    def __init__(self, tools: Collection[str]) -> None:
        self._tools = tools
        self._faults: list[Fault] = []
        self._faults_length = 0
        self._comparisons = 0

    def read(self, document: Any) -> Graph:
        graph = self._graph(document)
        if self._faults or graph is None:
            raise Invalid(self._faults)
        return graph

    def _graph(self, document: Any) -> Graph | None:
        if not self._is_object(document, (), "a graph", tuple(Graph.model_fields)):
            return None
        nodes = self._nodes(document)
        start = self._start(document, nodes)
        edges = self._edges(document.get("edges", {}), nodes)
        name = document.get("name", "")
        if not isinstance(name, str):
            self._fault(("name",), "a name is a string")
        max_steps = document.get("max_steps", MAX_STEPS_DEFAULT)
        if type(max_steps) is not int or not 1 <= max_steps <= _NUMBER_MAX:
            self._fault(("max_steps",), f"an integer from 1 to {_NUMBER_MAX}")
        if self._faults:
            return None
        return Graph(name=name, start_node=start, max_steps=max_steps, nodes=nodes or {}, edges=edges)

    def _start(self, document: dict[str, Any], nodes: Mapping[str, Any] | None) -> str:
        if "start_node" not in document:
            self._fault((), "`start_node` is required")
            return ""
        return self._node_name(document["start_node"], ("start_node",), nodes) or ""

    def _nodes(self, document: dict[str, Any]) -> dict[str, Node] | None:
        """The nodes by name; None where the document has none at all, so that no name can be looked up."""
        if "nodes" not in document:
            self._fault((), "`nodes` is required")
            return None
        nodes = document["nodes"]
        if not isinstance(nodes, dict):
            self._fault(("nodes",), "an object: the nodes by name")
            return None
        if not nodes:
            self._fault(("nodes",), "a graph has at least one node")
        made = {}
        for name, node in nodes.items():
            at = ("nodes", name)
            if not name:
                self._fault(at, "a node's name is not empty")
            made[name] = self._node(node, at)
        return made

    def _node(self, node: Any, at: _Place) -> Node:
        if isinstance(node, str):
            self._tool(node, at)
            return Node(tool=node)
        later = (*_NODE_KINDS_LATER, *_NODE_OPTIONS_LATER)
        if not self._is_object(node, at, "a node", tuple(Node.model_fields), later):
            return Node(tool="")
        metadata = node.get("metadata", {})
        if not isinstance(metadata, dict):
            self._fault((*at, "metadata"), "metadata is an object")
            metadata = {}
        self._fits(metadata, (*at, "metadata"))
        if "tool" in node:
            tool = self._tool(node["tool"], (*at, "tool"))
        else:
            tool = ""
            if not any(kind in node for kind in _NODE_KINDS_LATER):
                self._fault(at, "a node has a kind: `tool`")
        return Node(tool=tool, metadata=metadata)

    def _tool(self, name: Any, at: _Place) -> str:
        if not isinstance(name, str):
            self._fault(at, "a tool's name is a string")
            return ""
        if name not in self._tools:
            self._fault(at, f"no tool {name!r:.200} is registered{self._closest(name, self._tools)}")
        return name

    def _edges(self, edges: Any, nodes: Mapping[str, Any] | None) -> dict[str, tuple[Edge, ...]]:
        if not isinstance(edges, dict):
            self._fault(("edges",), "an object: the edges by the name of the node that they leave")
            return {}
        made = {}
        for source, ways in edges.items():
            at = ("edges", source)
            self._node_name(source, at, nodes)
            if isinstance(ways, list):
                read = [self._edge(edge, (*at, index), nodes) for index, edge in enumerate(ways)]
                self._check_order(read, at)
            else:
                read = [self._edge(ways, at, nodes)]
            if read:
                made[source] = tuple(read)
        return made

    def _check_order(self, edges: list[Edge], at: _Place) -> None:
        for index, edge in enumerate(edges[:-1]):
            if edge.condition is None:
                self._fault((*at, index), "an edge without a condition is always true: it must be the last one")

    def _edge(self, edge: Any, at: _Place, nodes: Mapping[str, Any] | None) -> Edge:
        if isinstance(edge, str):
            return Edge(to=self._node_name(edge, at, nodes))
        if not self._is_object(
            edge, at, "an edge", tuple(Edge.model_fields), _EDGE_OPTIONS_LATER, "a target's name or "
        ):
            return Edge(to=None, condition=_STAND_IN)
        if "to" not in edge:
            self._fault(at, "`to` is required: a node's name, or null to end the run")
        to = edge.get("to")
        if to is not None:
            to = self._node_name(to, (*at, "to"), nodes)
        condition = self._condition(edge["condition"], (*at, "condition")) if "condition" in edge else None
        return Edge(to=to, condition=condition)

    def _node_name(self, name: Any, at: _Place, nodes: Mapping[str, Any] | None) -> str | None:
        if not isinstance(name, str):
            self._fault(at, "a node's name is a string")
            return None
        if nodes is not None and name not in nodes:
            self._fault(at, f"no node {name!r:.200}{self._closest(name, nodes)}")
        return name

    def _condition(self, condition: Any, at: _Place, depth: int = 1) -> Condition:
        if depth > CONDITION_DEPTH_MAX:
            self._fault(at, f"conditions nest at most {CONDITION_DEPTH_MAX} deep")
            return _STAND_IN
        kind = next((key for key in ("all", "any", "not") if isinstance(condition, dict) and key in condition), None)
        if kind is None:
            return self._comparison(condition, at)
        self._is_object(condition, at, f"`{kind}`", (kind,))
        if kind == "not":
            return Not(part=self._condition(condition["not"], (*at, "not"), depth + 1))
        parts = self._parts(condition[kind], (*at, kind), depth + 1)
        return AllOf(parts=parts) if kind == "all" else AnyOf(parts=parts)

    def _parts(self, parts: Any, at: _Place, depth: int) -> tuple[Condition, ...]:
        if not isinstance(parts, list) or not parts:
            self._fault(at, "a list of at least one condition")
            return ()
        return tuple(self._condition(part, (*at, index), depth) for index, part in enumerate(parts))

    def _comparison(self, comparison: Any, at: _Place) -> Condition:
        if not self._is_object(comparison, at, "a condition", tuple(Comparison.model_fields)):
            return _STAND_IN
        self._path(comparison, "key", at)
        op = self._op(comparison, at)
        if op is None:
            return _STAND_IN
        literal_only = op in (Op.EXISTS, Op.IS_TYPE)
        if "value_from" in comparison:
            if literal_only:
                self._fault((*at, "value_from"), f"`{op}` takes a literal `value`")
            elif "value" in comparison:
                self._fault((*at, "value_from"), "either `value` or `value_from`, not both")
            self._path(comparison, "value_from", at)
        elif "value" not in comparison and op is not Op.EXISTS:
            self._fault(at, "`value` or `value_from` is required" if not literal_only else "`value` is required")
        value = comparison.get("value", True if op is Op.EXISTS else None)
        if "value" in comparison:
            self._literal(op, value, (*at, "value"))
        if self._faults:
            return _STAND_IN
        return Comparison(key=comparison["key"], op=op, value=value, value_from=comparison.get("value_from"))

    def _path(self, comparison: dict[str, Any], field: str, at: _Place) -> None:
        if field not in comparison:
            self._fault(at, f"`{field}` is required")
        elif not isinstance(comparison[field], str):
            self._fault((*at, field), "a path is a string")
        elif wrong := path.fault_in(comparison[field]):
            self._fault((*at, field), wrong)

    def _op(self, comparison: dict[str, Any], at: _Place) -> Op | None:
        if "op" not in comparison:
            self._fault(at, "`op` is required")
            return None
        op = comparison["op"]
        if not isinstance(op, str) or op not in _OPS:
            self._fault((*at, "op"), f"one of {' '.join(_OPS)}")
            return None
        return Op(op)

    def _literal(self, op: Op, value: Any, at: _Place) -> None:
        if op in (Op.IN, Op.NOT_IN) and not isinstance(value, list):
            self._fault(at, f"`{op}` looks into an array")
        elif op is Op.EXISTS and not isinstance(value, bool):
            self._fault(at, "`exists` takes true or false")
        elif op is Op.IS_TYPE and value not in JSON_TYPES:
            self._fault(at, f"one of {' '.join(JSON_TYPES)}")
        self._fits(value, at)

    def _fits(self, value: Any, at: _Place) -> None:
        """Refuse what no state could hold: it is compared with one, or handed to a tool."""
        try:
            codec.check(value)
        except codec.ValueUnfit as unfit:
            self._fault((*at, *unfit.path), unfit.message)

    def _is_object(
        self, value: Any, at: _Place, what: str, known: Collection[str], later: Collection[str] = (), or_else: str = ""
    ) -> bool:
        """Whether `value` is an object, its fields then checked against those `known` and those to come."""
        if not isinstance(value, dict):
            self._fault(at, f"{what} is {or_else}an object")
            return False
        for field in value:
            if field in later:
                self._fault((*at, field), f"`{field}` is not yet supported")
            elif field not in known:
                self._fault((*at, field), f"{what} has no field {field!r:.200}{self._closest(field, known)}")
        return True

    def _closest(self, name: str, names: Collection[str]) -> str:
        """The hint at a misspelling; bounded, since its cost grows with names × candidates."""
        if len(name) > 100 or self._comparisons + len(names) > _COMPARISONS_MAX:
            return ""
        self._comparisons += len(names)
        match = difflib.get_close_matches(name, list(names), n=1)
        return f"; did you mean {match[0]!r}?" if match else ""

    def _fault(self, at: _Place, message: str) -> None:
        if self._faults and (len(self._faults) >= FAULTS_MAX or self._faults_length >= FAULTS_LENGTH_MAX):
            return
        fault = Fault(pointer(*at), message)
        self._faults_length += len(fault.pointer) + len(message)
        self._faults.append(fault)


_OPS = [op.value for op in Op]
_STAND_IN = Comparison(key="stand-in", op=Op.EXISTS, value=True)
