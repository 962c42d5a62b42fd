import { Close, Hint, Name, Table, conditionText, count, go, href, html, plural, post, say, short, text, useJson, useState } from "parts";

const RUNS = 100;

function redrawn(definition, { from, index }, condition) {
	const { condition: _, ...rest } = definition.edges[from][index];
	const edges = definition.edges[from].with(index, condition ? { ...rest, condition } : rest);
	return { ...definition, edges: Object.fromEntries([...Object.entries(definition.edges), [from, edges]]) };
}

function Result({ result: { runs, steps, diverging_runs: elsewhere, examples }, id }) {
	const fork = ({ run_id, step }) => post(`runs/${run_id}/fork`, { step: step - 1, graph_id: id }).then((made) => go(href(["runs", made.run_id])), say);
	return html`<p class="big" role="status">${elsewhere ? `${count(elsewhere)} of ${plural(runs, "run")} would have gone elsewhere.` : `All of ${plural(runs, "run")} (${plural(steps, "step")}) would have gone the same way.`}</p>
		${examples.length > 0 && html`<${Table} head=${["Run", "#Step", "At", "Went", "Would go", ""]}>${examples.filter(({ run_id }, at) => run_id !== examples[at - 1]?.run_id).slice(0, 20).map((one) => html`<tr title=${one.because}><td><a class="id" href=${href(["runs", one.run_id], { step: one.step })}>${short(one.run_id)}</a></td><td class="num">${count(one.step)}</td>
			<td><${Name} of=${one.node} /></td><td><${Name} of=${one.went} /></td><td><${Name} of=${one.would_go} /></td><td><button class="small" title="Run this step again on the redrawn graph" onClick=${() => fork(one)}>Fork</button></td></tr>`)}<//>`}
		<${Hint}>The redrawn graph is kept as a version of its own, which no run uses unless you start or fork one.<//>`;
}

export function Redraw({ graph: { graph_id: old, definition }, edge, onClose }) {
	const { from, index } = edge;
	const { to, condition } = definition.edges[from][index];
	const [state, setState] = useState(null);
	const prefix = `/edges/${from.replaceAll("~", "~0").replaceAll("/", "~1")}/${index}/condition`;
	const { value, isBad, editor, refuse, fault } = useJson(condition ? text(condition, 2) : "", { prefix, mayBeEmpty: true, onInput: () => setState(null) });
	const ask = async () => {
		try {
			const { graph_id: id } = await post("graph/create", redrawn(definition, edge, value));
			setState({ id, result: id !== old && (await post(`graph/${id}/backtest`, { runs: { graph_id: old, limit: RUNS } })) });
		} catch (refusal) {
			refuse(refusal);
		}
	};
	return html`<section class="redraw" aria-label="Redraw an edge"><header class="row"><h2><${Name} of=${from} /> → <${Name} of=${to} /></h2><i></i><${Close} onClick=${onClose} /></header>
		${editor("Condition (empty: none)", 7)}
		<${Hint}>${!isBad && (value ? conditionText(value) : "always true")}<//>${fault}
		<div class="actions"><button class="primary" disabled=${isBad} onClick=${ask}>Backtest the last ${RUNS} runs</button>${state?.result && html`<a class="button" href=${href(["graphs", state.id])}>Open the redrawn graph</a>`}</div>
		${state && (state.result ? html`<${Result} ...${state} />` : html`<${Hint}>That is this graph: nothing is changed.<//>`)}</section>`;
}
