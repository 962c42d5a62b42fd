import { END, PICTURE_MAX, columns, count, cut, edgesOf, endText, html, kindOf, layoutOf, namesOf, own, useLayoutEffect, useLoad, useMemo, useRef } from "lib";
import { Fault, Hint, Name } from "./basics.js";
import { Table } from "./tables.js";

export const edgeKey = (from, index) => `${from}\0${index}`;
const classes = (...names) => names.filter(Boolean).join(" ");

function outline(kind, { x, y, w, h }) {
	const [l, r, t, b] = [x - w / 2, x + w / 2, y - h / 2, y + h / 2];
	if (kind === "signal") return html`<path class="shape" d=${`M${l} ${y}L${l + 12} ${t}H${r - 12}L${r} ${y}L${r - 12} ${b}H${l + 12}Z`} />`;
	const rect = (inset, rx) => html`<rect class="shape" x=${l + inset} y=${t + inset} width=${w - 2 * inset} height=${h - 2 * inset} rx=${rx} />`;
	return kind === "graph" ? [rect(0, 5), rect(3.5, 3)] : rect(0, kind === "sleep" ? h / 2 : 7);
}

const button = (act) => ({
	role: "button", tabindex: 0, onClick: act,
	onKeyDown: (event) => ["Enter", " "].includes(event.key) && (event.preventDefault(), act()),
});
const image = { role: "img" };

function Node({ name, node, place: { x, y, w, h }, visits, isStart, look, onNode }) {
	const [kind, does] = kindOf(node);
	const { visits: times, failures } = visits ?? {};
	const label = `${name}: ${does}${times ? `, ${count(times)} visits` : ""}${failures ? `, ${count(failures)} failures` : ""}`;
	const sub = [does !== name && cut(does, 28), times && `×${count(times)}`].filter(Boolean).join(" · ");
	return html`<g class=${classes("node", look)} ...${onNode ? button(() => onNode(name)) : image}><title>${label}</title>
		${outline(kind, { x, y, w, h })}${isStart && html`<path class="start" d=${`M${x - w / 2 - 11} ${y - 4.5}l7 4.5-7 4.5Z`} />`}
		<text x=${x} y=${sub ? y - 2.5 : y + 4} class="title">${cut(name, 26)}</text><text x=${x} y=${y + 11.5} class="sub">${sub}</text>
		${failures > 0 && html`<g class="failures"><circle cx=${x + w / 2 - 2} cy=${y - h / 2 + 2} r="7" /><text x=${x + w / 2 - 2} y=${y - h / 2 + 5}>${failures > 9 ? "9+" : failures}</text></g>`}</g>`;
}

function Edge({ edge, times, look, onEdge }) {
	const tally = times ? ` ×${count(times)}` : "";
	const half = columns(edge.label + tally) * 3.1 + 3;
	const x = edge.x + (edge.from === edge.to && half);
	const title = `${edge.from} → ${endText(edge.to)}${edge.title && `: ${edge.title}`}${times ? `, taken ${count(times)} times` : ""}`;
	return html`<g class=${classes("edge", edge.isError && "on-error", edge.index === null && "implied", look)} ...${onEdge && edge.index !== null ? button(() => onEdge(edge)) : image}><title>${title}</title>
		<path class="reach" d=${edge.way} /><path class="way" d=${edge.way} /><path class="head" d=${edge.head} />
		${half > 3 && html`<rect class="plate" x=${x - half} y=${edge.y - 8} width=${2 * half} height="16" /><text x=${x} y=${edge.y + 4}>${edge.label && `\u2068${edge.label}\u2069`}${tally}</text>`}</g>`;
}

function List({ definition, stats, lookOf, onNode, onEdge, box }) {
	const edges = useMemo(() => Map.groupBy(edgesOf(definition), ({ from }) => from), [definition]);
	const link = (act, inner) => (act ? html`<button class="link" onClick=${act}>${inner}</button>` : inner);
	return html`<div class="nodelist" ref=${box}><${Table} head=${["Node", "Does", "#Visits", "Goes to"]}>${namesOf(definition).map((name) => html`<tr class=${lookOf(name)}>
		<td>${link(onNode && (() => onNode(name)), html`<${Name} of=${name} />`)}</td><td>${kindOf(definition.nodes[name])[1]}</td><td class="num">${own(stats?.nodes, name)?.visits}</td>
		<td>${edges.get(name).map((edge) => html`<div>${link(edge.index !== null && onEdge && (() => onEdge(edge)), html`<${Name} of=${endText(edge.to)} />`)} <small>${edge.label}</small></div>`)}</td></tr>`)}<//></div>`;
}

export function Picture({ definition, stats, current, status, at, taken, selected, tones, onNode, onEdge }) {
	const names = Object.keys(definition.nodes);
	const isLarge = names.length > PICTURE_MAX;
	const { data: placed, error } = useLoad(async () => (isLarge ? null : layoutOf(definition)), [definition]);
	const box = useRef();
	const counts = useMemo(() => new Map(stats?.edges.map((edge) => [edgeKey(edge.from, edge.index), edge.count])), [stats]);
	useLayoutEffect(() => {
		const find = (one) => box.current?.querySelector(one);
		const [a, b] = [find(".current, .failed, .at") ?? find(".start"), box.current].map((one) => one?.getBoundingClientRect());
		if (a && (a.top < b.top || a.bottom > b.bottom || a.left < b.left || a.right > b.right)) box.current.scrollBy(a.left - b.left - b.width / 2, a.top - b.top - b.height / 2);
	}, [placed, at, current]);
	const lookOf = (name) =>
		classes(name === current && (status === "failed" ? "failed" : "current"), name === current && status === "running" && "alive", name === at && "at", name === selected && "selected", stats && !own(stats.nodes, name) && name !== current && "unvisited");
	if (isLarge) return html`<${Hint}>A list, because more than ${PICTURE_MAX} nodes make no picture.<//><${List} definition=${definition} stats=${stats} lookOf=${lookOf} onNode=${onNode} onEdge=${onEdge} box=${box} />`;
	if (!placed) return html`<div class="picture"><${Fault} error=${error} /></div>`;
	const { width, height, nodes, edges } = placed;
	const edge = (one) => {
		const key = edgeKey(one.from, one.index);
		return html`<${Edge} key=${key} edge=${one} times=${counts.get(key)} look=${classes(tones?.get(key), key === taken && "taken", stats && (counts.has(key) ? "walked" : "unwalked"))} onEdge=${onEdge} />`;
	};
	const end = own(nodes, END);
	return html`<div class="picture" ref=${box}><svg viewBox=${`0 0 ${width} ${height}`} width=${width} height=${height} style=${{ minWidth: `${width * .85}px` }} role="group" aria-label="The graph">${edges.map(edge)}
		${names.map((name) => html`<${Node} key=${name} name=${name} node=${definition.nodes[name]} place=${nodes[name]} visits=${own(stats?.nodes, name)} isStart=${name === definition.start_node} look=${lookOf(name)} onNode=${onNode} />`)}
		${end && html`<g class="end" role="img" aria-label="the run ends"><circle cx=${end.x} cy=${end.y} r="9" /><circle class="dot" cx=${end.x} cy=${end.y} r="5" /></g>`}</svg></div>`;
}
