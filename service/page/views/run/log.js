/** The lines of a run, live: all of them by scrolling, or those that a filter finds. */
import { html, useEffect, useMemo, useRef, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { clock, count, full, zone } from "../../lib/format.js";
import { text } from "../../lib/json.js";
import { Fault, say } from "../../parts/basics.js";
import { Json } from "../../parts/json.js";
import { Virtual } from "../../parts/virtual.js";

const ROW = 22;
const PAGE = 200;
const LEVELS = ["debug", "info", "warning", "error"];

function Line({ line, isAt, onPick }) {
  const more = line.message.includes("\n") || Object.keys(line.data).length > 0;
  return html`<button class=${`line l-${line.level} ${isAt ? "is-at" : ""}`} aria-pressed=${isAt} onClick=${() => onPick(isAt ? null : line.seq)}>
    <span class="num seq">${count(line.seq)}</span><time dateTime=${line.ts}>${clock(line.ts)}</time><span class="level">${line.level}</span>
    <bdi class="at">${line.node ?? ""}</bdi><span class="text" dir="auto">${line.message.replaceAll("\n", " ⏎ ")}</span>${more ? html`<span class="has" title="has data or several lines">…</span>` : null}
  </button>`;
}

function Detail({ line, onAround, onStep, onClose }) {
  const copy = () => navigator.clipboard.writeText(text(line, 2)).then(() => say("Copied."));
  return html`<section class="detail" aria-label=${`Line ${line.seq}`}>
    <header class="row"><b>Line ${count(line.seq)}</b> <span class="hint">${line.event}, ${full(line.ts)}${line.attempt ? `, attempt ${line.attempt}` : ""}</span><span class="grow"></span>
      ${line.step ? html`<button class="quiet" onClick=${() => onStep(line.step)}>Step ${line.step}</button>` : null}
      ${onAround ? html`<button class="quiet" onClick=${onAround}>Lines around</button>` : null}
      <button class="quiet" onClick=${copy}>Copy</button><button class="quiet" aria-label="Close" onClick=${onClose}>✕</button></header>
    <pre dir="auto">${line.message}</pre>
    ${Object.keys(line.data).length ? html`<${Json} value=${line.data} open />` : null}
  </section>`;
}

/** The lines that a filter finds, the newest page first; live ones are added as they come. */
function useHits(model, filter, lastSeq) {
  const key = JSON.stringify(filter);
  const [state, set] = useState({ key: null, items: [], isWhole: false, error: null });
  const mine = useRef();
  mine.current = key;
  const load = async (before) => {
    try {
      const { items } = await get(`${model.base}/logs`, { ...filter, before_seq: before, limit: PAGE });
      const sorted = items.sort((a, b) => a.seq - b.seq);
      if (mine.current === key) set((old) => ({ key, items: old.key === key && before ? [...sorted, ...old.items] : sorted, isWhole: items.length < PAGE, upTo: before ? old.upTo : model.lastSeq.peek(), error: null }));
    } catch (error) {
      if (mine.current === key) set({ key, items: [], isWhole: true, error });
    }
  };
  const isOn = Object.keys(filter).length > 0;
  useEffect(() => void (isOn && load(model.lastSeq.peek() + 1)), [key]);
  useEffect(() => {
    if (!isOn || state.key !== key || state.upTo === undefined || lastSeq <= state.upTo) return;
    const fits = (line) => line && (!filter.level || LEVELS.indexOf(line.level) >= LEVELS.indexOf(filter.level)) && (!filter.node || line.node === filter.node) && (!filter.text || line.message.includes(filter.text));
    const fresh = [];
    for (let seq = Math.max(state.upTo + 1, lastSeq - 5000); seq <= lastSeq; seq++) if (fits(model.lines.get(seq))) fresh.push(model.lines.get(seq));
    set((old) => ({ ...old, items: [...old.items, ...fresh], upTo: lastSeq }));
  }, [lastSeq, key]);
  return { ...state, isOn, items: state.key === key ? state.items : [], earlier: () => load(state.items[0]?.seq) };
}

async function download(model, last) {
  const parts = [];
  for (let after = 0; after < last; ) {
    const { items } = await get(`${model.base}/logs`, { after_seq: after, limit: 1000 });
    if (!items.length) break;
    parts.push(items.map((line) => text(line)).join("\n"), "\n");
    after = items.at(-1).seq;
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type: "application/x-ndjson" }));
  link.download = `run-${model.id}.jsonl`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export function Log({ model, definition, onStep }) {
  const total = model.lastSeq.value;
  const version = model.lines.version.value;
  const [filter, setFilter] = useState({});
  const [picked, setPicked] = useState(null);
  const [target, setTarget] = useState(null);
  const hits = useHits(model, filter, total);
  const list = useMemo(() => ({ get: (index) => (hits.isOn ? hits.items[index] : model.lines.get(index + 1)), count: hits.isOn ? hits.items.length : total }), [hits.isOn, hits.items, total, version]);
  const set = (name, value) => setFilter(Object.fromEntries(Object.entries({ ...filter, [name]: value }).filter(([, one]) => one)));
  const row = (index) => {
    const line = list.get(index);
    return line ? html`<${Line} line=${line} isAt=${line.seq === picked} onPick=${setPicked} />` : html`<span class="line loading"><span class="num seq">${count(index + 1)}</span></span>`;
  };
  const line = picked && (model.lines.get(picked) ?? hits.items.find(({ seq }) => seq === picked));
  const around = () => (setFilter({}), setTarget({ index: picked - 1 }));
  const copy = () => {
    const shown = Array.from({ length: list.count }, (_, index) => list.get(index)).filter(Boolean);
    navigator.clipboard.writeText(shown.map((one) => `${one.ts} ${one.level} ${one.node ?? ""} ${one.message}`).join("\n")).then(() => say(`${count(shown.length)} lines copied.`));
  };
  return html`<div class="logpane">
    <div class="fields">
      <select aria-label="Level" value=${filter.level ?? ""} onChange=${({ target: field }) => set("level", field.value)}><option value="">Any level</option>${LEVELS.slice(1).map((level) => html`<option value=${level}>${level}${level === "error" ? "" : " and above"}</option>`)}</select>
      <select aria-label="Node" value=${filter.node ?? ""} onChange=${({ target: field }) => set("node", field.value)}><option value="">Any node</option>${Object.keys(definition.nodes).map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select>
      <input type="search" aria-label="Text in lines" placeholder="text" value=${filter.text ?? ""} onChange=${({ target: field }) => set("text", field.value)} />
      <span class="grow"></span>
      <span class="tools"><button class="quiet" onClick=${() => setTarget({ index: 0 })}>Start</button><button class="quiet" onClick=${() => setTarget({ index: list.count - 1 })}>End</button>
      <button class="quiet" onClick=${copy}>Copy</button><button class="quiet" onClick=${() => download(model, total).catch((error) => say(error.message))}>Download all</button></span>
    </div>
    <${Fault} error=${hits.isOn ? hits.error : model.lines.error.value} />
    ${hits.isOn && !hits.isWhole ? html`<button class="more" onClick=${hits.earlier}>Earlier lines</button>` : null}
    ${list.count ? html`<${Virtual} key=${hits.isOn} class="log" label="Log lines" count=${list.count} height=${ROW} rowsMax=${20} follow="end" target=${target} render=${row} onRange=${hits.isOn ? null : (first, last) => model.lines.want(first + 1, last + 1)} />` : html`<p class="hint pad">${hits.isOn ? "No line matches." : "No lines yet."}</p>`}
    ${line ? html`<${Detail} line=${line} onAround=${hits.isOn ? around : null} onStep=${onStep} onClose=${() => setPicked(null)} />` : null}
    <p class="hint">${hits.isOn ? `${count(list.count)} of ` : ""}${count(total)} lines, times in ${zone.value}${model.link.value === "live" ? ", live" : model.link.value === "connecting" ? ", connecting…" : ""}</p>
  </div>`;
}
