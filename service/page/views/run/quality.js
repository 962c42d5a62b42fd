import { CsvTable, Hint, Table, count, head, html, isObject, rowsOf, text, toNumber, useLoad, useMemo } from "parts";

const SHOWN_BYTES = 300_000;
const RULES_SHOWN = 200;

export const isQuality = (state) => isObject(state) && Array.isArray(state.history) && Array.isArray(state.rules) && "anomaly_count" in state;

function Kinds({ history }) {
	const value = (counts, kind) => toNumber(counts?.[kind] ?? 0);
	const kinds = [...new Set(history.flatMap(({ counts }) => Object.keys(counts ?? {})))].filter((kind) => history.some(({ counts }) => value(counts, kind) > 0));
	const most = Math.max(...history.flatMap(({ counts }) => kinds.map((kind) => value(counts, kind))));
	const cell = (n) => html`<td><svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect width=${(100 * Math.log1p(n)) / Math.log1p(most)} height="8" /></svg><span class="num">${count(n)}</span></td>`;
	return kinds.length ? html`<${Table} class="kinds" head=${["Anomalies", ...history.map((_, at) => `#iteration ${at + 1}`)]}>${kinds.map((kind) => html`<tr><th scope="row">${kind.replaceAll("_", " ")}</th>${history.map(({ counts }) => cell(value(counts, kind)))}</tr>`)}<//>` : html`<p>No anomalies were found.</p>`;
}

const mendsOf = ({ values = [] }) => [...new Set(values.map(({ before, after }) => `${text(before)} → ${text(after)}`))].slice(0, 3);

function Rules({ rules }) {
	const repairs = rules.filter((rule) => rule.repairs);
	return repairs.length > 0 && html`<h2>Rules</h2><${Table} class="rules" head=${["Column", "Demand", "Mends", "Evidence"]}>${repairs.slice(0, RULES_SHOWN).map((rule) => html`<tr><td><bdi>${rule.column}</bdi></td><td>${rule.demand}</td><td>${mendsOf(rule).map((mend) => html`<div><bdi>${mend}</bdi></div>`)}</td><td class="hint">${rule.evidence}</td></tr>`)}<//>`;
}

export function Quality({ model, step, hasEnded }) {
	const { data: state } = useLoad(() => model.stateAt(step), [step]);
	const { data: changes } = useLoad(async () => hasEnded && head(`${model.base}/files/changes.csv`, SHOWN_BYTES), [hasEnded]);
	const rows = useMemo(() => (changes ? rowsOf(changes.text, ",", changes.isAll) : []), [changes]);
	if (!isQuality(state)) return html`<${Hint}>At this step the state has no results yet.<//>`;
	const facts = { rows: "row_count", "anomalies left": "anomaly_count", "cells mended": "change_count", flags: "flag_count", "rows refused": "refused_count", "stopped because": "stopped_because" };
	const shown = (value) => (typeof value === "number" ? count(value) : String(value).replaceAll("_", " "));
	return html`<div class="quality"><dl class="facts">${Object.entries(facts).map(([word, key]) => state[key] != null && html`<div><dt>${word}</dt><dd>${shown(state[key])}</dd></div>`)}</dl>
		<${Kinds} history=${state.history} /><${Rules} rules=${state.rules} />
		${rows.length > 1 && html`<h2>Before and after</h2><${Hint}>A blank is no value; an empty text is "".<//><${CsvTable} rows=${rows} label="Cells that were mended" />${!changes.isAll && html`<${Hint}>The first ${count(rows.length - 1)} changes; <code>changes.csv</code> has all.<//>`}`}</div>`;
}
