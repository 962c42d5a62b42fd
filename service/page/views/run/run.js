import { Cursor, Elapsed, Fault, Nothing, Panes, Picture, RunModel, Start, Status, Tags, Time, count, cut, edgeKey, edgesFrom, href, html, isOver, route, setQuery, short, takenIndex, useEffect, useKeys, useLoad, useMemo, useState } from "parts";
import { Children } from "./children.js";
import { Headline } from "./control.js";
import { DecisionLine, Decisions } from "./decisions.js";
import { Files } from "./files.js";
import { ForkDialog, MakeTrue } from "./fork.js";
import { Log } from "./log.js";
import { Quality, isQuality } from "./quality.js";
import { StatePane } from "./state.js";
import { Timeline } from "./timeline.js";

function Head({ run, name, link }) {
	const { run_id, status, parent, forked_from } = run;
	const at = (place) => html`<a href=${href(["runs", place.run_id], { step: place.step })}>${short(place.run_id)} step ${place.step}</a>`;
	return html`<div class="title run-title"><h1><a href=${href(["graphs", run.graph_id])}><bdi>${cut(name || "unnamed", 80)}</bdi></a> <span class="id" title=${run_id}>${short(run_id)}</span></h1><${Status} status=${status} />
		${!isOver(status) && html`<span class=${`link-state ${link}`} role="status">${link === "live" ? "connected" : "connecting…"}</span>`}
		<span class="meta"><span>created <${Time} iso=${run.created_at} /></span>${run.started_at && html`<span>${isOver(status) ? "took" : "so far"} <${Elapsed} run=${run} /></span>`}
			${parent && html`<span>child of ${at(parent)}</span>`}${forked_from && html`<span>fork of ${at(forked_from)}, <a href=${href(["compare"], { a: forked_from.run_id, b: run_id })}>compare</a></span>`}<${Tags} tags=${run.tags} /></span></div>`;
}

export function Run({ id }) {
	const model = useMemo(() => new RunModel(id), []);
	useEffect(() => {
		model.open();
		return () => model.close();
	}, []);
	const [run, error] = [model.run.value, model.error.value];
	if (run) return html`<${Loaded} model=${model} run=${run} />`;
	return error?.status === 404 ? html`<${Nothing} of="run" />` : html`<${Fault} error=${error} retry=${() => model.open()} />`;
}

function Loaded({ model, run }) {
	const [{ definition, name }, stats] = [model.graph.value, model.path.value];
	const { query } = route.value;
	const total = run.step;
	const asked = /^\d+$/.test(query.get("step")) ? Number(query.get("step")) : null;
	const step = Math.min(asked ?? total, total);
	const isLast = asked === null;
	const record = model.steps.version.value >= 0 && model.steps.get(step);
	useEffect(() => void (step && model.stepAt(step)), [step]);
	const [dialog, setDialog] = useState(null);
	const { data: last } = useLoad(() => model.stateAt(total), [total]);
	const taken = record && takenIndex(definition, record);
	const node = query.get("node") ?? record?.node ?? definition.start_node;
	const goTo = (next) => setQuery({ step: next === null ? null : Math.max(0, Math.min(total, next)) });
	const setNode = (one) => setQuery({ node: one, tab: "decisions" });
	const close = () => setDialog(null);
	const forkAfter = (at) => setDialog(html`<${ForkDialog} model=${model} step=${at} definition=${definition} onClose=${close} />`);
	const fork = () => forkAfter(step);
	const make = (visit, index) => setDialog(html`<${MakeTrue} model=${model} step=${visit} index=${index} definition=${definition} onClose=${close} onEdit=${() => forkAfter(visit.step)} />`);
	const pickEdge = ({ from, index }) => {
		const { to, on_error } = edgesFrom(definition, from)[index];
		setNode(from);
		if (record?.node === from && index !== taken && to !== null && on_error == null) make(record, index);
	};
	const shared = { model, step, total, definition, stats, onStep: goTo };
	const panes = {
		state: ["State", () => html`<${StatePane} ...${shared} onFork=${fork} />`],
		decisions: ["Decisions", () => html`<${Decisions} ...${shared} node=${node} onNode=${setNode} onMake=${make} />`],
		log: ["Log", () => html`<${Log} ...${shared} />`, count(model.lastSeq.value)],
		files: ["Files", () => html`<${Files} model=${model} step=${total} />`],
		...(isQuality(last) && { quality: ["Quality", () => html`<${Quality} model=${model} step=${step} hasEnded=${run.status === "completed"} />`] }),
	};
	useKeys({
		ArrowLeft: () => goTo(step - 1), ArrowRight: () => goTo(step + 1 < total ? step + 1 : null), Home: () => goTo(0), End: () => goTo(null),
		...Object.fromEntries(Object.keys(panes).map((key, at) => [at + 1, () => setQuery({ tab: key })])),
	});
	return html`<${Head} run=${run} name=${name} link=${model.link.value} />
		<${Headline} model=${model} onFork=${fork} onStartLike=${() => setDialog(html`<${Start} like=${run} onClose=${close} />`)} />
		<${Cursor} step=${step} total=${total} where=${step ? `step ${count(step)} of ${count(total)}` : "initial state"} onStep=${goTo}><button aria-pressed=${isLast} title="Stay at the last step (End)" onClick=${() => goTo(null)}>${isOver(run.status) ? "last" : "live"}</button><//>
		<div class="columns"><div class="left">
			<${Picture} definition=${definition} stats=${stats} current=${isLast ? run.current_node : null} status=${run.status} at=${isLast && run.current_node !== null ? null : record?.node} taken=${record && edgeKey(record.node, taken)} selected=${query.get("node")} onNode=${setNode} onEdge=${pickEdge} />
			${record && html`<${DecisionLine} step=${record} />`}
			${isLast && run.current_node !== null && html`<div class="step next"><span class="num">${count(total + 1)}</span><bdi class="who">${run.current_node}</bdi><${Status} status=${run.status} /></div>`}<${Timeline} ...${shared} /><${Children} run=${run} definition=${definition} step=${record} /></div>
		<${Panes} panes=${panes} /></div>${dialog}`;
}
