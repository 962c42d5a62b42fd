import { Dialog, Empty, Fault, Table, Time, cut, get, go, href, html, listGraphs, post, useJson, useKeys, useLoad, useState } from "parts";

const DRAFT = `{\n  "name": "my graph",\n  "start_node": "first",\n  "nodes": {"first": "TOOL"},\n  "edges": {}\n}`;

function Paste({ onClose }) {
	const { value, isBad, editor, refuse, fault } = useJson(DRAFT);
	const { data: tools } = useLoad(() => get("tools"), []);
	const create = () => post("graph/create", value).then(({ graph_id }) => (onClose(), go(href(["graphs", graph_id]))), refuse);
	return html`<${Dialog} wide title="New graph" onClose=${onClose} word="Create" act=${create} isBad=${isBad}>
		${editor("Definition", 16)}
		<details><summary>Tools of this server</summary><ul class="plain">${tools?.items.map(({ name, description }) => html`<li><code>${name}</code> <small>${description}</small></li>`)}</ul></details>
		${fault}<//>`;
}

export function Graphs() {
	const { data, error, reload } = useLoad(listGraphs, []);
	const [isPasting, setPasting] = useState(false);
	const [search, setSearch] = useState("");
	useKeys({ n: () => setPasting(true) });
	const found = (data ?? []).filter(({ name, graph_id }) => `${name} ${graph_id}`.toLowerCase().includes(search.toLowerCase()));
	const groups = [...Map.groupBy(found, ({ name, graph_id }) => name || graph_id).values()];
	return html`<div class="title"><h1>Graphs</h1><i></i><input data-search type="search" aria-label="Search" placeholder="name or id" value=${search} onInput=${({ target }) => setSearch(target.value)} /><button class="primary" onClick=${() => setPasting(true)}>New graph</button></div>
		<${Fault} error=${error} retry=${reload} />
		${data && !groups.length && html`<${Empty} title=${search ? "No graph matches." : "No graphs yet."}>Paste a definition as a new graph, or run the demo under <a href=${href(["runs"])}>Runs</a>.<//>`}
		${groups.length > 0 && html`<${Table} class="graphs" head=${["Graph", "Newest version", "#Versions", "Created", ""]}>${groups.map(([{ graph_id, name, created_at }, ...older]) => html`<tr key=${graph_id}>
			<td><a data-row href=${href(["graphs", graph_id])}><bdi>${cut(name || "unnamed", 80)}</bdi></a></td><td class="id">${graph_id.slice(0, 8)}</td><td class="num">${older.length + 1}</td><td><${Time} iso=${created_at} /></td><td><a href=${href(["runs"], name ? { graph: name } : { graph_id })}>runs</a></td></tr>`)}<//>`}
		${isPasting && html`<${Paste} onClose=${() => setPasting(false)} />`}`;
}
