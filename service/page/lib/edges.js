import { conditionText, edgesFrom, isOrdinary } from "./conditions.js";
import { cut, own, text } from "./json.js";

export const END = "\u0000end";
export const endText = (name) => (name === END || name === null ? "end" : name);

export function edgesOfNode(definition, from) {
	const edges = edgesFrom(definition, from);
	const isAlone = edges.filter(isOrdinary).length < 2;
	return edges.map(({ to, condition, on_error: errors }, index) => {
		const isError = errors != null;
		const types = isError && (errors === true ? "any error" : errors.join(", "));
		const asks = condition ? conditionText(condition) : !isAlone && !isError && "otherwise";
		const title = [types, asks].filter(Boolean).join(" and ");
		return { from, index, to: to ?? END, label: cut(title, 26), title, isError };
	});
}

const ENDS_MAX = 30;

export function edgesOf(definition) {
	const names = Object.keys(definition.nodes);
	return names.flatMap((from) => {
		const ordinary = edgesFrom(definition, from).filter(isOrdinary);
		const found = edgesOfNode(definition, from);
		if (ordinary.length && (names.length > ENDS_MAX || ordinary.some((edge) => !edge.condition))) return found;
		return [...found, { from, index: null, to: END, label: ordinary.length ? "none true" : "", title: "the run ends" }];
	});
}

export function namesOf({ nodes, edges, start_node }) {
	const [open, done] = [new Set(), new Set()];
	for (const stack = [start_node]; stack.length; ) {
		const name = stack.at(-1);
		if (open.has(name)) done.add(stack.pop());
		open.add(name);
		for (const { to } of own(edges, name) ?? []) if (to !== null && !open.has(to)) stack.push(to);
	}
	return [...new Set([...[...done].reverse(), ...Object.keys(nodes)])];
}

export function kindOf({ tool, signal, graph, graphs, for_each, sleep }) {
	if (signal) return ["signal", `signal ${signal}`];
	if (graph || graphs) return ["graph", for_each ? `graph, each of ${for_each}` : `graph ${graph?.slice(0, 8) ?? Object.keys(graphs)}`];
	if (sleep != null) return ["sleep", sleep.until ? `sleep until ${sleep.until}` : `sleep ${text(sleep)} s`];
	return ["tool", tool];
}
