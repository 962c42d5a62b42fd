/** A JSON value as a tree, and an editor of JSON text that shows faults at their place. */
import { html, useRef, useState, newId } from "../lib/html.js";
import { isRaw, isObject, locate, parse, text, typeOf } from "../lib/json.js";
import { count, plural } from "../lib/format.js";

const LONG = 240;
const MANY = 100;

function Scalar({ value }) {
  const [isWhole, setWhole] = useState(false);
  const type = typeOf(value);
  if (type !== "string") return html`<span class=${`j-${type}`}>${isRaw(value) ? value.rawJSON : String(value)}</span>`;
  const isCut = value.length > LONG && !isWhole;
  return html`<span class="j-string" dir="auto">"${isCut ? value.slice(0, LONG) : value}${isCut ? "…" : ""}"</span>${
    value.length > LONG ? html` <button class="more" onClick=${() => setWhole(!isWhole)}>${isWhole ? "less" : `all ${count(value.length)} characters`}</button>` : null}`;
}

const sizeOf = (value) => (Array.isArray(value) ? plural(value.length, "item") : plural(Object.keys(value).length, "key"));

function peek(value) {
  const source = text(value);
  return source.length > 64 ? `${source.slice(0, 62)}…` : source;
}

/** A value. `marks` maps a path (its keys joined by NUL) to added, changed or inside; what is marked is open. */
export function Json({ value, marks, path = "", depth = 0, open = depth < 1 }) {
  const [isOpen, setOpen] = useState(null);
  const [shown, setShown] = useState(MANY);
  if (!isObject(value) && !Array.isArray(value)) return html`<${Scalar} value=${value} />`;
  const entries = Array.isArray(value) ? value.map((item, index) => [String(index), item]) : Object.entries(value);
  if (!entries.length) return html`<span class="j-null">${Array.isArray(value) ? "[ ]" : "{ }"}</span>`;
  const unfolded = isOpen ?? (open || (marks?.has(path) && entries.length <= MANY));
  return html`
    <button class="fold" aria-expanded=${unfolded} onClick=${() => setOpen(!unfolded)}>${sizeOf(value)}</button>
    ${unfolded
      ? html`<ul class="json">
          ${entries.slice(0, shown).map(([key, item]) => {
            const inner = `${path}\0${key}`;
            return html`<li key=${key} class=${marks?.get(inner) ?? ""}><bdi class="j-key">${key}</bdi> <${Json} value=${item} marks=${marks} path=${inner} depth=${depth + 1} /></li>`;
          })}
          ${entries.length > shown ? html`<li><button class="more" onClick=${() => setShown(shown + 500)}>${count(entries.length - shown)} more</button></li>` : null}
        </ul>`
      : html` <span class="peek" dir="auto">${peek(value)}</span>`}`;
}

/** Return `{value}` of a JSON text, or `{fault: {message, start, end}}`. */
export function readJson(source, { needsObject = true } = {}) {
  try {
    const value = parse(source);
    if (needsObject && !isObject(value)) return { fault: { message: "This has to be a JSON object: { … }", start: 0, end: source.length } };
    return { value };
  } catch (error) {
    const position = Number(/position (\d+)/.exec(error.message)?.[1] ?? (/end of|unterminated/i.test(error.message) ? source.length : 0));
    return { fault: { message: error.message.replace(/^JSON\.parse: /, ""), start: position, end: position + 1 } };
  }
}

/** Return the faults of a refused call that lie below `prefix` of its body, with their places in the text. */
export const placed = (source, errors, prefix) =>
  errors.map(({ pointer, message }) => ({
    message: `${pointer}: ${message}`,
    ...(locate(source, pointer.startsWith(prefix) ? pointer.slice(prefix.length) : "") ?? { start: 0, end: 0 }),
  }));

const lineOf = (source, at) => source.slice(0, at).split("\n").length;

/** An editor of JSON text. `faults` are `[{message, start, end}]`; a click on one selects its place. */
export function JsonEditor({ label, value, onInput, faults = [], rows = 12 }) {
  const area = useRef();
  const [id] = useState(newId);
  const gutter = useRef();
  const lines = value.split("\n").length;
  const bad = new Set(faults.map(({ start }) => lineOf(value, start)));
  const select = ({ start, end }) => {
    area.current.focus();
    area.current.setSelectionRange(start, end);
    area.current.scrollTop = (lineOf(value, start) - 3) * 18;
  };
  return html`<div class="editor">
    <label for=${id}>${label}</label>
    <div class="code">
      <div class="gutter" ref=${gutter} aria-hidden="true">${Array.from({ length: Math.min(lines, 2000) }, (_, n) => html`<span key=${n} class=${bad.has(n + 1) ? "bad" : ""}>${n + 1}</span>`)}</div>
      <textarea id=${id} ref=${area} rows=${rows} spellcheck="false" autocomplete="off" wrap="off" value=${value} aria-invalid=${faults.length > 0}
        onScroll=${() => (gutter.current.scrollTop = area.current.scrollTop)} onInput=${(event) => onInput(event.target.value)}></textarea>
    </div>
    ${faults.length ? html`<ul class="faults" role="alert">${faults.map((fault) => html`<li><button onClick=${() => select(fault)}>line ${lineOf(value, fault.start)}</button> ${fault.message}</li>`)}</ul>` : null}
  </div>`;
}
