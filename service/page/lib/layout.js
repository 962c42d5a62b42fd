import { END, edgesOf, kindOf } from "./edges.js";
import { cut, parse } from "./json.js";

/** With room for a count. */
const textWidth = (label) => label.length * 6.3 + 50;
const HEIGHT = 42, GAP_X = 26, GAP_Y = 12, MARGIN = 18, SWEEPS = 24;

/** Mark the edges that close a cycle; return the names, each after all that lead to it. */
function order(names, edges, start) {
	const outgoing = Map.groupBy(edges, ({ from }) => from);
	const open = new Set();
	const done = new Set();
	const visit = (name) => {
		if (open.has(name) || done.has(name)) return;
		open.add(name);
		for (const edge of outgoing.get(name) ?? []) (edge.isBack = open.has(edge.to)), visit(edge.to);
		open.delete(name);
		done.add(name);
	};
	[start, ...names].forEach(visit);
	return [...done].reverse();
}

/** Return `{layers, cells}`: nodes lie in even layers, an edge bends in every layer that it passes. */
function build(names, edges, start, widthOf) {
	const sorted = order(names, edges, start);
	const ends = (edge) => (edge.isBack ? [edge.to, edge.from] : [edge.from, edge.to]);
	const ways = Map.groupBy(edges, (edge) => ends(edge)[0]);
	const rank = new Map(names.map((name) => [name, 0]));
	for (const name of sorted) for (const edge of ways.get(name) ?? []) rank.set(ends(edge)[1], Math.max(rank.get(ends(edge)[1]), rank.get(name) + 2));
	const layers = [];
	const cells = new Map();
	const put = (layer, cell) => ((layers[layer] ??= []).push(cell), cell);
	for (const name of sorted) cells.set(name, put(rank.get(name), { w: widthOf(name), h: name === END ? 20 : HEIGHT, up: [], down: [] }));
	for (const edge of edges) {
		const [top, bottom] = ends(edge);
		const chain = [cells.get(top)];
		const middle = Math.floor((rank.get(top) + rank.get(bottom)) / 2) | 1;
		for (let layer = rank.get(top) + 1; layer < rank.get(bottom); layer++) {
			const isLabel = layer === middle && edge.label;
			chain.push(put(layer, { w: isLabel ? edge.label.length * 6.3 + 8 : 6, h: isLabel ? 17 : 4, up: [], down: [] }));
			if (layer === middle) edge.middle = chain.at(-1);
		}
		chain.push(cells.get(bottom));
		for (let at = 1; at < chain.length; at++) chain[at].up.push(chain[at - 1]), chain[at - 1].down.push(chain[at]);
		edge.chain = edge.isBack ? chain.reverse() : chain;
	}
	return { layers, cells };
}

const mean = (list, of) => list.reduce((sum, cell) => sum + of(cell), 0) / list.length;
const number = (layer) => layer.forEach((cell, at) => (cell.at = at));

const crossings = (layers) => layers.reduce((sum, layer) => {
	const ends = layer.flatMap(({ down }) => down.map(({ at }) => at));
	return sum + ends.reduce((found, end, index) => found + ends.slice(0, index).filter((other) => other > end).length, 0);
}, 0);

function untangle(layers) {
	layers.forEach(number);
	let best = Infinity, kept = null;
	for (let sweep = 0; sweep < SWEEPS && best > 0; sweep++) {
		const side = sweep % 2 ? "down" : "up";
		for (const layer of sweep % 2 ? layers.toReversed() : layers) {
			for (const cell of layer) cell.key = cell[side].length ? mean(cell[side], ({ at }) => at) : cell.at;
			layer.sort((a, b) => a.key - b.key);
			number(layer);
		}
		const count = crossings(layers);
		if (count < best) [best, kept] = [count, layers.map((layer) => [...layer])];
	}
	kept?.forEach((layer, at) => number((layers[at] = layer)));
}

