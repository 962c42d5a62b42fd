/** A JSON value as a tree, and editors of JSON text that show faults at their place. */
import { count, cut, html, isObject, isRaw, locate, mergePatch, newId, parse, plural, text, typeOf, useRef, useState } from "lib";

const LONG = 240;
const MANY = 100;

function Scalar({ value }) {
	const [isWhole, setWhole] = useState(false);
	const type = typeOf(value);
	if (type !== "string") return html`<span class=${`j-${type}`}>${isRaw(value) ? value.rawJSON : String(value)}</span>`;
	const isLong = value.length > LONG;
	return html`<span class="j-string" dir="auto">"${isWhole ? value : cut(value, LONG)}"</span>${isLong && html` <button class="more" onClick=${() => setWhole(!isWhole)}>${isWhole ? "less" : `all ${count(value.length)} characters`}</button>`}`;
}

/** A value. `marks` maps a path (its keys, each after a NUL) to added, changed or inside; what is marked is open. */
export function Json({ value, marks, path = "", open }) {
	const [isOpen, setOpen] = useState(null);
	const [shown, setShown] = useState(MANY);
	const isArray = Array.isArray(value);
	if (!isObject(value) && !isArray) return html`<${Scalar} value=${value} />`;
	const entries = Object.entries(value);
	if (!entries.length) return html`<span class="j-null">${isArray ? "[ ]" : "{ }"}</span>`;
	const unfolded = isOpen ?? (open || (marks?.has(path) && entries.length <= MANY));
	return html`<button class="fold" aria-expanded=${Boolean(unfolded)} onClick=${() => setOpen(!unfolded)}>${plural(entries.length, isArray ? "item" : "key")}</button>
		${unfolded ? html`<ul class="json">${entries.slice(0, shown).map(([key, item]) => html`<li key=${key} class=${marks?.get(`${path}\0${key}`)}><bdi class="j-key">${key}</bdi> <${Json} value=${item} marks=${marks} path=${`${path}\0${key}`} /></li>`)}
			${entries.length > shown && html`<li><button class="more" onClick=${() => setShown(shown + 500)}>${count(entries.length - shown)} more</button></li>`}</ul>` : html` <span class="peek" dir="auto">${cut(text(value), 64)}</span>`}`;
}

const NO_OBJECT = "This has to be a JSON object: { … }";

/** Return the value of a JSON text, and its faults: `[{message, start, end}]`. */
export function readJson(source, isAny) {
	try {
		const value = parse(source);
		return isAny || isObject(value) ? { value, faults: [] } : { faults: [{ message: NO_OBJECT, start: 0, end: source.length }] };
	} catch ({ message }) {
		const start = Number(/position (\d+)/.exec(message)?.[1] ?? source.length);
		return { faults: [{ message, start, end: start + 1 }] };
	}
}

/** Return the faults of a refused call that lie below `prefix` of its body, with their places in the text. */
export const placed = (source, problem, prefix) =>
	(problem?.errors ?? []).filter(({ pointer }) => pointer.startsWith(prefix)).map(({ pointer, message }) => ({ message: `${pointer}: ${message}`, ...(locate(source, pointer.slice(prefix.length)) ?? { start: 0, end: 0 }) }));

const LINE = 18;
const LINES_MAX = 2000;
const lineOf = (source, at) => source.slice(0, at).split("\n").length;

/** An editor of JSON text; a click on a fault selects its place. */
export function JsonEditor({ label, value, onInput, faults = [], rows = 12 }) {
	const [area, gutter] = [useRef(), useRef()];
	const [id] = useState(newId);
	const bad = new Set(faults.map(({ start }) => lineOf(value, start)));
	const lines = Array.from({ length: Math.min(value.split("\n").length, LINES_MAX) }, (_, at) => at + 1);
	const select = ({ start, end }) => {
		area.current.focus();
		area.current.setSelectionRange(start, end);
		area.current.scrollTop = (lineOf(value, start) - 3) * LINE;
	};
	return html`<div class="editor"><label for=${id}>${label}</label><div class="code">
		<div class="gutter" ref=${gutter} aria-hidden="true">${lines.map((line) => html`<span key=${line} class=${bad.has(line) && "bad"}>${line}</span>`)}</div>
		<textarea id=${id} ref=${area} rows=${rows} spellcheck="false" wrap="off" value=${value} aria-invalid=${faults.length > 0} onScroll=${() => (gutter.current.scrollTop = area.current.scrollTop)} onInput=${({ target }) => onInput(target.value)}></textarea></div>
		${faults.length > 0 && html`<ul class="faults" role="alert">${faults.map((fault) => html`<li><button onClick=${() => select(fault)}>line ${lineOf(value, fault.start)}</button> ${fault.message}</li>`)}</ul>`}</div>`;
}

/** Edit a state (null while it is loaded) into a patch: `{patch, isBad, hasFaults, editor}`. */
export function usePatch(state, problem, onInput) {
	const [source, setSource] = useState(null);
	const current = source ?? (state ? text(state, 2) : "");
	let { value, faults } = state ? readJson(current) : { faults: [] };
	let patch = {};
	try {
		if (value) patch = mergePatch(state, value);
	} catch ({ message }) {
		faults = [{ message, start: 0, end: 0 }];
	}
	const keys = Object.keys(patch).length;
	const all = [...faults, ...placed(current, problem, "/patch")];
	const editor = html`<${JsonEditor} label="State" value=${current} faults=${all} onInput=${(next) => (setSource(next), onInput())} />
		${keys ? html`<details class="patch"><summary>Patch of ${plural(keys, "key")}</summary><pre>${text(patch, 2)}</pre></details>` : html`<p class="hint">The state is not changed.</p>`}`;
	return { patch: keys ? { patch } : {}, isBad: !state || faults.length > 0, hasFaults: all.length > 0, editor };
}
