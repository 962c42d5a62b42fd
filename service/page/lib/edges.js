/** The edges of a definition, as the picture draws them. Imports nothing of the page: the layout's worker uses it. */
import { conditionText } from "./conditions.js";
import { text } from "./json.js";
import { cut, own } from "./text.js";

export const END = "\u0000end";

/** Return the edges of a definition: `[{from, index, to, label, title, isError}]`; `to` may be END. */
export function edgesOf(definition) {
  const found = [];
  for (const name of Object.keys(definition.nodes)) {
    const edges = own(definition.edges, name) ?? [];
    edges.forEach((edge, index) => {
      const isError = edge.on_error != null;
      const types = edge.on_error === true ? "any error" : isError ? edge.on_error.join(", ") : "";
      const asks = edge.condition ? conditionText(edge.condition) : edges.length > 1 && !isError ? "otherwise" : "";
      const title = [types, asks].filter(Boolean).join(" and ");
      found.push({ from: name, index, to: edge.to ?? END, label: cut(title, 26), title, isError });
    });
    if (!edges.some((edge) => edge.on_error == null)) found.push({ from: name, index: null, to: END, label: "", title: "no edges: the run ends" });
  }
  return found;
}

/** Return the kind of a node: tool, sleep, signal or graph; and what it does, in short. */
export function kindOf(node) {
  if (node.tool !== undefined) return ["tool", node.tool];
  if (node.signal !== undefined) return ["signal", `signal ${node.signal}`];
  if (node.graph !== undefined) return ["graph", node.for_each ? `graph, each of ${node.for_each}` : `graph ${node.graph.slice(0, 8)}`];
  if (node.sleep !== undefined) return ["sleep", node.sleep.until ? `sleep until ${node.sleep.until}` : `sleep ${text(node.sleep)} s`];
  return ["tool", ""];
}