/** Give each cell of a layer the x nearest to its `want`, in order and without overlaps. */
function settle(layer) {
	let offset = 0;
	const blocks = [];
	layer.forEach((cell, at) => {
		if (at) offset += layer[at - 1].w / 2 + GAP_X + cell.w / 2;
		cell.offset = offset;
		blocks.push({ sum: cell.want - offset, size: 1 });
		while (blocks.length > 1 && blocks.at(-2).sum / blocks.at(-2).size > blocks.at(-1).sum / blocks.at(-1).size) {
			const last = blocks.pop();
			blocks.at(-1).sum += last.sum;
			blocks.at(-1).size += last.size;
		}
	});
	let at = 0;
	for (const { sum, size } of blocks) for (let end = at + size; at < end; at++) layer[at].x = sum / size + layer[at].offset;
}

function place(layers) {
	for (const layer of layers) {
		for (const cell of layer) cell.want = 0;
		settle(layer);
	}
	for (let sweep = 0; sweep < SWEEPS; sweep++)
		for (const layer of sweep % 2 ? layers.toReversed() : layers) {
			for (const cell of layer) {
				const near = sweep < SWEEPS - 2 ? (sweep % 2 ? cell.down : cell.up) : [...cell.up, ...cell.down];
				cell.want = near.length ? mean(near, ({ x }) => x) : cell.x;
			}
			settle(layer);
		}
	let y = MARGIN;
	for (const layer of layers) {
		const height = Math.max(...layer.map(({ h }) => h));
		for (const cell of layer) cell.y = y + height / 2;
		y += height + GAP_Y;
	}
	return y - GAP_Y + MARGIN;
}

function port(cell, next) {
	const sign = next.y > cell.y ? 1 : -1;
	const reach = Math.max(0, cell.w / 2 - 12);
	return { x: cell.x + Math.max(-reach, Math.min(reach, (next.x - cell.x) * 0.4)), y: cell.y + (sign * cell.h) / 2 };
}

function loopPoints({ x, y, w }) {
	const right = x + w / 2;
	return [{ x: right, y: y - 9 }, { x: right + 26, y: y - 18 }, { x: right + 26, y: y + 18 }, { x: right, y: y + 9 }];
}

/** Return `{width, height, nodes: {name: {x, y, w, h}}, edges: [{…edge, points, x, y}]}`. */
export function layout(definition) {
	const edges = edgesOf(definition);
	const names = Object.keys(definition.nodes);
	if (edges.some(({ to }) => to === END)) names.push(END);
	const loops = edges.filter(({ from, to }) => from === to);
	const room = new Map(loops.map(({ from, label }) => [from, 30 + textWidth(label)]));
	const bare = (name) => (name === END ? 20 : Math.max(92, cut(name, 26).length * 7.6 + 34, cut(kindOf(definition.nodes[name])[1], 28).length * 5.9 + 40));
	const flows = edges.filter(({ from, to }) => from !== to);
	const { layers, cells } = build(names, flows, definition.start_node, (name) => bare(name) + 2 * (room.get(name) ?? 0));
	untangle(layers);
	const height = place(layers);
	const all = layers.flat();
	const left = Math.min(...all.map(({ x, w }) => x - w / 2)) - MARGIN;
	const width = Math.max(...all.map(({ x, w }) => x + w / 2)) + MARGIN - left;
	for (const cell of all) cell.x -= left;
	for (const [name, cell] of cells) cell.w = bare(name);
	const placed = edges.map(({ chain, middle, isBack: _, ...edge }) => {
		if (!chain) {
			const points = loopPoints(cells.get(edge.from));
			return { ...edge, points, x: points[1].x + 2 + textWidth(edge.label) / 2, y: cells.get(edge.from).y };
		}
		const inner = chain.slice(1, -1).map(({ x, y }) => ({ x, y }));
		return { ...edge, points: [port(chain[0], chain[1]), ...inner, port(chain.at(-1), chain.at(-2))], x: middle.x, y: middle.y };
	});
	const nodes = [...cells].map(([name, { x, y, w, h }]) => [name, { x, y, w, h }]);
	return { width, height, nodes: Object.fromEntries(nodes), edges: placed };
}

if (typeof document === "undefined") self.onmessage = ({ data }) => self.postMessage(layout(parse(data)));
