/** The decisions of a node as a matrix, and numbers that change over its visits as curves. */
import { html, useMemo, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { asked, conditionText, takenIndex } from "../../lib/conditions.js";
import { count, own, plural } from "../../lib/format.js";
import { isNumber, toNumber } from "../../lib/json.js";
import { useLoad } from "../../lib/load.js";
import { Fault } from "../../parts/basics.js";
import { Curve } from "../../parts/curve.js";

const VISITS = 200;

const WORDS = {
  condition: "its condition is true", unconditional: "nothing before it was true", no_edges: "the node has no edges",
  none_true: "no edge was true", on_error: "the node failed for good", patch: "the state was patched",
};

/** A decision in one sentence. */
export function DecisionLine({ step }) {
  const { decision, node } = step;
  const last = decision.evaluated.at(-1);
  const tests = last?.result ? asked(last.condition, last.operands).map(({ text }) => text).join(", ") : "";
  const isAlone = decision.reason === "unconditional" && decision.evaluated.length === 1;
  return html`<p class="decision"><bdi class="node">${node ?? "patch"}</bdi> → <bdi class="node">${decision.to ?? "end"}</bdi>${" "}<span class="hint">${isAlone ? "its only edge" : WORDS[decision.reason] ?? decision.reason}${tests ? ": " : ""}${tests ? html`<code>${tests}</code>` : ""}</span></p>`;
}

/** Load the newest visits of a node: the steps that it has made. */
async function loadVisits(model, node, total) {
  try {
    const { items } = await get(`${model.base}/steps`, { node, before_step: total + 1, limit: VISITS });
    return items.sort((a, b) => a.step - b.step);
  } catch (error) {
    if (error.status !== 422) throw error;
    await model.steps.want(Math.max(1, total - 1000), total);
    return [...model.steps.items.values()].filter((step) => step.node === node).sort((a, b) => a.step - b.step);
  }
}

/** Which of a decision's entries is about which of the node's edges. */
function cellsOf(edges, decision) {
  const isError = decision.reason === "on_error";
  const ordinary = edges.map((_, index) => index).filter((index) => (edges[index].on_error != null) === isError);
  const taken = takenIndex(edges, decision);
  const found = new Map(decision.evaluated.map((entry, at) => [ordinary[at], entry]));
  if (taken !== null && !found.has(taken)) found.set(taken, decision.evaluated.at(-1));
  return { found, taken };
}

function Cell({ entry, isTaken }) {
  if (!entry) return html`<td class="notasked"><span title="not asked">·</span></td>`;
  const tests = asked(entry.condition, entry.operands);
  const title = tests.map(({ comparison, text, result }) => `${conditionText(comparison)}: ${text}, ${result ?? "unlike types"}`).join("\n");
  return html`<td class=${entry.result ? "true" : "false"} title=${title || "no condition"}>
    <span class="mark" role="img" aria-label=${entry.result ? "true" : "false"}>${entry.result ? "✓" : "✗"}</span>${isTaken ? html`<span class="went" aria-label="taken"> → </span>` : null}
    ${tests.map(({ text, result }) => html`<span class=${`test ${result ? "yes" : "no"}`}>${text}</span>`)}
    ${entry.note ? html`<span class="hint">${entry.note}</span>` : null}</td>`;
}

/** Comparisons with numbers that differ over the visits: `[{label, points, limits}]`. */
function curvesOf(edges, visits) {
  const found = new Map();
  for (const visit of visits)
    for (const { condition, operands } of visit.decision.evaluated)
      for (const { comparison, left, right } of asked(condition, operands)) {
        if (!isNumber(left) || !isNumber(right)) continue;
        const label = conditionText(comparison);
        if (!found.has(label)) found.set(label, { label, points: [], limits: [] });
        found.get(label).points.push([visit.step, toNumber(left)]);
        found.get(label).limits.push([visit.step, toNumber(right)]);
      }
  const moves = ({ points, limits }) => new Set(points.map(([, value]) => value)).size > 1 || new Set(limits.map(([, value]) => value)).size > 1;
  return [...found.values()].filter(moves).slice(0, 6);
}

export function Decisions({ model, node, step, total, definition, stats, onStep, onNode, onMake }) {
  const { data, error } = useLoad(async () => (node === null ? null : { node, visits: await loadVisits(model, node, total) }), [node, total]);
  const [isAll, setAll] = useState(false);
  const edges = own(definition.edges, node) ?? [];
  const visits = data?.node === node ? data.visits : [];
  const curves = useMemo(() => curvesOf(edges, visits), [data]);
  const rows = isAll ? visits.toReversed() : visits.toReversed().slice(0, 30);
  const picked = visits.find((visit) => visit.step === step) ?? visits.at(-1);
  const taken = (index) => stats?.edges?.find((edge) => edge.from === node && edge.index === index)?.count ?? 0;
  const pickedTaken = picked && takenIndex(edges, picked.decision);
  return html`<div class="decisions">
    <label class="field inline">Node <select value=${node ?? ""} onChange=${({ target }) => onNode(target.value)}>
      ${Object.keys(definition.nodes).map((name) => html`<option key=${name} value=${name}>${name}${own(stats?.nodes, name) ? ` ×${own(stats.nodes, name).visits}` : ""}</option>`)}</select></label>
    <${Fault} error=${error} />
    ${data && !visits.length ? html`<p class="hint">The run has not made a step at this node.</p>` : null}
    ${visits.length && !edges.length ? html`<p class="hint">This node has no edges: the run ends after it.</p>` : null}
    ${curves.length ? html`<div class="curves">${curves.map((curve) => html`<${Curve} key=${curve.label} ...${curve} step=${picked?.step} onStep=${onStep} />`)}</div>` : null}
    ${visits.length && edges.length ? html`<div class="scroll" tabindex="0" role="group" aria-label="Decisions"><table class="matrix">
      <thead><tr><th class="num">Step</th>${edges.map((edge, index) => html`<th key=${index}><bdi>→ ${edge.to ?? "end"}</bdi>
        <span class="hint">${edge.on_error != null ? `on ${edge.on_error === true ? "any error" : edge.on_error.join(", ")} ` : ""}${edge.condition || edge.on_error == null ? conditionText(edge.condition) : ""}</span>
        ${stats && !taken(index) ? html`<span class="never">never taken</span>` : null}
        ${picked && index !== pickedTaken && edge.on_error == null && edge.to !== null ? html`<button class="small" title=${`Find the smallest change of the state after step ${picked.step} with which this edge is taken`} onClick=${() => onMake(picked, index)}>Make it true</button>` : null}</th>`)}</tr></thead>
      <tbody>${rows.map((visit) => {
        const { found, taken: index } = cellsOf(edges, visit.decision);
        return html`<tr key=${visit.step} class=${visit.step === step ? "is-at" : ""}><th scope="row" class="num"><button class="link" onClick=${() => onStep(visit.step)}>${count(visit.step)}</button></th>
          ${edges.map((_, at) => html`<${Cell} key=${at} entry=${found.get(at)} isTaken=${at === index} />`)}</tr>`;
      })}</tbody></table></div>
      ${visits.length > rows.length ? html`<button class="more" onClick=${() => setAll(true)}>all ${plural(visits.length, "visit")}</button>` : null}
      ${visits.length === VISITS ? html`<p class="hint">The newest ${VISITS} visits.</p>` : null}` : null}
  </div>`;
}
