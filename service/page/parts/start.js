/** Start a run: choose a graph, edit the state; faults are shown at their place. */
import { html, useEffect, useState } from "../lib/html.js";
import { enc, get, post } from "../lib/api.js";
import { short } from "../lib/format.js";
import { text } from "../lib/json.js";
import { useLoad } from "../lib/load.js";
import { go, href } from "../lib/router.js";
import { Dialog, Fault } from "./basics.js";
import { JsonEditor, placed, readJson } from "./json.js";

/** Return the tags of lines `key: value`. */
const tagsOf = (lines) =>
  Object.fromEntries(lines.split("\n").filter((line) => line.includes(":")).map((line) => {
    const at = line.indexOf(":");
    return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  }));

const LAST = new Map();

/** `like`: a run whose graph, initial state and tags are the first proposal; `graphId`: a graph alone. */
export function Start({ like, graphId, onClose }) {
  const { data: page, error: unlisted } = useLoad(() => get("graphs", { limit: 1000 }), []);
  const [chosen, setChosen] = useState(like?.graph_id ?? graphId ?? null);
  const [source, setSource] = useState(null);
  const [tags, setTags] = useState(Object.entries(like?.tags ?? {}).map(([key, value]) => `${key}: ${value}`).join("\n"));
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const graph = chosen ?? page?.items[0]?.graph_id ?? null;
  useEffect(() => {
    if (like) get(`runs/${enc(like.run_id)}/state`, { step: 0 }).then(({ state }) => setSource(text(state, 2)), setProblem);
  }, []);
  const current = source ?? (like ? "" : LAST.get(graph) ?? "{\n}");
  const { value, fault } = readJson(current || "{}");
  const errors = problem?.errors ?? [];
  const faults = fault ? [fault] : placed(current, errors.filter(({ pointer }) => pointer.startsWith("/initial_state")), "/initial_state");
  const start = async () => {
    setBusy(true);
    setProblem(null);
    try {
      const { run_id } = await post("graph/run", { graph_id: graph, initial_state: value, tags: tagsOf(tags) });
      LAST.set(graph, current);
      onClose();
      go(href(["runs", run_id]));
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  const named = (page?.items ?? []).map(({ graph_id, name, created_at }) => html`<option key=${graph_id} value=${graph_id}>${name || "unnamed"} · ${graph_id.slice(0, 8)} · ${created_at.slice(0, 10)}</option>`);
  return html`<${Dialog} wide title=${like ? `Start like ${short(like.run_id)}` : "Start a run"} onClose=${onClose}>
    ${page && !page.items.length ? html`<p class="big">This server has no graphs yet. Post one to <code>/graph/create</code>, paste one under <a href=${href(["graphs"])}>Graphs</a>, or run the demo.</p>` : html`
    <label class="field">Graph <select value=${graph} onChange=${({ target }) => setChosen(target.value)}>${named}</select></label>
    <${JsonEditor} label="Initial state" value=${current} faults=${faults} onInput=${(next) => (setSource(next), setProblem(null))} />
    <label class="field">Tags, a line each <textarea rows="2" placeholder="key: value" value=${tags} onInput=${({ target }) => setTags(target.value)}></textarea></label>`}
    <${Fault} error=${unlisted ?? (faults.length ? null : problem)} />
    <footer><button onClick=${onClose}>Cancel</button><button class="primary" disabled=${isBusy || !graph || Boolean(fault)} onClick=${start}>Start</button></footer>
  <//>`;
}
