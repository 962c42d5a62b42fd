import { Changes, Close, Fault, Hint, Json, Name, Quiet, Table, conditionText, copy, count, differences, enc, get, html, keysOf, pathsOf, text, useLoad, useMemo, useState } from "parts";

const readersOf = ({ edges }, key) => Object.entries(edges).flatMap(([from, list]) => list.filter(({ condition }) => pathsOf(condition).some((path) => keysOf(path)[0] === key)).map((edge) => ({ from, ...edge })));

function Blame({ model, name, step, definition, onStep, onClose }) {
	const { data, error } = useLoad(() => get(`${model.base}/keys/${enc(name)}`, { before_step: step + 1, limit: 50 }), [step]);
	const items = data?.items ?? [];
	const readers = readersOf(definition, name);
	return html`<section class="blame" aria-label=${`History of ${name}`}><header class="row"><h2><bdi>${name}</bdi></h2><i></i><${Close} onClick=${onClose} /></header><${Fault} error=${error} />
		${items.length > 0 && html`<${Table} head=${["Written by", data.next_cursor === null ? "Value" : "The newest values"]}>${items.map(({ step: at, node, value, removed }) => html`<tr key=${at}>
			<td><button class="link" onClick=${() => onStep(at)}>step ${count(at)}</button> <small>${at === 0 ? "initial state" : (node ?? "patch")}</small></td><td>${removed ? html`<span class="j-null">removed</span>` : html`<${Json} value=${value} />`}</td></tr>`)}<//>`}
		<p>${readers.length ? "Read by the edges" : "No edge reads it."}</p><ul class="plain">${readers.map(({ from, to, condition }) => html`<li><${Name} of=${from} /> → <${Name} of=${to} /> <small>${conditionText(condition)}</small></li>`)}</ul></section>`;
}

function marksOf(changes) {
	const marks = new Map();
	for (const { path, kind } of changes) {
		path.forEach((_, end) => end && marks.set(`\0${path.slice(0, end).join("\0")}`, "inside"));
		if (kind !== "removed") marks.set(`\0${path.join("\0")}`, kind);
	}
	return marks;
}

export function StatePane({ model, step, definition, onStep, onFork }) {
	const [key, setKey] = useState(null);
	const { data, error } = useLoad(async () => {
		const [after, before] = await Promise.all([model.stateAt(step), model.stateAt(Math.max(0, step - 1))]);
		return { at: step, after, changes: differences(before, after) };
	}, [step]);
	const marks = useMemo(() => marksOf(data?.changes ?? []), [data]);
	if (!data) return html`<${Fault} error=${error} />`;
	const { at, after, changes } = data;
	return html`<div class="statepane">${at > 0 && html`<h2>Step ${count(at)} changed ${!changes.length && "nothing"}</h2><${Changes} key=${at} changes=${changes} />`}
		<header class="row"><h2>${at ? `State after step ${count(at)}` : "Initial state"}</h2><i></i><${Quiet} onClick=${() => copy(text(after, 2))}>Copy<//><${Quiet} onClick=${onFork}>Fork from here…<//></header>
		${key !== null && html`<${Blame} key=${key} model=${model} name=${key} step=${step} definition=${definition} onStep=${onStep} onClose=${() => setKey(null)} />`}
		<ul class="json top">${Object.entries(after).map(([name, value]) => html`<li key=${name} class=${marks.get(`\0${name}`)}>
			<button class="j-key" title="Who wrote it, and who reads it" aria-pressed=${name === key} onClick=${() => setKey(name === key ? null : name)}><bdi>${name}</bdi></button> <${Json} value=${value} marks=${marks} path=${`\0${name}`} /></li>`)}</ul>
		${!Object.keys(after).length && html`<${Hint}>The state is empty.<//>`}</div>`;
}
