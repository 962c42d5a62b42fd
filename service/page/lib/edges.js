import { conditionText, edgesFrom } from "./conditions.js";
import { cut, text } from "./json.js";

export const END = "\u0000end";
export const endText = (name) => (name === END || name === null ? "end" : name);

/** In larger graphs, ways to the end that no edge names would hide the others. */
const ENDS_MAX = 30;

/** Return the edges of a definition: `[{from, index, to, label, title, isError}]`; `to` may be END. */
export function edgesOf(definition) {
	const names = Object.keys(definition.nodes);
	return names.flatMap((from) => {
		const edges = edgesFrom(definition, from);
		const ordinary = edges.filter((edge) => edge.on_error == null);
		const found = edges.map((edge, index) => {
			const isError = edge.on_error != null;
			const types = isError && (edge.on_error === true ? "any error" : edge.on_error.join(", "));
			const asks = edge.condition ? conditionText(edge.condition) : ordinary.length > 1 && !isError && "otherwise";
			const title = [types, asks].filter(Boolean).join(" and ");
			return { from, index, to: edge.to ?? END, label: cut(title, 26), title, isError };
		});
		if (ordinary.length && (names.length > ENDS_MAX || ordinary.some((edge) => !edge.condition))) return found;
		return [...found, { from, index: null, to: END, label: ordinary.length ? "none true" : "", title: "the run ends" }];
	});
}

export function kindOf({ tool, signal, graph, graphs, for_each, sleep }) {
	if (signal) return ["signal", `signal ${signal}`];
	if (graph || graphs) return ["graph", for_each ? `graph, each of ${for_each}` : `graph ${graph?.slice(0, 8) ?? Object.keys(graphs)}`];
	if (sleep != null) return ["sleep", sleep.until ? `sleep until ${sleep.until}` : `sleep ${text(sleep)} s`];
	return ["tool", tool];
}
