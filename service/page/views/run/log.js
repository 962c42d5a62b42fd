import { Close, Fault, Hint, Json, Quiet, Select, Virtual, clock, copy, count, dateTime, get, html, namesOf, say, text, useEffect, useInterval, useKeyed, useState, zone } from "parts";
import { REASONS } from "./decisions.js";

const ROW = 22;
const PAGE = 200;

const wordsOf = ({ event, message }) => (event === "step_completed" ? message.replace(/\w+(?=\)$)/, (reason) => REASONS[reason] ?? reason) : message);
const directionOf = ({ event }) => (event === "log" ? "auto" : "ltr");

function Line({ line, isAt, onPick }) {
	const { seq, ts, level, node, message, data } = line;
	const hasMore = message.includes("\n") || message.length > 80 || Object.keys(data).length > 0;
	return html`<button class=${`line l-${level} ${isAt ? "is-at" : ""}`} aria-pressed=${isAt} onClick=${() => onPick(isAt ? null : line)}><span class="num seq">${count(seq)}</span><time>${clock(ts)}</time><span class="level">${level}</span>
		<bdi class="at">${node}</bdi><span class="text" dir=${directionOf(line)}>${wordsOf(line).replaceAll("\n", " ⏎ ")}</span>${hasMore && html`<span class="has">▸</span>`}</button>`;
}

function Detail({ line, onAround, onStep, onClose }) {
	const { seq, event, ts, attempt, step, data } = line;
	return html`<section class="detail" aria-label=${`Line ${seq}`}><header class="row"><b>Line ${count(seq)}</b><small>${event.replace("_", " ")}, ${dateTime(ts)}${attempt && `, attempt ${attempt}`}</small>
		${step && html`<${Quiet} onClick=${() => onStep(step)}>Step ${step}<//>`}${onAround && html`<${Quiet} onClick=${onAround}>Lines around<//>`}<${Quiet} onClick=${() => copy(text(line, 2))}>Copy<//><${Close} onClick=${onClose} /></header>
		<pre dir=${directionOf(line)}>${wordsOf(line)}</pre>${Object.keys(data).length > 0 && html`<${Json} value=${data} open />`}</section>`;
}

function useHits(model, filter) {
	const key = JSON.stringify(filter);
	const isOn = key !== "{}";
	const [state, put] = useKeyed(key);
	const { items = [], isWhole = true, error } = state;
	const load = async (query, join) => put(await get(`${model.base}/logs`, { ...filter, limit: PAGE, ...query }).then((page) => ({ error: null, ...join(page.items.sort((a, b) => a.seq - b.seq)) }), (error) => ({ error })));
	const before = (before_seq) => load({ before_seq }, (found) => ({ items: [...found, ...(before_seq > model.lastSeq.peek() ? [] : items)], isWhole: found.length < PAGE }));
	useEffect(() => void (isOn && before(model.lastSeq.peek() + 1)), [key]);
	useInterval(() => load({ after_seq: items.at(-1)?.seq ?? 0 }, (found) => ({ items: [...items, ...found] })), isOn && state.key && model.link.value === "live" && 1000);
	return { isOn, items, isWhole, error, earlier: () => before(items[0].seq) };
}

async function download(model, last) {
	const parts = [];
	for (let after = 0; after < last; ) {
		const { items } = await get(`${model.base}/logs`, { after_seq: after, limit: 1000 });
		parts.push(items.map((line) => `${text(line)}\n`).join(""));
		after = items.at(-1)?.seq ?? last;
	}
	const url = URL.createObjectURL(new Blob(parts, { type: "application/x-ndjson" }));
	Object.assign(document.createElement("a"), { href: url, download: `run-${model.id}.jsonl` }).click();
	setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export function Log({ model, definition, onStep }) {
	const total = model.lastSeq.value;
	const { lines } = model;
	const [filter, setFilter] = useState({});
	const [picked, setPicked] = useState(null);
	const [target, setTarget] = useState(null);
	const hits = useHits(model, filter);
	const size = hits.isOn ? hits.items.length : total;
	const lineAt = (index) => (hits.isOn ? hits.items[index] : lines.version.value >= 0 && lines.get(index + 1));
	const set = (name) => (value) => setFilter(Object.fromEntries(Object.entries({ ...filter, [name]: value }).filter(([, one]) => one)));
	const row = (index) => {
		const line = lineAt(index);
		return line ? html`<${Line} line=${line} isAt=${line.seq === picked?.seq} onPick=${setPicked} />` : html`<span class="line"><span class="num seq">${count(index + 1)}</span></span>`;
	};
	const around = () => (setFilter({}), setTarget({ index: picked.seq - 1 }));
	const copyAll = () => copy(Array.from({ length: size }, (_, index) => lineAt(index)).filter(Boolean).map(({ ts, level, node, message }) => `${ts} ${level} ${node ?? ""} ${message}`).join("\n"));
	return html`<div class="logpane" style=${{ "--seq": `${count(total).length}ch` }}><div class="fields"><${Select} label="Level" value=${filter.level} options=${[["", "Any level"], ["info", "info and above"], ["warning", "warning and above"], "error"]} onChange=${set("level")} />
		<${Select} label="Node" value=${filter.node} options=${[["", "Any node"], ...namesOf(definition)]} onChange=${set("node")} /><input type="search" aria-label="Text in lines" placeholder="text" value=${filter.text ?? ""} onInput=${({ target: field }) => set("text")(field.value)} />
		<span class="tools"><${Quiet} onClick=${() => setTarget({ index: 0 })}>First line<//><${Quiet} onClick=${() => setTarget({ index: size - 1 })}>Last line<//><${Quiet} onClick=${copyAll}>Copy<//><${Quiet} onClick=${() => download(model, total).catch(say)}>Download all<//></span></div>
		<${Fault} error=${hits.error ?? lines.error.value} />${!hits.isWhole && html`<button class="more" onClick=${hits.earlier}>Earlier lines</button>`}
		${size ? html`<${Virtual} key=${hits.isOn} class="log" label="Log lines" count=${size} height=${ROW} rowsMax=${20} follow="end" target=${target} render=${row} onRange=${(first, last) => hits.isOn || lines.want(first + 1, last + 1)} />` : html`<${Hint}>${hits.isOn ? "No line matches." : "No lines yet."}<//>`}
		${picked && html`<${Detail} line=${picked} onAround=${hits.isOn && around} onStep=${onStep} onClose=${() => setPicked(null)} />`}
		<${Hint}>${hits.isOn && `${count(size)} of `}${count(total)} lines, times in ${zone()}${{ live: ", live", connecting: ", connecting…" }[model.link.value]}<//></div>`;
}
