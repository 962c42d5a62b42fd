import { Changes, Fault, Hint, Nothing, Panes, Picture, Quiet, Start, Status, Table, Time, cachedGraph, copy, count, cut, differences, edgeKey, enc, get, getText, href, html, listGraphs, text, useInterval, useLoad, useState } from "parts";
import { Redraw } from "./redraw.js";

function Outcomes({ id }) {
	const { data, reload } = useLoad(() => get("runs/counts", { graph_id: id }), []);
	useInterval(reload, 4000);
	const found = Object.entries(data?.counts ?? {}).filter(([, n]) => n);
	return html`<p class="outcomes">${found.length > 0 && "Runs:"}${found.map(([status, n]) => html`<a href=${href(["runs"], { graph_id: id, status })}><${Status} status=${status} /> <span class="num">${count(n)}${n >= data.capped_at && "+"}</span></a>`)}${data && !found.length && html`<small>No runs of this version yet.</small>`}</p>`;
}

function Source({ load }) {
	const { data, error } = useLoad(load, []);
	return html`<${Fault} error=${error} />${data && html`<div class="source"><${Quiet} onClick=${() => copy(data)}>Copy<//><pre tabindex="0">${data}</pre></div>`}`;
}

function Versions({ graph }) {
	const { data } = useLoad(async () => (await listGraphs()).filter(({ name }) => name === graph.name), []);
	const [other, setOther] = useState(null);
	const { data: compared } = useLoad(async () => other && cachedGraph(other), [other]);
	const row = ({ graph_id, created_at }) => html`<tr class=${graph_id === other && "is-at"}><td><a class="id" href=${href(["graphs", graph_id])}>${graph_id.slice(0, 8)}</a></td><td><${Time} iso=${created_at} /></td>
		<td>${graph_id === graph.graph_id ? "this one" : html`<button class="small" onClick=${() => setOther(graph_id === other ? null : graph_id)}>difference</button>`}</td></tr>`;
	return html`<${Table} head=${["Version", "Created", ""]}>${(data ?? []).map(row)}<//>${compared && html`<h2>From ${other?.slice(0, 8)} to this one</h2><${Changes} changes=${differences(compared.definition, graph.definition)} />`}`;
}

export function GraphView({ id }) {
	const { data: graph, error } = useLoad(() => cachedGraph(id), []);
	const [edge, setEdge] = useState(null);
	const [dialog, setDialog] = useState(null);
	if (error?.status === 404) return html`<${Nothing} of="graph" />`;
	if (!graph) return html`<${Fault} error=${error} />`;
	const { name, created_at, definition } = graph;
	const panes = {
		definition: ["Definition", () => html`<${Source} key="definition" load=${async () => text(definition, 2)} />`],
		mermaid: ["Mermaid", () => html`<${Source} key="mermaid" load=${() => getText(`graph/${enc(id)}/mermaid`)} />`],
		versions: ["Versions", () => html`<${Versions} graph=${graph} />`],
	};
	return html`<div class="title"><h1><bdi>${cut(name || "unnamed", 80)}</bdi> <span class="id" title=${id}>${id.slice(0, 8)}</span></h1><small>created <${Time} iso=${created_at} /></small><i></i><button class="primary" onClick=${() => setDialog(html`<${Start} graphId=${id} onClose=${() => setDialog(null)} />`)}>Start a run</button></div>
		<${Outcomes} id=${id} /><div class="columns">
		<div class="left"><${Picture} definition=${definition} taken=${edge && edgeKey(edge.from, edge.index)} onEdge=${setEdge} /><${Hint}>Choose an edge to change its condition and see how the last runs would have gone.<//>
			${edge && html`<${Redraw} key=${edgeKey(edge.from, edge.index)} graph=${graph} edge=${edge} onClose=${() => setEdge(null)} />`}</div>
		<${Panes} panes=${panes} /></div>${dialog}`;
}
