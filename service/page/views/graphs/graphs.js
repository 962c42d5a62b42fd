/** All graphs, the newest first; a definition can be pasted. */
import { html, useState } from "../../lib/html.js";
import { get, post } from "../../lib/api.js";
import { useLoad } from "../../lib/load.js";
import { go, href } from "../../lib/router.js";
import { Dialog, Empty, Fault, Time } from "../../parts/basics.js";
import { JsonEditor, placed, readJson } from "../../parts/json.js";
import { useKeys } from "../../parts/keys.js";

function Paste({ onClose }) {
  const [source, setSource] = useState('{\n  "name": "",\n  "start_node": "first",\n  "nodes": {"first": "TOOL"},\n  "edges": {}\n}');
  const [problem, setProblem] = useState(null);
  const { value, fault } = readJson(source);
  const { data: tools } = useLoad(() => get("tools"), []);
  const faults = fault ? [fault] : placed(source, problem?.errors ?? [], "");
  const create = () => post("graph/create", value).then(({ graph_id }) => (onClose(), go(href(["graphs", graph_id]))), setProblem);
  return html`<${Dialog} wide title="New graph" onClose=${onClose}>
    <${JsonEditor} label="Definition" rows=${18} value=${source} faults=${faults} onInput=${(next) => (setSource(next), setProblem(null))} />
    ${tools ? html`<details><summary>Tools of this server</summary><ul class="plain">${tools.items.map(({ name, description }) => html`<li key=${name}><code>${name}</code> <span class="hint">${description}</span></li>`)}</ul></details>` : null}
    <${Fault} error=${faults.length ? null : problem} />
    <footer><button onClick=${onClose}>Cancel</button><button class="primary" disabled=${Boolean(fault)} onClick=${create}>Create</button></footer>
  <//>`;
}

export function Graphs() {
  const { data, error, reload } = useLoad(() => get("graphs", { limit: 1000 }), []);
  const [isPasting, setPasting] = useState(false);
  const [search, setSearch] = useState("");
  useKeys({ n: () => setPasting(true) });
  const groups = Map.groupBy((data?.items ?? []).filter(({ name, graph_id }) => `${name} ${graph_id}`.toLowerCase().includes(search.toLowerCase())), ({ name, graph_id }) => name || graph_id);
  return html`<div class="title"><h1>Graphs</h1><span class="grow"></span>
      <input data-search type="search" aria-label="Search" placeholder="name or id" value=${search} onInput=${({ target }) => setSearch(target.value)} />
      <button class="primary" onClick=${() => setPasting(true)}>New graph</button></div>
    <${Fault} error=${error} retry=${reload} />
    ${data && !groups.size ? html`<${Empty} title=${search ? "No graph matches." : "No graphs yet."}>Paste a definition as a new graph, or run the demo under <a href=${href(["runs"])}>Runs</a>.<//>` : null}
    ${groups.size ? html`<table class="graphs"><thead><tr><th>Graph</th><th>Newest version</th><th class="num">Versions</th><th>Created</th><td></td></tr></thead>
      <tbody>${[...groups].map(([key, versions]) => html`<tr key=${key}>
        <td><a data-row href=${href(["graphs", versions[0].graph_id])}><bdi>${versions[0].name || "unnamed"}</bdi></a></td><td><span class="id">${versions[0].graph_id.slice(0, 8)}</span></td>
        <td class="num">${versions.length}</td><td><${Time} iso=${versions[0].created_at} /></td>
        <td><a href=${href(["runs"], versions[0].name ? { graph: versions[0].name } : { graph_id: versions[0].graph_id })}>runs</a></td></tr>`)}</tbody></table>` : null}
    ${data?.next_cursor ? html`<p class="hint">The newest 1,000 graphs.</p>` : null}
    ${isPasting ? html`<${Paste} onClose=${() => setPasting(false)} />` : null}`;
}
