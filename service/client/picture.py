"""Draw a graph as SVG: its nodes in layers, its edges as curves, and the path of a run in colour."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, NamedTuple

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 150, 34, 30, 40, 24
NODES_MAX = 200
"""A graph with more nodes is not drawn."""
NAME_CHARS_MAX = 20

_VISITED, _UNVISITED, _HERE = "#d7ecd9", "#f4f4f4", "#ffe9b8"
_STYLE = 'font-family="sans-serif" font-size="12"'


class _Box(NamedTuple):
    x: int
    y: int


def picture_of(definition: Mapping[str, Any], path: Mapping[str, Any], current_node: str | None) -> str:
    """Return a graph as SVG, or an empty string if the graph has more than NODES_MAX nodes.

    `definition` is in canonical form. `path` is the answer to `GET /runs/{run_id}/path`. `current_node` is None if the
    run has no current node.
    """
    if len(definition["nodes"]) > NODES_MAX:
        return ""
    boxes = _boxes(definition)
    width = max(box.x for box in boxes.values()) + WIDTH + 2 * MARGIN
    height = max(box.y for box in boxes.values()) + HEIGHT + MARGIN
    taken = {(each["from"], each["to"]) for each in path["edges"]}
    edges = [
        _edge(boxes[source], boxes[target], (source, target) in taken)
        for source, target in _ways(definition)
        if target is not None
    ]
    nodes = [_node(name, box, path["nodes"].get(name), name == current_node) for name, box in boxes.items()]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" {_STYLE}>{"".join(edges + nodes)}</svg>'
    )


def _ways(definition: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    """Return the source and the target of each edge, without duplicates. An edge to None ends the run."""
    pairs = ((source, edge["to"]) for source, edges in definition["edges"].items() for edge in edges)
    return list(dict.fromkeys(pairs))


def _boxes(definition: Mapping[str, Any]) -> dict[str, _Box]:
    """Return the position of each node. A node's layer is its distance from the start node.

    Nodes that cannot be reached are in one more layer, the last.
    """
    following: dict[str, list[str]] = {}
    for source, target in _ways(definition):
        if target is not None:
            following.setdefault(source, []).append(target)
    layers = {definition["start_node"]: 0}
    frontier = [definition["start_node"]]
    while frontier:
        name = frontier.pop(0)
        for target in following.get(name, ()):
            if target not in layers:
                layers[target] = layers[name] + 1
                frontier.append(target)
    last = max(layers.values()) + 1
    boxes: dict[str, _Box] = {}
    counts: dict[int, int] = {}
    for name in [*layers, *(name for name in definition["nodes"] if name not in layers)]:
        layer = layers.get(name, last)
        place = counts.get(layer, 0)
        counts[layer] = place + 1
        boxes[name] = _Box(MARGIN + place * (WIDTH + GAP_X), MARGIN + layer * (HEIGHT + GAP_Y))
    return boxes


def _node(name: str, box: _Box, seen: Mapping[str, Any] | None, is_here: bool) -> str:
    fill = _HERE if is_here else _VISITED if seen and seen["visits"] else _UNVISITED
    visits = f" ×{seen['visits']}" if seen and seen["visits"] > 1 else ""
    shown = name if len(name) <= NAME_CHARS_MAX else name[: NAME_CHARS_MAX - 1] + "…"
    return (
        f'<g><title>{_safe(name)}</title><rect x="{box.x}" y="{box.y}" width="{WIDTH}" height="{HEIGHT}" rx="6"'
        f' fill="{fill}" stroke="#555"/><text x="{box.x + WIDTH // 2}" y="{box.y + 21}" text-anchor="middle"'
        f' fill="#222">{_safe(shown + visits)}</text></g>'
    )


def _edge(source: _Box, target: _Box, is_taken: bool) -> str:
    colour, weight = ("#2b7a3d", 2) if is_taken else ("#999", 1)
    line = f'fill="none" stroke="{colour}" stroke-width="{weight}"'
    x, y = target.x + WIDTH // 2, target.y
    if target.y > source.y:
        start_x, start_y = source.x + WIDTH // 2, source.y + HEIGHT
        way = f"M{start_x},{start_y} C{start_x},{start_y + 20} {x},{y - 20} {x},{y}"
    else:  # Back to an earlier layer, or to the same node: around the right side.
        start_x, start_y = source.x + WIDTH, source.y + HEIGHT // 2
        x, y = target.x + WIDTH, target.y + 10
        way = f"M{start_x},{start_y} C{start_x + 24},{start_y} {x + 24},{y} {x},{y}"
        return f'<path d="{way}" {line}/><path d="M{x},{y} l6,-4 v8 z" fill="{colour}"/>'
    return f'<path d="{way}" {line}/><path d="M{x},{y} l-4,-6 h8 z" fill="{colour}"/>'


def _safe(text: str) -> str:
    """Return `text` escaped for XML. Unprintable characters are replaced, since XML cannot hold some of them."""
    return escape("".join(mark if mark.isprintable() else "�" for mark in text))
