import { Changes, Cursor, Fault, Hint, Name, Picture, Status, cachedGraph, count, differences, edgeKey, edgesFrom, enc, get, go, href, html, route, same, setQuery, short, submits, takenIndex, useKeys, useLoad, useMemo } from "parts";
import { Cell, DecisionLine } from "./run/decisions.js";

const STEPS_MAX = 5000;

async function load(id) {
	const run = await get(`runs/${enc(id)}`);
	const steps = [];
	for (let after = 0; after !== null && steps.length < STEPS_MAX; ) {
		const page = await get(`runs/${enc(id)}/steps`, { after_step: after, limit: 500 });
		steps.push(...page.items);
		after = page.next_cursor;
	}
	return { run, steps, graph: await cachedGraph(run.graph_id) };
}

const offsets = (...pair) => pair.map(({ run }, at) => {
	const other = pair[1 - at].run.forked_from;
	return other?.run_id === run.run_id ? other.step : 0;
});

function parting(a, b, shift, length) {
	const rows = Array.from({ length }, (_, row) => [a.steps[shift[0] + row], b.steps[shift[1] + row]]);
	const went = rows.findIndex(([one, other]) => one?.node !== other?.node || one.decision.to !== other.decision.to);
	const found = went >= 0 ? went : rows.findIndex(([one, other]) => !same(one.changes, other.changes));
	return found < 0 ? null : found + 1;
}

const keyOf = (a, { graph }, step) => step && edgeKey(step.node, graph === a.graph ? takenIndex(graph.definition, step) : edgesFrom(a.graph.definition, step.node).findIndex(({ to }) => to === step.decision.to));

function tonesOf(...pair) {
	const [ofA, ofB] = pair.map((side) => new Set(side.steps.map((step) => keyOf(pair[0], side, step))));
	const stats = { edges: [], nodes: Object.fromEntries(pair.flatMap(({ steps }) => steps).map(({ node }) => [node, {}])) };
	return { stats, tones: new Map([...ofA, ...ofB].map((key) => [key, !ofB.has(key) ? "only-a" : ofA.has(key) ? "both" : "only-b"])) };
}

function Side({ letter, side: { run, steps, graph }, step }) {
	const record = steps[step - 1];
	return html`<section class=${`side side-${letter}`}><h2>${letter.toUpperCase()} <a href=${href(["runs", run.run_id], { step })}>${short(run.run_id)}</a> <bdi>${graph.name}</bdi> <${Status} status=${run.status} /></h2>
		<${Hint}>${step ? `step ${count(step)} of ${count(steps.length)}` : "initial state"}<//>
		${record && html`<${DecisionLine} step=${record} /><table class="matrix"><tbody>${record.decision.evaluated.map((entry) => html`<tr><th scope="row">→ <${Name} of=${entry.to} /></th><${Cell} entry=${entry} /></tr>`)}</tbody></table>`}</section>`;
}

function Choose({ a, b, error }) {
	const submit = submits((ids) => go(href(["compare"], ids)));
	const { data } = useLoad(() => get("runs"), []);
	const field = (name, value) => html`<label class="field">Run ${name.toUpperCase()}, its id <input name=${name} list="runs" required defaultValue=${value} /></label>`;
	return html`<div class="title"><h1>Compare two runs</h1></div><form class="choose" onSubmit=${submit}>${field("a", a)}${field("b", b)}<button class="primary">Compare</button><datalist id="runs">${data?.items.map(({ run_id, graph_name, status }) => html`<option value=${run_id}>${graph_name}, ${status}</option>`)}</datalist></form><${Fault} error=${error} />`;
}

function Compared({ a, b }) {
	const shift = offsets(a, b);
	const length = Math.max(a.steps.length - shift[0], b.steps.length - shift[1]);
	const { first, stats, tones } = useMemo(() => ({ first: parting(a, b, shift, length), ...tonesOf(a, b) }), [a, b]);
	const given = route.value.query.get("step");
	const row = Math.max(0, Math.min(length, given === null ? (first ?? length) : Number(given) || 0));
	const steps = [a, b].map((side, at) => Math.min(side.steps.length, row + shift[at]));
	const { data: states, error } = useLoad(() => Promise.all([a, b].map(({ run }, at) => get(`runs/${run.run_id}/state`, { step: steps[at] }))), steps);
	const goTo = (next) => setQuery({ step: Math.max(0, Math.min(length, next)) });
	useKeys({ ArrowLeft: () => goTo(row - 1), ArrowRight: () => goTo(row + 1) });
	const changes = states ? differences(states[0].state, states[1].state) : [];
	const records = [a, b].map((side, at) => side.steps[row + shift[at] - 1]);
	const [ofA, ofB] = [a, b].map((side, at) => keyOf(a, side, records[at]));
	const shown = row !== first || !ofA || !ofB || ofA === ofB ? tones : new Map([...tones, [ofA, "only-a"], [ofB, "only-b"]]);
	const word = shown === tones ? " alone" : " here";
	const fork = shift[0] || shift[1];
	return html`<div class="title"><h1>Compare</h1><span class="meta">${fork > 0 && `They share all up to the fork after step ${count(fork)}. `}${first === null ? "The two runs go the same way." : `They part at row ${count(first)}.`}</span></div>
		<${Cursor} step=${row} total=${length} where=${`row ${count(row)} of ${count(length)}`} onStep=${goTo}>${first !== null && html`<button aria-pressed=${row === first} onClick=${() => goTo(first)}>where they part</button>`}<//>
		${[a, b].some(({ run, steps }) => run.step > steps.length) && html`<p class="notice">Only the first ${count(STEPS_MAX)} steps of a run are compared.</p>`}
		<div class="columns"><div class="left"><${Picture} definition=${a.graph.definition} stats=${stats} tones=${shown} at=${records[0]?.node} selected=${records[1]?.node} />
			<p class="legend"><span class="key both">both</span><span class="key only-a">A${word}</span><span class="key only-b">B${word}</span><span class="key">neither</span></p>
			${a.run.graph_id !== b.run.graph_id && html`<p class="notice">B runs on another graph; the picture is A's.</p>`}</div>
		<div class="right"><div class="sides"><${Side} letter="a" side=${a} step=${steps[0]} /><${Side} letter="b" side=${b} step=${steps[1]} /></div>
			<h2>State of A → state of B</h2><${Fault} error=${error} />${states && !changes.length && html`<${Hint}>The states are equal.<//>`}<${Changes} key=${row} changes=${changes} /></div></div>`;
}

export function Compare() {
	const [a, b] = ["a", "b"].map((name) => route.value.query.get(name)?.trim());
	const { data, error } = useLoad(async () => (a && b ? { key: a + b, sides: await Promise.all([load(a), load(b)]) } : null), [a, b]);
	if (!a || !b || error) return html`<${Choose} a=${a} b=${b} error=${error} />`;
	return data?.key === a + b && html`<${Compared} a=${data.sides[0]} b=${data.sides[1]} />`;
}
