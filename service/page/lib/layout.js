/** Positions of a graph's nodes and edges; also runs as a worker, for large graphs. */
import { Graph, layout as arrange } from "../vendor/dagre.esm.js";
import { END, edgesOf } from "./edges.js";
import { parse } from "./json.js";
import { cut } from "./text.js";

const width = (text, per) => text.length * per;

/** Return `{width, height, nodes: {name: {x, y, w, h}}, edges: [{…edge, points, x, y}]}`. */
export function layout(definition) {
  const graph = new Graph({ multigraph: true });
  graph.setGraph({ nodesep: 36, ranksep: 38, edgesep: 18, marginx: 14, marginy: 14 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const name of Object.keys(definition.nodes))
    graph.setNode(`n${name}`, { width: Math.max(92, width(cut(name, 26), 7.6) + 44), height: 42 });
  const edges = edgesOf(definition);
  if (edges.some((edge) => edge.to === END)) graph.setNode(`n${END}`, { width: 20, height: 20 });
  for (const edge of edges)
    graph.setEdge(`n${edge.from}`, `n${edge.to}`, { width: edge.label ? width(edge.label, 6.3) + 10 : 1, height: edge.label ? 17 : 1, labelpos: "c" }, String(edge.index));
  arrange(graph);
  const nodes = graph.nodes().map((name) => {
    const { x, y, width: w, height: h } = graph.node(name);
    return [name.slice(1), { x, y, w, h }];
  });
  const placed = edges.map((edge) => {
    const { points, x, y } = graph.edge({ v: `n${edge.from}`, w: `n${edge.to}`, name: String(edge.index) });
    return { ...edge, points, x, y };
  });
  const { width: w, height: h } = graph.graph();
  return { width: w, height: h, nodes: Object.fromEntries(nodes), edges: placed };
}

if (typeof document === "undefined")
  self.onmessage = ({ data }) => self.postMessage(layout(parse(data)));
