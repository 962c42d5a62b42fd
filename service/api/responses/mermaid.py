"""Draw a graph as a Mermaid flowchart.

Names and conditions are data. So a label has an entity in place of each character that Mermaid could read as syntax.
"""

from __future__ import annotations

from typing import assert_never

from service.core.graph import Edge, Graph, GraphNode, Node, SignalNode, SleepNode, ToolNode, Until
from service.core.routing.wording import condition_text

LABEL_CHARS_MAX = 200
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _.,-")
_SHAPES = {ToolNode: ("[", "]"), SleepNode: ("([", "])"), SignalNode: ("{{", "}}"), GraphNode: ("[[", "]]")}
_END = "finish"


def flowchart(graph: Graph) -> str:
    """Return the text of a flowchart: a shape for each kind of node, and each edge with its condition in words."""
    ids = {name: f"n{number}" for number, name in enumerate(graph.nodes)}
    lines = ["flowchart TD", f"    begin(( )) --> {ids[graph.start_node]}"]
    for name, node in graph.nodes.items():
        opening, closing = _SHAPES[type(node)]
        lines.append(f'    {ids[name]}{opening}"{_label(f"{name}: {_kind(node)}")}"{closing}')
    if any(edge.to is None for edges in graph.edges.values() for edge in edges):
        lines.append(f"    {_END}((( )))")
    for name, edges in graph.edges.items():
        has_choice = len([edge for edge in edges if edge.on_error is None]) > 1
        for edge in edges:
            target = _END if edge.to is None else ids[edge.to]
            lines.append(f"    {ids[name]} {_arrow(edge, has_choice=has_choice)}{target}")
    return "\n".join(lines) + "\n"


def _arrow(edge: Edge, *, has_choice: bool) -> str:
    """Return the arrow of an edge, with its label if it has one.

    `has_choice` tells whether the edge's node has several edges without `on_error`.
    """
    texts = []
    if edge.on_error is not None:
        texts.append("on error" if edge.on_error is True else f"on {', '.join(edge.on_error)}")
    if edge.condition is not None:
        texts.append(condition_text(edge.condition))
    elif edge.on_error is None and has_choice:
        texts.append("otherwise")
    label = f'|"{_label(": ".join(texts))}"| ' if texts else ""
    return f"{'-->' if edge.on_error is None else '-.->'} {label}"


def _kind(node: Node) -> str:
    match node:
        case ToolNode():
            return node.tool
        case SleepNode():
            return f"sleep until {node.sleep.until}" if isinstance(node.sleep, Until) else f"sleep {node.sleep} s"
        case SignalNode():
            return f"signal {node.signal}"
        case GraphNode():
            which = f"graph {node.graph}" if node.graphs is None else f"graphs {', '.join(node.graphs)}"
            return which + ("" if node.for_each is None else f" for each of {node.for_each}")
        case never:
            assert_never(never)


def _label(text: str) -> str:
    """Return `text` as the content of a quoted label. An ellipsis replaces what exceeds LABEL_CHARS_MAX."""
    cut = text if len(text) <= LABEL_CHARS_MAX else f"{text[:LABEL_CHARS_MAX]}…"
    return "".join(character if character in _SAFE else f"#{ord(character)};" for character in cut)
