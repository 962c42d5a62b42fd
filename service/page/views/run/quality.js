/** A data quality run: anomalies by kind for each iteration, the rules, cells before and after. */
import { html, useMemo } from "../../lib/html.js";
import { head } from "../../lib/api.js";
import { rowsOf } from "../../lib/csv.js";
import { count } from "../../lib/format.js";
import { isObject, text, toNumber } from "../../lib/json.js";
import { useLoad } from "../../lib/load.js";
import { Table } from "./files.js";

export const isQuality = (state) => isObject(state) && Array.isArray(state.history) && "anomaly_count" in state && Array.isArray(state.rules);

/** Anomalies by kind: a group of bars for each kind, a bar for each iteration. */
function Kinds({ history }) {
  const kinds = [...new Set(history.flatMap(({ counts }) => Object.keys(counts ?? {})))].filter((kind) => history.some(({ counts }) => toNumber(counts?.[kind] ?? 0) > 0));
  const most = Math.max(1, ...history.flatMap(({ counts }) => kinds.map((kind) => toNumber(counts?.[kind] ?? 0))));
  const size = (value) => (value ? Math.max(1.5, 100 * (Math.log1p(value) / Math.log1p(most))) : 0);
  if (!kinds.length) return html`<p>No anomalies were found.</p>`;
  return html`<table class="kinds"><caption>Anomalies by kind and iteration <span class="hint">(bars are logarithmic)</span></caption>
    <thead><tr><th>Kind</th>${history.map((_, at) => html`<th key=${at}>${at + 1}</th>`)}</tr></thead>
    <tbody>${kinds.map((kind) => html`<tr key=${kind}><th scope="row">${kind.replaceAll("_", " ")}</th>${history.map(({ counts }, at) => {
      const value = toNumber(counts?.[kind] ?? 0);
      return html`<td key=${at}><svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect width=${size(value)} height="8" /></svg><span class="num">${count(value)}</span></td>`;
    })}</tr>`)}</tbody></table>`;
}

/** The first three different repairs of a rule. */
const mendsOf = ({ values = [] }) => [...new Set(values.map(({ before, after }) => `${text(before)} → ${text(after)}`))].slice(0, 3);

function Rules({ rules }) {
  const repairs = rules.filter(({ repairs }) => repairs);
  const others = rules.length - repairs.length;
  return html`<h2>Rules</h2><table class="rules"><thead><tr><td></td><th>Column</th><th>Demand</th><th>Mends</th><th>Evidence</th></tr></thead><tbody>
    ${repairs.slice(0, 200).map((rule) => html`<tr key=${rule.id}><td class="hint">${rule.id}</td><td><bdi>${rule.column}</bdi></td><td>${rule.demand}</td>
      <td>${mendsOf(rule).map((mend) => html`<div><bdi>${mend}</bdi></div>`)}</td>
      <td class="hint">${rule.evidence}</td></tr>`)}</tbody></table>
    ${others ? html`<p class="hint">${repairs.length ? "And " : ""}${count(others)} rules that describe the columns, in <code>schema.yaml</code> and <code>rules.sql</code>.</p>` : null}`;
}

export function Quality({ model, step, hasEnded }) {
  const { data: state } = useLoad(() => model.stateAt(step), [step]);
  const { data: changes } = useLoad(async () => (hasEnded ? head(`${model.base}/files/changes.csv`, 300_000).catch(() => null) : null), [hasEnded]);
  const rows = useMemo(() => (changes ? rowsOf(changes.text, ",", changes.isAll) : []), [changes]);
  if (!isQuality(state)) return html`<p class="hint pad">At this step the state has no results yet.</p>`;
  const fact = (name, value) => (value == null ? null : html`<div><dt>${name}</dt><dd>${typeof value === "number" ? count(value) : String(value)}</dd></div>`);
  return html`<div class="quality">
    <dl class="facts">${fact("rows", state.row_count)}${fact("anomalies left", state.anomaly_count)}${fact("cells mended", state.change_count)}${fact("flags", state.flag_count)}${fact("rows refused", state.refused_count)}${fact("stopped because", state.stopped_because?.replaceAll("_", " "))}</dl>
    <${Kinds} history=${state.history} />
    ${state.rules.length ? html`<${Rules} rules=${state.rules} />` : null}
    ${rows.length > 1 ? html`<h2>Before and after</h2><${Table} rows=${rows} label="Cells that were mended" />${changes.isAll ? null : html`<p class="hint">The first ${count(rows.length - 1)} changes; <code>changes.csv</code> has all.</p>`}` : null}
  </div>`;
}
