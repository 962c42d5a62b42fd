import { Curve, END, Fault, Hint, Name, Select, asked, cellsOf, conditionText, count, edgesOfNode, endText, get, html, isNumber, namesOf, own, takenIndex, toNumber, useLoad, useMemo, useSome } from "parts";

const VISITS_MAX = 200;
const ROWS = 30;
const CURVES_MAX = 6;
export const REASONS = { condition: "its condition is true", unconditional: "no condition", no_edges: "it has no edges", none_true: "no edge was true", on_error: "the node failed for good", patch: "the state was patched" };

export function DecisionLine({ step: { node, decision } }) {
	const { to, reason, evaluated } = decision;
	const last = evaluated.at(-1);
	const tests = last?.result ? asked(last.condition, last.operands) : [];
	const said = tests.every(({ result }) => result) ? tests.map(({ text }) => text) : [conditionText(last.condition)];
	return html`<p class="decision"><${Name} of=${node ?? "patch"} /> → <${Name} of=${to} />${" "}
		<small>${reason !== "unconditional" ? REASONS[reason] : evaluated.length > 1 ? "no edge before it was true" : "its only edge"}${said.length > 0 && ": "}${said.map((one) => html`<code>${one}</code> `)}</small></p>`;
}

export function Cell({ entry, isTaken }) {
	if (!entry) return html`<td class="notasked" title="not asked">·</td>`;
	const tests = asked(entry.condition, entry.operands);
	return html`<td class=${String(entry.result)} title=${tests.map(({ comparison, text, result }) => `${conditionText(comparison)}: ${text}, ${result}`).join("\n")}>
		<span class="mark" role="img" aria-label=${String(entry.result)}>${entry.result ? "✓" : "✗"}</span>${isTaken && html`<span class="went" role="img" aria-label="taken"> →</span>`}
		${tests.map(({ text, result }) => html`<span class=${`test ${result ? "" : "no"}`}>${text}</span>`)}</td>`;
}

function curvesOf(visits) {
	const found = new Map();
	for (const { step, decision } of visits)
		for (const { condition, operands } of decision.evaluated)
			for (const { comparison, left, right } of asked(condition, operands)) {
				if (!isNumber(left) || !isNumber(right)) continue;
				const label = conditionText(comparison);
				const curve = found.get(label) ?? { label, points: [], limits: [] };
				found.set(label, curve);
				curve.points.push([step, toNumber(left)]);
				curve.limits.push([step, toNumber(right)]);
			}
	const moves = (points) => points.some(([, value]) => value !== points[0][1]);
	return [...found.values()].filter(({ points, limits }) => moves(points) || moves(limits)).slice(0, CURVES_MAX);
}

export function Decisions({ model, node, step, total, definition, stats, onStep, onNode, onMake }) {
	const { data, error } = useLoad(async () => ({ node, visits: (await get(`${model.base}/steps`, { node, before_step: total + 1, limit: VISITS_MAX })).items.sort((a, b) => b.step - a.step) }), [node, total]);
	const edges = edgesOfNode(definition, node);
	const visits = data?.node === node ? data.visits : [];
	const [rows, more] = useSome(visits, ROWS);
	const curves = useMemo(() => curvesOf(visits.toReversed()), [data]);
	const picked = visits.find((visit) => visit.step === step) ?? visits[0];
	const isTaken = (index) => stats.edges.some((edge) => edge.from === node && edge.index === index);
	const head = ({ to, title, isError }, index) => html`<th>→ <${Name} of=${endText(to)} /><small>${title || "always"}</small>
		${!isTaken(index) && html`<span class="never">never taken</span>`}
		${index !== takenIndex(definition, picked) && !isError && to !== END && html`<button class="small" title="Find the smallest change of the state that takes this edge" onClick=${() => onMake(picked, index)}>Make it true</button>`}</th>`;
	const row = (visit) => {
		const [cells, taken] = [cellsOf(definition, visit), takenIndex(definition, visit)];
		return html`<tr key=${visit.step} class=${visit.step === step && "is-at"}><th scope="row" class="num"><button class="link" onClick=${() => onStep(visit.step)}>${count(visit.step)}</button></th>${edges.map((_, at) => html`<${Cell} entry=${cells.get(at)} isTaken=${at === taken} />`)}</tr>`;
	};
	return html`<div class="decisions"><label class="inline">Node <${Select} value=${node} options=${namesOf(definition).map((name) => [name, name + (own(stats.nodes, name)?.visits ? ` ×${count(own(stats.nodes, name).visits)}` : "")])} onChange=${onNode} /></label><${Fault} error=${error} />
		${data && !visits.length && html`<${Hint}>The run has not made a step at this node.<//>`}${visits.length > 0 && !edges.length && html`<${Hint}>This node has no edges: the run ends after it.<//>`}
		${curves.length > 0 && html`<div class="curves">${curves.map((curve) => html`<${Curve} key=${curve.label} ...${curve} step=${step} onStep=${onStep} />`)}</div>`}
		${visits.length > 0 && edges.length > 0 && html`<div class="scroll" tabindex="0" role="group" aria-label="Decisions"><table class="matrix"><thead><tr><th class="num">Step</th>${edges.map(head)}</tr></thead><tbody>${rows.map(row)}</tbody></table></div>`}${more}</div>`;
}
