import { count, cut, html, isObject, locate, mergePatch, parse, plural, text, typeOf, useId, useRef, useState } from "lib";
import { Fault, useSome } from "./basics.js";

const LONG = 240;
const MANY = 100;

function Scalar({ value }) {
	const [isWhole, setWhole] = useState(false);
	const type = typeOf(value);
	if (type !== "string") return html`<span class=${`j-${type}`}>${text(value)}</span>`;
	const isLong = value.length > LONG;
	return html`<span class="j-string" dir="auto">"${isWhole ? value : cut(value, LONG)}"</span>${isLong && html` <button class="more" onClick=${() => setWhole(!isWhole)}>${isWhole ? "less" : `all ${count(value.length)} characters`}</button>`}`;
}

export function Json({ value, marks, path = "", open }) {
	const [isOpen, setOpen] = useState(null);
	const isArray = Array.isArray(value);
	const isTree = isArray || isObject(value);
	const entries = isTree ? Object.entries(value) : [];
	const [shown, more] = useSome(entries, MANY);
	if (!isTree) return html`<${Scalar} value=${value} />`;
	if (!entries.length) return html`<span class="j-null">${isArray ? "[ ]" : "{ }"}</span>`;
	const unfolded = isOpen ?? (open || (marks?.has(path) && entries.length <= MANY));
	return html`<button class="fold" aria-expanded=${Boolean(unfolded)} onClick=${() => setOpen(!unfolded)}>${plural(entries.length, isArray ? "item" : "key")}</button>
		${unfolded ? html`<ul class="json">${shown.map(([key, item]) => html`<li key=${key} class=${marks?.get(`${path}\0${key}`)}><bdi class="j-key">${key}</bdi> <${Json} value=${item} marks=${marks} path=${`${path}\0${key}`} /></li>`)}${more && html`<li>${more}</li>`}</ul>` : html` <span class="peek" dir="auto">${cut(text(value), 64)}</span>`}`;
}

/** Where a text stops being JSON; not all messages say. */
function breakOf(source) {
	let at = 0;
	for (let size = 2 ** 20; size >= 1; size /= 2) try { parse(source.slice(0, at + size)), (at += size); } catch ({ message }) { if (!/token|character/.test(message)) at += size; }
	return Math.min(at, source.length);
}

function read(source, isAny) {
	try {
		const value = parse(source);
		return isAny || isObject(value) ? { value, faults: [] } : { faults: [{ message: "This has to be a JSON object: { … }", start: 0, end: source.length }] };
	} catch ({ message }) {
		const start = Number(/position (\d+)/.exec(message)?.[1] ?? breakOf(source));
		return { faults: [{ message, start, end: start + 1 }] };
	}
}

const LINE = 18;
const LINES_MAX = 2000;
const lineOf = (source, at) => source.slice(0, at).split("\n").length;

function JsonEditor({ label, value, onInput, faults = [], rows = 12 }) {
	const [area, gutter] = [useRef(), useRef()];
	const id = useId();
	const bad = new Set(faults.map(({ start }) => lineOf(value, start)));
	const lines = Array.from({ length: Math.min(value.split("\n").length, LINES_MAX) }, (_, at) => at + 1);
	const select = ({ start, end }) => {
		area.current.focus();
		area.current.setSelectionRange(start, end);
		area.current.scrollTop = (lineOf(value, start) - 3) * LINE;
	};
	return html`<div class="editor"><label for=${id}>${label}</label><div class="code">
		<div class="gutter" ref=${gutter} aria-hidden="true">${lines.map((line) => html`<span class=${bad.has(line) && "bad"}>${line}</span>`)}</div>
		<textarea id=${id} ref=${area} rows=${rows} spellcheck="false" wrap="off" value=${value} aria-invalid=${faults.length > 0} onScroll=${() => (gutter.current.scrollTop = area.current.scrollTop)} onInput=${({ target }) => onInput(target.value)}></textarea></div>
		${faults.length > 0 && html`<div role="alert"><ul class="faults">${faults.map((fault) => html`<li><button onClick=${() => select(fault)}>line ${lineOf(value, fault.start)}</button> ${fault.message}</li>`)}</ul></div>`}</div>`;
}

export function useJson(initial, { prefix = "", isAny = false, mayBeEmpty = false, check = null, onInput = null } = {}) {
	const [typed, setTyped] = useState(null);
	const [problem, refuse] = useState(null);
	const source = typed ?? initial;
	let { value, faults } = mayBeEmpty && !source.trim() ? { faults: [] } : read(source, isAny);
	try {
		if (value !== undefined) check?.(value);
	} catch ({ message }) {
		faults = [{ message, start: 0, end: 0 }];
	}
	const refused = (problem?.errors ?? []).filter(({ pointer }) => pointer.startsWith(prefix)).map(({ pointer, message }) => ({ message: `${pointer}: ${message}`, ...(locate(source, pointer.slice(prefix.length)) ?? { start: 0, end: 0 }) }));
	const input = (next) => (setTyped(next), refuse(null), onInput?.());
	const editor = (label, rows) => html`<${JsonEditor} label=${label} rows=${rows} value=${source} faults=${[...faults, ...refused]} onInput=${input} />`;
	return { value, source, isBad: faults.length > 0, editor, refuse, fault: !refused.length && html`<${Fault} error=${problem} />` };
}

export function usePatch(state) {
	let patch = {};
	const json = useJson(state ? text(state, 2) : "", { prefix: "/patch", check: (value) => (patch = mergePatch(state, value)) });
	const keys = Object.keys(patch).length;
	const editor = state && html`${json.editor("State")}${keys ? html`<details class="patch"><summary>Patch of ${plural(keys, "key")}</summary><pre>${text(patch, 2)}</pre></details>` : html`<p class="hint">The state is not changed.</p>`}`;
	return { ...json, patch: keys ? { patch } : {}, editor };
}
