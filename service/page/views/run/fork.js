import { Changes, Dialog, Fault, Name, Select, conditionText, edgesFrom, go, href, html, namesOf, post, solve, useLoad, useMemo, usePatch, useState } from "parts";

async function fork(model, body, onClose) {
	const { run_id } = await post(`${model.base}/fork`, body);
	onClose();
	go(href(["runs", run_id]));
}

export function ForkDialog({ model, step, definition, onClose }) {
	const { data, error } = useLoad(async () => ({ state: await model.stateAt(step), record: await model.stepAt(step) }), [step]);
	const [node, setNode] = useState(null);
	const { patch, isBad, editor, refuse, fault } = usePatch(data?.state);
	const went = step === 0 ? definition.start_node : data?.record?.decision.to;
	const start = node ?? went;
	const submit = () => fork(model, { step, ...patch, ...(start !== went && { node: start }) }, onClose).catch(refuse);
	const options = namesOf(definition).map((name) => [name, name + (name === went ? " (as this run did)" : "")]);
	return html`<${Dialog} wide title=${step ? `Fork after step ${step}` : "Fork from the initial state"} onClose=${onClose} word="Fork" act=${submit} isBad=${isBad || !start}>
		<p class="hint">A new run begins with this state. This run stays as it is.</p>
		<label class="field">Goes on at <${Select} value=${start} options=${went ? options : [["", "choose a node: this step ended the run"], ...options]} onChange=${setNode} /></label>
		${editor}<${Fault} error=${error} />${fault}<//>`;
}

export function MakeTrue({ model, step, index, definition, onClose, onEdit }) {
	const edges = edgesFrom(definition, step.node);
	const { to, condition } = edges[index];
	const { data: state, error } = useLoad(() => model.stateAt(step.step), [step.step]);
	const found = useMemo(() => state && solve(edges, index, state), [state]);
	const [problem, setProblem] = useState(null);
	const submit = () => fork(model, { step: step.step, node: to, ...(found.changes.length && { patch: found.patch }) }, onClose).catch(setProblem);
	return html`<${Dialog} wide title="Make it true" onClose=${onClose} footer=${html`<button onClick=${onEdit}>Edit by hand…</button>`} word=${`Fork to ${to}`} act=${submit} isBad=${!found}>
		<p>At step ${step.step}, <${Name} of=${step.node} /> did not go to <${Name} of=${to} />. It goes there when ${condition && html`<code>${conditionText(condition)}</code>`}${condition && index > 0 && " and "}${index > 0 && "no edge before it is true"}.</p>
		${found && html`<h2>${found.changes.length ? "The smallest change that was found" : "The state needs no change"}</h2><${Changes} changes=${found.changes} />`}
		${state && !found && html`<p class="notice">No change was found that makes it true. Edit the state by hand.</p>`}<${Fault} error=${error ?? problem} /><//>`;
}
