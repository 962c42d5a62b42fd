"""The picture of a graph: no line crosses a node or the label of another edge, and nothing lies on anything else."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

from playwright.sync_api import Page

from tests.support.profile import repeat

POINTS = """(way) => {
  const found = [];
  let [x, y] = [0, 0];
  for (const [, command, text] of way.matchAll(/([A-Z])([^A-Z]*)/g)) {
    const given = text.split(' ').map(Number);
    if (command === 'M') { [x, y] = given; continue; }
    if (!'VC'.includes(command)) throw new Error(`no points of ${command}`);
    const [a, b, c, d, e, f] = command === 'C' ? given : [x, y, x, given[0], x, given[0]];
    const count = Math.ceil((Math.hypot(a - x, b - y) + Math.hypot(c - a, d - b) + Math.hypot(e - c, f - d)) / 4);
    for (let at = 0; at <= count; at += 1) {
      const t = at / (count || 1), s = 1 - t;
      const on = (p, q, r, u) => s ** 3 * p + 3 * s * s * t * q + 3 * s * t * t * r + t ** 3 * u;
      found.push([on(x, a, c, e), on(y, b, d, f)]);
    }
    [x, y] = [e, f];
  }
  return found;
}"""
"""Points on the way of an edge, at most 6 apart. The browser's `getPointAtLength` takes a hundred times as long."""

FAULTS = """async (definition) => {
  const points = POINTS;
  const lib = (name) => import(new URL(`ui/lib/${name}.js`, document.baseURI));
  const [{ layout }, { columns }] = await Promise.all(['layout', 'json'].map(lib));
  const { width, height, nodes, edges } = layout(definition);
  const box = (name, x, y, w, h) => ({ name, l: x - w / 2, r: x + w / 2, t: y - h / 2, b: y + h / 2 });
  const places = Object.entries(nodes).map(([name, { x, y, w, h }]) => box(name, x, y, w, h));
  const counted = ({ label }) => (label ? columns(label) + 4 : 3) * 6.2 + 6;
  const middle = (edge) => edge.x + (edge.from === edge.to ? counted(edge) / 2 : 0);
  const labels = edges.map((edge) => box(edge, middle(edge), edge.y, counted(edge), 16));
  const all = [...places, ...labels];
  const meet = (a, b) => a !== b && a.l < b.r && b.l < a.r && a.t < b.b && b.t < a.b;
  const faults = [];
  for (const one of all) {
    if (one.l < 0 || one.r > width || one.t < 0 || one.b > height) faults.push(['outside', one.name]);
    for (const other of all) if (meet(one, other)) faults.push(['overlap', one.name, other.name]);
  }
  for (const edge of edges) {
    const others = all.filter(({ name }) => name !== edge && name !== edge.from && name !== edge.to);
    for (const [x, y] of points(edge.way)) {
      const hit = others.find(({ l, r, t, b }) => x > l && x < r && y > t && y < b);
      if (hit) { faults.push(['crossed', edge.from, edge.to, hit.name.label ?? hit.name]); break; }
    }
  }
  return faults;
}""".replace("POINTS", POINTS)


SIZE = """async (definition) => {
  const { layout } = await import(new URL('ui/lib/layout.js', document.baseURI));
  const { width, edges } = layout(definition);
  return [width, edges.length];
}"""


def drawn(seed: int) -> dict[str, Any]:
    """A graph of up to 14 nodes with edges in every direction, and labels and names of different lengths."""
    dice = random.Random(seed)
    names = [f"{'node ' * dice.randint(0, 3)}{number}" for number in range(dice.randint(1, 14))]

    def edge() -> dict[str, Any]:
        target = dice.choice([*names, None])
        made: dict[str, Any] = {"to": target}
        if dice.random() < 0.6:
            made["condition"] = {
                "key": dice.choice("k鍵") * dice.randint(1, 20),
                "op": "<",
                "value": dice.randint(0, 10**6),
            }
        return made | ({"on_error": True} if dice.random() < 0.1 else {})

    edges = {name: [edge() for _ in range(dice.randint(1, 4))] for name in names if dice.random() < 0.9}
    return {"start_node": names[0], "nodes": {name: {"tool": name} for name in names}, "edges": edges}


TEXTS = """async () => {
  const canvas = document.createElement('canvas').getContext('2d');
  canvas.font = '11px system-ui, sans-serif';
  const { columns } = await import(new URL('ui/lib/json.js', document.baseURI));
  const isWider = (text) => canvas.measureText(text).width > columns(text) * 6.2 + 12;
  return ['n < 1000000', '鍵鍵鍵鍵鍵鍵', 'ключ = "значение"', '😀😀😀'].filter(isWider);
}"""


def test_texts_are_no_wider_than_their_columns(modules: Page) -> None:
    assert modules.evaluate(TEXTS) == []


def test_a_long_chain_of_conditions_is_drawn(modules: Page) -> None:
    nodes = [f"n{number}" for number in range(300)]
    again = {"condition": {"key": "n", "op": "<", "value": 1}}
    edges = {one: [{"to": other} | again] for one, other in itertools.pairwise(nodes)}
    definition = {"start_node": "n0", "nodes": {name: {"tool": "t"} for name in nodes}, "edges": edges}
    width, count = modules.evaluate(SIZE, definition)
    assert (width < 1000, count) == (
        True,
        300,
    )  # The way to the end that no edge names is there for the last one alone.


def test_nothing_lies_on_anything_else(modules: Page) -> None:
    for seed in range(repeat(120, 1000)):
        assert modules.evaluate(FAULTS, drawn(seed)) == [], json.dumps(drawn(seed))
