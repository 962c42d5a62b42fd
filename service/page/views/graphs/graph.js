/** One graph: picture, definition, Mermaid, runs by outcome, versions; redraw an edge and backtest it. */
import { html, useState } from "../../lib/html.js";
import { enc, get, getText, maybe } from "../../lib/api.js";
import { count } from "../../lib/format.js";
import { cachedGraph } from "../../lib/graphs.js";
import { differences, text } from "../../lib/json.js";
import { useInterval, useLoad } from "../../lib/load.js";
import { href, route, setQuery } from "../../lib/router.js";
import { Choice, Empty, Fault, Status, Time, say } from "../../parts/basics.js";
import { Picture } from "../../parts/picture.js";
import { Redraw } from "./redraw.js";
import { Start } from "../../parts/start.js";
import { Changes } from "../run/state.js";

function Outcomes({ graph }) {
  const { data, reload } = useLoad(() => maybe("runs/counts", { graph_id: graph.graph_id }), [graph.graph_id]);
  useInterval(reload, 4000);
  if (!data) return null;
  const found = Object.entries(data.counts).filter(([, value]) => value);
  return html`<p class="outcomes">${found.length ? found.map(([status, value]) => html`<a key=${status} href=${href(["runs"], { graph_id: graph.graph_id, status })}><${Status} status=${status} /> <span class="num">${value >= data.capped_at ? `${count(data.capped_at)}+` : count(value)}</span></a>`) : html`<span class="hint">No runs of this version yet.</span>`}</p>`;
}

function Source({ load, name }) {
  const { data, error } = useLoad(load, [name]);
  const copy = () => navigator.clipboard.writeText(data).then(() => say("Copied."));
  return html`<${Fault} error=${error} />${data ? html`<div class="source"><button class="quiet" onClick=${copy}>Copy</button><pre tabindex="0">${data}</pre></div>` : null}`;
}

function Versions({ graph }) {
  const { data } = useLoad(async () => (await get("graphs", { limit: 1000 })).items.filter(({ name }) => name === graph.name), [graph.graph_id]);
  const [other, setOther] = useState(null);
  const { data: compared } = useLoad(async () => other && cachedGraph(other), [other]);
  return html`<table><thead><tr><th>Version</th><th>Created</th><td></td></tr></thead><tbody>${(data ?? []).map(({ graph_id, created_at }) => html`<tr key=${graph_id} class=${graph_id === other ? "is-at" : ""}>
      <td>${graph_id === graph.graph_id ? html`<b class="id">${graph_id.slice(0, 8)}</b> this one` : html`<a class="id" href=${href(["graphs", graph_id])}>${graph_id.slice(0, 8)}</a>`}</td><td><${Time} iso=${created_at} /></td>
      <td>${graph_id === graph.graph_id ? null : html`<button class="small" onClick=${() => setOther(graph_id === other ? null : graph_id)}>difference</button>`}</td></tr>`)}</tbody></table>
    ${compared ? html`<h2>From ${other.slice(0, 8)} to ${graph.graph_id.slice(0, 8)}</h2><${Changes} key=${other} changes=${differences(compared.definition, graph.definition)} />` : null}`;
}

export function GraphView({ id }) {
  const { data: graph, error } = useLoad(() => cachedGraph(id), [id]);
  const [edge, setEdge] = useState(null);
  const [isStarting, setStarting] = useState(false);
  const tab = route.value.query.get("tab") ?? "definition";
  if (error?.status === 404) return html`<${Empty} title="There is no such graph.">Look at <a href=${href(["graphs"])}>the graphs</a>.<//>`;
  if (!graph) return html`<${Fault} error=${error} />`;
  const { definition } = graph;
  const tabs = [["definition", "Definition"], ["mermaid", "Mermaid"], ["versions", "Versions"]];
  return html`<div class="title"><h1><bdi>${graph.name || "unnamed graph"}</bdi> <span class="id" title=${id}>${id.slice(0, 8)}</span></h1>
      <span class="meta"><span>created <${Time} iso=${graph.created_at} /></span></span><span class="grow"></span>
      <button class="primary" onClick=${() => setStarting(true)}>Start a run</button></div>
    <${Outcomes} graph=${graph} />
    <div class="columns">
      <div class="left"><${Picture} definition=${definition} onEdge=${setEdge} />
        <p class="hint">Choose an edge to change its condition and see how the last runs would have gone.</p>
        ${edge ? html`<${Redraw} key=${`${edge.from}\0${edge.index}`} graph=${graph} edge=${edge} onClose=${() => setEdge(null)} />` : null}</div>
      <div class="right"><${Choice} label="Show" options=${tabs} value=${tab} onChange=${(next) => setQuery({ tab: next })} />
        ${tab === "definition" ? html`<${Source} key="definition" name=${id} load=${async () => text(definition, 2)} />` : null}
        ${tab === "mermaid" ? html`<${Source} key="mermaid" name=${id} load=${() => getText(`graph/${enc(id)}/mermaid`)} />` : null}
        ${tab === "versions" ? html`<${Versions} graph=${graph} />` : null}</div>
    </div>
    ${isStarting ? html`<${Start} graphId=${id} onClose=${() => setStarting(false)} />` : null}`;
}
