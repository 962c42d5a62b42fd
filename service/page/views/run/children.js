import { Elapsed, Hint, Status, Table, Where, get, href, html, isOver, own, short, useInterval, useLoad } from "parts";

const SHOWN = 100;
const starts = ({ graph = 0, graphs = 0 } = {}) => graph || graphs;

export function Children({ run, definition, step }) {
	const mayHave = Object.values(definition.nodes).some(starts);
	const { data, reload } = useLoad(async () => mayHave && get("runs", { parent_id: run.run_id, limit: SHOWN }), [run.step]);
	useInterval(reload, mayHave && !isOver(run.status) && 3000);
	if (!data || !data.items.length) return null;
	const isOfStep = step && starts(own(definition.nodes, step.node));
	return html`<details open><summary>Child runs${isOfStep ? ` of step ${step.step}` : ""}</summary>
		<${Table} head=${["Status", "Run", "#Step", "#Duration"]}>${data.items.filter(({ parent }) => !isOfStep || parent.step === step.step).map((child) => html`<tr key=${child.run_id}><td><${Status} status=${child.status} /><div class="wait"><${Where} run=${child} /></div></td><td><a data-row href=${href(["runs", child.run_id])}>${short(child.run_id)}</a></td><td class="num">${child.parent.step}</td><td class="num"><${Elapsed} run=${child} /></td></tr>`)}<//>
		${data.next_cursor && html`<${Hint}>The newest ${SHOWN}. <a href=${href(["runs"], { parent_id: run.run_id })}>All of them</a><//>`}</details>`;
}
