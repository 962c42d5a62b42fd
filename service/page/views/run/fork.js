/** Forks: from a step with an edited state, or onto an edge that was not taken. */
import { html, useMemo, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { conditionText } from "../../lib/conditions.js";
import { own } from "../../lib/format.js";
import { mergePatch, text } from "../../lib/json.js";
import { useLoad } from "../../lib/load.js";
import { go, href } from "../../lib/router.js";
import { solve } from "../../lib/solve.js";
import { Dialog, Fault } from "../../parts/basics.js";
import { JsonEditor, placed, readJson } from "../../parts/json.js";
import { Changes } from "./state.js";

/** What a merge patch does, as JSON, or `none` where it does nothing. */
export const PatchPreview = ({ patch, none }) =>
  patch && Object.keys(patch).length
    ? html`<details class="patch"><summary>Patch of ${Object.keys(patch).length} ${Object.keys(patch).length === 1 ? "key" : "keys"}</summary><pre>${text(patch, 2)}</pre></details>`
    : html`<p class="hint">${none}</p>`;

async function fork(model, body, onClose) {
  const { run_id } = await post(`${model.base}/fork`, body);
  onClose();
  go(href(["runs", run_id]));
}

/** Load a step's record; null for the initial state. */
const stepOf = async (model, step) => {
  if (!step) return null;
  await model.steps.want(step, step);
  return model.steps.get(step);
};

export function ForkDialog({ model, step, definition, onClose }) {
  const { data, error } = useLoad(async () => ({ state: await model.stateAt(step), record: await stepOf(model, step) }), [step]);
  const [source, setSource] = useState(null);
  const [node, setNode] = useState(null);
  const [problem, setProblem] = useState(null);
  const went = step === 0 ? definition.start_node : data?.record?.decision.to;
  const start = node ?? went ?? "";
  const current = source ?? (data ? text(data.state, 2) : "");
  const { value, fault } = data ? readJson(current) : {};
  let patch = null, refusal = fault;
  try {
    if (value) patch = mergePatch(data.state, value);
  } catch (reason) {
    refusal = { message: reason.message, start: 0, end: 0 };
  }
  const faults = refusal ? [refusal] : placed(current, (problem?.errors ?? []).filter(({ pointer }) => pointer.startsWith("/patch")), "/patch");
  const body = { step, ...(patch && Object.keys(patch).length ? { patch } : {}), ...(start && start !== went ? { node: start } : {}) };
  return html`<${Dialog} wide title=${step ? `Fork after step ${step}` : "Fork from the initial state"} onClose=${onClose}>
    <p class="hint">A new run begins with this state. This run stays as it is.</p>
    <label class="field">Goes on at <select value=${start} onChange=${({ target }) => setNode(target.value)}>
      ${went ? null : html`<option value="">choose a node: this step ended the run</option>`}
      ${Object.keys(definition.nodes).map((name) => html`<option key=${name} value=${name}>${name}${name === went ? " (as this run did)" : ""}</option>`)}</select></label>
    <${JsonEditor} label="State" value=${current} faults=${faults} onInput=${(next) => (setSource(next), setProblem(null))} />
    <${PatchPreview} patch=${patch} none="The state is not changed." />
    <${Fault} error=${error ?? (faults.length ? null : problem)} />
    <footer><button onClick=${onClose}>Cancel</button><button class="primary" disabled=${Boolean(refusal) || !data || !start} onClick=${() => fork(model, body, onClose).catch(setProblem)}>Fork</button></footer>
  <//>`;
}

/** Make it true: fork onto edge `index` of the step's node, with the smallest change that takes it there. */
export function MakeTrue({ model, step, index, definition, onClose, onEdit }) {
  const edges = own(definition.edges, step.node) ?? [];
  const edge = edges[index];
  const { data: state, error } = useLoad(() => model.stateAt(step.step), [step.step]);
  const found = useMemo(() => state && solve(edges, index, state), [state]);
  const [problem, setProblem] = useState(null);
  const patched = found && Object.keys(found.patch).length > 0;
  const body = { step: step.step, node: edge.to, ...(patched ? { patch: found.patch } : {}) };
  return html`<${Dialog} wide title="Make it true" onClose=${onClose}>
    <p>At step ${step.step}, <bdi class="node">${step.node}</bdi> did not go to <bdi class="node">${edge.to}</bdi>. It goes there ${edge.condition ? html`when <code>${conditionText(edge.condition)}</code>` : "when no edge before it is true"}${index > 0 ? ", and no edge before it is" : ""}.</p>
    ${found ? html`<h2>${found.changes.length ? "The smallest change that was found" : "The state needs no change"}</h2><${Changes} changes=${found.changes} />` : null}
    ${state && !found ? html`<p class="notice">No change was found that makes it true. You can edit the state by hand.</p>` : null}
    <${Fault} error=${error ?? problem} />
    <footer><button onClick=${onClose}>Cancel</button><button onClick=${onEdit}>Edit by hand…</button>
      <button class="primary" disabled=${!found} onClick=${() => fork(model, body, onClose).catch(setProblem)}>Fork to ${edge.to}</button></footer>
  <//>`;
}
