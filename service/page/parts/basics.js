import { age, count, cut, duration, full, href, html, now, route, setQuery, signal, until, useEffect, useRef, useState } from "lib";

const CIRCLE = "M6 1.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9Z";
const SHAPES = {
	queued: CIRCLE,
	running: "M3 1.5 10.5 6 3 10.5Z",
	waiting: "M2 1.5h8L6 6l4 4.5H2L6 6Z",
	paused: "M2.5 1.5h2.6v9H2.5ZM6.9 1.5h2.6v9H6.9Z",
	completed: "M1.2 6.4 4.6 9.8 10.8 2.6",
	failed: "M2 2l8 8M10 2l-8 8",
	cancelled: `${CIRCLE}M2.8 9.2l6.4-6.4`,
};
export const STATUSES = Object.keys(SHAPES);

export const Status = ({ status }) => html`<span class=${`status s-${status}`}><svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true"><path d=${SHAPES[status]} /></svg>${status}</span>`;

export const Time = ({ iso, ago }) => html`<time dateTime=${iso} title=${full(iso)}>${ago ? age(iso) : full(iso)}</time>`;

export function Elapsed({ run: { started_at, finished_at } }) {
	const end = finished_at ? Date.parse(finished_at) : now.value;
	return started_at && html`<span>${duration(Math.max(0, end - Date.parse(started_at)))}</span>`;
}

const WAITS = { signal: "signal", children: "child runs", sleep: "wakes", backoff: "retries" };
export const Waiting = ({ wait }) =>
	wait && html`<span class="wait">${WAITS[wait.kind] ?? wait.kind} ${wait.name && html`<bdi class="name">${wait.name}</bdi>`} ${wait.due_at && html`<time dateTime=${wait.due_at} title=${full(wait.due_at)}>${until(wait.due_at)}</time>`}</span>`;

export const Where = ({ run: { current_node, waiting_for, status, error } }) =>
	html`${current_node !== null && html`<${Name} of=${current_node} />`} <${Waiting} wait=${waiting_for} />${status === "failed" && html`<span class="error" title=${error?.message}>${error?.type}</span>`}`;

export function useSome(list, max) {
	const [size, setSize] = useState(max);
	const rest = list.length - size;
	return [list.slice(0, size), rest > 0 && html`<button class="more" onClick=${() => setSize(size + 500)}>${count(rest)} more</button>`];
}

export function Tags({ tags }) {
	const [shown, more] = useSome(Object.entries(tags), 12);
	return html`${shown.map(([key, value]) => html`<span class="tag" title=${`${key}: ${value}`}><bdi>${key}</bdi>: <bdi>${value}</bdi></span>`)} ${more}`;
}

export const Name = ({ of }) => html`<bdi class="node">${of ?? "end"}</bdi>`;

export const submits = (act) => (event) => (event.preventDefault(), act(Object.fromEntries(new FormData(event.target)), event.target));

export const Fault = ({ error, retry }) =>
	error && html`<div class="fault" role="alert">${error.message}${retry && html`<button onClick=${retry}>Try again</button>`}
		${error.errors?.length > 0 && html`<ul>${error.errors.slice(0, 8).map(({ pointer, message }) => html`<li><code>${pointer || "/"}</code> ${message}</li>`)}</ul>`}</div>`;

export const Empty = ({ title, children }) => html`<div class="empty"><h1>${title}</h1><p>${children}</p></div>`;
export const Nothing = ({ of }) => html`<${Empty} title=${`There is no such ${of}.`}>Look at <a href=${href(["runs"])}>the runs</a>.<//>`;
export const Hint = ({ children }) => html`<p class="hint">${children}</p>`;

export const message = signal(null);
let timer;
export function say(text) {
	message.value = cut(String(text.message ?? text), 300);
	clearTimeout(timer);
	timer = setTimeout(() => (message.value = null), 6000);
}
export const copy = (text) => navigator.clipboard.writeText(text).then(() => say("Copied."), say);

export const Quiet = ({ children, ...rest }) => html`<button type="button" class="quiet" ...${rest}>${children}</button>`;
export const Close = ({ onClick }) => html`<${Quiet} aria-label="Close" onClick=${onClick}>✕<//>`;

export function Dialog({ title, onClose, children, footer, leave = "Cancel", word, act, isBad, kind = "primary", wide }) {
	const ref = useRef();
	useEffect(() => ref.current.showModal(), []);
	return html`<dialog ref=${ref} class=${wide && "wide"} aria-label=${title} onClose=${onClose} onClick=${({ target }) => target === ref.current && onClose()}><div class="dialog">
		<header><h2>${title}</h2><${Close} onClick=${onClose} /></header>${children}
		${leave && html`<footer><button type="button" onClick=${onClose}>${leave}</button>${footer}${word && html`<button class=${kind} disabled=${isBad} onClick=${act}>${word}</button>`}</footer>`}</div></dialog>`;
}

export const Choice = ({ label, options, value, onChange }) => html`<div class="choice" role="group" aria-label=${label}>
	${options.map(([key, text, extra]) => html`<button aria-pressed=${[value].flat().includes(key)} onClick=${() => onChange(key)}>${text}${extra != null && html`<span class="n">${extra}</span>`}</button>`)}</div>`;

export function Panes({ panes }) {
	const asked = route.value.query.get("tab");
	const tab = Object.hasOwn(panes, asked) ? asked : Object.keys(panes)[0];
	return html`<div class="right"><${Choice} label="Show" options=${Object.entries(panes).map(([key, [title, , n]]) => [key, title, n])} value=${tab} onChange=${(next) => setQuery({ tab: next })} />${panes[tab][1]()}</div>`;
}

export const Select = ({ label, value, options, onChange, ...rest }) => html`<select aria-label=${label} value=${value ?? ""} onChange=${({ target }) => onChange(target.value, target)} ...${rest}>
	${options.map((one) => [one].flat()).map(([key, text = key]) => html`<option value=${key}>${text}</option>`)}</select>`;

export const Cursor = ({ step, total, where, onStep, children }) => html`<div class="cursor" role="group" aria-label="Step">
	<button aria-label="One step back" disabled=${step <= 0} onClick=${() => onStep(step - 1)}>←</button>
	<input type="range" min="0" max=${total} value=${step} aria-label="Step" aria-valuetext=${where} onInput=${({ target }) => onStep(Number(target.value))} />
	<button aria-label="One step on" disabled=${step >= total} onClick=${() => onStep(step + 1)}>→</button>
	<span class="where num">${where}</span>${children}</div>`;
