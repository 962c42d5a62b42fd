/** Redraw an edge's condition, and ask the last runs how they would have gone. */
import { html, useState } from "../../lib/html.js";
import { enc, post } from "../../lib/api.js";
import { conditionText } from "../../lib/conditions.js";
import { count, plural, short } from "../../lib/format.js";
import { text } from "../../lib/json.js";
import { go, href } from "../../lib/router.js";
import { Fault, say } from "../../parts/basics.js";
import { JsonEditor, placed, readJson } from "../../parts/json.js";

/** Return the definition with another condition (or none) at an edge. */
function redrawn(definition, { from, index }, condition) {
  const edges = definition.edges[from].map((edge, at) => {
    if (at !== index) return edge;
    const { condition: _, ...rest } = edge;
    return condition ? { ...rest, condition } : rest;
  });
  return { ...definition, edges: Object.fromEntries(Object.entries(definition.edges).map(([name, list]) => [name, name === from ? edges : list])) };
}

function Result({ result, id }) {
  const fork = ({ run_id, step }) =>
    post(`runs/${enc(run_id)}/fork`, { step: step - 1, graph_id: id }).then((made) => go(href(["runs", made.run_id])), (error) => say(error.message));
  return html`<p class="big" role="status">${result.diverging_runs ? `${count(result.diverging_runs)} of ${plural(result.runs, "run")} would have gone elsewhere.` : `${plural(result.runs, "run")} of ${count(result.steps)} steps would have gone the same way.`}</p>
    ${result.examples.length ? html`<table><thead><tr><th>Run</th><th class="num">Step</th><th>At</th><th>Went</th><th>Would go</th><td></td></tr></thead><tbody>
      ${result.examples.slice(0, 20).map((one) => html`<tr key=${one.run_id + one.step} title=${one.because}><td><a class="id" href=${href(["runs", one.run_id], { step: one.step })}>${short(one.run_id)}</a></td><td class="num">${count(one.step)}</td>
        <td><bdi>${one.node}</bdi></td><td><bdi>${one.went ?? "end"}</bdi></td><td><bdi>${one.would_go ?? "end"}</bdi></td><td><button class="small" title="Run this step again on the redrawn graph" onClick=${() => fork(one)}>Fork</button></td></tr>`)}</tbody></table>` : null}`;
}

export function Redraw({ graph, edge, onClose }) {
  const old = graph.definition.edges[edge.from][edge.index];
  const [source, setSource] = useState(old.condition ? text(old.condition, 2) : "");
  const [problem, setProblem] = useState(null);
  const [state, setState] = useState(null);
  const { value, fault } = source.trim() ? readJson(source) : { value: null };
  const prefix = `/edges/${edge.from.replaceAll("~", "~0").replaceAll("/", "~1")}/${edge.index}/condition`;
  const faults = fault ? [fault] : placed(source, problem?.errors ?? [], prefix);
  const ask = async () => {
    setProblem(null);
    try {
      const { graph_id } = await post("graph/create", redrawn(graph.definition, edge, value));
      const result = graph_id === graph.graph_id ? null : await post(`graph/${enc(graph_id)}/backtest`, { runs: { graph_id: graph.graph_id, limit: 100 } });
      setState({ graph_id, result });
    } catch (error) {
      setProblem(error);
    }
  };
  return html`<section class="redraw" aria-label="Redraw an edge">
    <header class="row"><h2><bdi>${edge.from}</bdi> → <bdi>${old.to ?? "end"}</bdi></h2><span class="grow"></span><button class="quiet" aria-label="Close" onClick=${onClose}>✕</button></header>
    <${JsonEditor} label="Condition (empty: none)" rows=${7} value=${source} faults=${faults} onInput=${(next) => (setSource(next), setProblem(null), setState(null))} />
    <p class="hint">${value ? conditionText(value) : "always true"}</p>
    <${Fault} error=${faults.length ? null : problem} />
    <div class="actions"><button class="primary" disabled=${Boolean(fault)} onClick=${ask}>Backtest the last 100 runs</button>
      ${state && state.graph_id !== graph.graph_id ? html`<a class="button" href=${href(["graphs", state.graph_id])}>Open the redrawn graph</a>` : null}</div>
    ${state && !state.result ? html`<p class="hint" role="status">That is this graph: nothing is changed.</p>` : null}
    ${state?.result ? html`<${Result} result=${state.result} id=${state.graph_id} /><p class="hint">The redrawn graph is kept as a version of its own; no run uses it unless you start or fork one there.</p>` : null}
  </section>`;
}
