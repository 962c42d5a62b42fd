import { END, edgesOf, kindOf, namesOf } from "./edges.js";
import { columns, cut, parse } from "./json.js";

const HEIGHT = 42, GAP_X = 24, GAP_Y = 18, MARGIN = 18, LABEL = 17, LOOP = 24, SWEEPS = 24;
/** With room for a count. */
const textWidth = (label) => (columns(label) + 5) * 6.3;

/** Return `{layers, cells}`: nodes lie in even layers, an edge bends in every layer that it passes. */
function build(names, edges, sizeOf) {
	const place = new Map(names.map((name, at) => [name, at]));
	for (const edge of edges) edge.isBack = place.get(edge.to) < place.get(edge.from);
	const ends = (edge) => (edge.isBack ? [edge.to, edge.from] : [edge.from, edge.to]);
	const ways = Map.groupBy(edges, (edge) => ends(edge)[0]);
	const rank = new Map(names.map((name) => [name, 0]));
	for (const name of names) for (const edge of ways.get(name) ?? []) rank.set(ends(edge)[1], Math.max(rank.get(ends(edge)[1]), rank.get(name) + 2));
	const layers = [];
	const cells = new Map();
	const put = (layer, cell) => ((layers[layer] ??= []).push(cell), cell);
	for (const name of names) cells.set(name, put(rank.get(name), { ...sizeOf(name), up: [], down: [] }));
	for (const edge of edges) {
		const [top, bottom] = ends(edge);
		const chain = [cells.get(top)];
		const middle = Math.floor((rank.get(top) + rank.get(bottom)) / 2) | 1;
		for (let layer = rank.get(top) + 1; layer < rank.get(bottom); layer++) {
			const isMiddle = layer === middle;
			chain.push(put(layer, { w: isMiddle ? textWidth(edge.label) : 6, h: isMiddle ? LABEL : 4, up: [], down: [] }));
			if (isMiddle) edge.middle = chain.at(-1);
		}
		const line = chain.slice(1);
		if (line.length > 1) for (const cell of line) cell.line = line;
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

/** Give each cell the x nearest to its `want`, in order and without overlaps. Lines weigh more than nodes. */
function settle(layer) {
	let offset = 0;
	const blocks = [];
	layer.forEach((cell, at) => {
		if (at) offset += layer[at - 1].w / 2 + GAP_X + cell.w / 2;
		cell.offset = offset;
		const weight = cell.line ? 9 : 1;
		blocks.push({ x: cell.want - offset, weight, size: 1 });
		while (blocks.length > 1 && blocks.at(-2).x > blocks.at(-1).x) {
			const [one, last] = blocks.splice(-2);
			const sum = one.weight + last.weight;
			blocks.push({ x: (one.x * one.weight + last.x * last.weight) / sum, weight: sum, size: one.size + last.size });
		}
	});
	let at = 0;
	for (const { x, size } of blocks) for (let end = at + size; at < end; at++) layer[at].x = x + layer[at].offset;
}

function place(layers) {
	for (const layer of layers) {
		for (const cell of layer) cell.want = 0;
		settle(layer);
	}
	for (let sweep = 0; sweep < SWEEPS; sweep++)
		for (const layer of sweep % 2 ? layers.toReversed() : layers) {
			for (const cell of layer) {
				const near = (sweep > SWEEPS - 7 && cell.line) || (sweep > SWEEPS / 2 ? [...cell.up, ...cell.down] : sweep % 2 ? cell.down : cell.up);
				cell.want = near.length ? mean(near, ({ x }) => x) : cell.x;
			}
			settle(layer);
		}
	let y = MARGIN;
	for (const layer of layers) {
		const band = Math.max(...layer.map(({ h }) => h)) / 2;
		for (const cell of layer) (cell.y = y + band), (cell.band = band);
		y += 2 * band + GAP_Y;
	}
	return y - GAP_Y + MARGIN;
}

/** Return where a line to `next` leaves a node: the lines of a side stand beside each other. */
function port(node, next) {
	const side = (next.y > node.y ? node.down : node.up).toSorted((a, b) => a.x - b.x);
	return node.x + (side.indexOf(next) - (side.length - 1) / 2) * Math.min(18, (node.w - 20) / side.length);
}

/** Return an edge's line and head. The line bends only between layers, so it crosses no node or label. */
function lineOf({ chain, middle }) {
	const sign = chain[1].y > chain[0].y ? 1 : -1;
	const end = chain.length - 1;
	const xs = chain.map((cell, at) => (at % end ? cell.x : port(cell, chain[at ? at - 1 : 1])));
	const tip = chain[end].y - (sign * chain[end].h) / 2;
	let way = `M${xs[0]} ${chain[0].y + (sign * chain[0].h) / 2}`;
	for (let at = 1; at <= end; at++) {
		const from = chain[at - 1].y + sign * chain[at - 1].band;
		const to = chain[at].y - sign * (chain[at].band + (at === end && 7));
		way += `V${from}C${xs[at - 1]} ${(from + to) / 2} ${xs[at]} ${(from + to) / 2} ${xs[at]} ${to}`;
	}
	return { way: `${way}V${tip}`, head: `M${xs[end]} ${tip}l3.4 ${-7.4 * sign}h-6.8Z`, x: middle.x, y: middle.y };
}

/** Return the same of an edge back to its node, one of `all`. Their labels lie below each other. */
function loopOf(edge, node, all) {
	const nth = all.indexOf(edge) - (all.length - 1) / 2;
	const x = node.x + node.w / 2;
	const [y, aim, d] = [node.y + (34 * nth) / all.length, node.y + LABEL * nth, 9 / all.length];
	return { way: `M${x} ${y - d}C${x + 26} ${aim - 1.4 * d} ${x + 26} ${aim + 1.4 * d} ${x} ${y + d}`, head: `M${x} ${y + d}l7.8-2.4-.9 6.8Z`, x: x + LOOP, y: aim };
}

export function layout(definition) {
	const edges = edgesOf(definition);
	const names = namesOf(definition);
	if (edges.some(({ to }) => to === END)) names.push(END);
	const loops = Map.groupBy(edges.filter(({ from, to }) => from === to), ({ from }) => from);
	const sizeOf = (name) => {
		const [w, h] = name === END ? [20, 20] : [Math.max(92, columns(cut(name, 26)) * 7.6 + 34, columns(cut(kindOf(definition.nodes[name])[1], 28)) * 5.9 + 50), HEIGHT];
		const own = loops.get(name) ?? [];
		return { w: w + 2 * Math.max(0, ...own.map(({ label }) => 2 * LOOP + textWidth(label))), h: Math.max(h, LABEL * own.length), bare: { w, h } };
	};
	const { layers, cells } = build(names, edges.filter(({ from, to }) => from !== to), sizeOf);
	untangle(layers);
	const height = place(layers);
	const left = Math.min(...layers.map(([{ x, w }]) => x - w / 2)) - MARGIN;
	const width = Math.max(...layers.map((layer) => layer.at(-1)).map(({ x, w }) => x + w / 2)) + MARGIN - left;
	for (const cell of layers.flat()) Object.assign(cell, cell.bare, { x: cell.x - left });
	const placed = edges.map((edge) => ({ ...edge, ...(edge.chain ? lineOf(edge) : loopOf(edge, cells.get(edge.from), loops.get(edge.from))), chain: null, middle: null }));
	const nodes = Object.fromEntries([...cells].map(([name, { x, y, w, h }]) => [name, { x, y, w, h }]));
	return { width, height, nodes, edges: placed };
}

if (typeof document === "undefined") self.onmessage = ({ data }) => self.postMessage(layout(parse(data)));
