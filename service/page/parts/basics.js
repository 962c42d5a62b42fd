/** The smallest parts: status, times, problems, empty states, dialogs. */
import { html, useEffect, useRef, signal } from "../lib/html.js";
import { age, duration, full, now, zone } from "../lib/format.js";

const SHAPES = {
  queued: "M6 1.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9Z",
  running: "M3 1.5 10.5 6 3 10.5Z",
  waiting: "M2 1.5h8L6 6l4 4.5H2L6 6Z",
  paused: "M2.5 1.5h2.6v9H2.5ZM6.9 1.5h2.6v9H6.9Z",
  completed: "M1.2 6.4 4.6 9.8 10.8 2.6",
  failed: "M2 2l8 8M10 2l-8 8",
  cancelled: "M6 1.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9ZM2.8 9.2l6.4-6.4",
};
const FILLED = new Set(["running", "waiting", "paused"]);
export const STATUSES = Object.keys(SHAPES);
export const isOver = (status) => ["completed", "failed", "cancelled"].includes(status);

export const Status = ({ status }) => html`
  <span class=${`status s-${status}`}>
    <svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">
      <path d=${SHAPES[status]} class=${FILLED.has(status) ? "filled" : "drawn"} />
    </svg>${status}
  </span>`;

/** A moment; `ago`: as an age that moves. */
export const Time = ({ iso, ago }) =>
  iso ? html`<time dateTime=${iso} title=${full(iso)}>${ago ? age(iso) : full(iso)}</time>` : null;

/** How long a run has taken, from its start; it moves until the run is over. */
export function Elapsed({ run }) {
  if (!run.started_at) return null;
  const end = run.finished_at ? Date.parse(run.finished_at) : now.value;
  return html`<span title=${`since ${full(run.started_at)}`}>${duration(run.duration_ms && run.finished_at ? run.duration_ms : Math.max(0, end - Date.parse(run.started_at)))}</span>`;
}

/** What a run waits for, in a few words. */
export function Waiting({ wait }) {
  if (!wait) return null;
  const due = wait.due_at ? html` <time dateTime=${wait.due_at} title=${full(wait.due_at)}>${until(wait.due_at)}</time>` : null;
  const what = { signal: "signal", children: "child runs", sleep: "sleeps", backoff: "retries" }[wait.kind] ?? wait.kind;
  const more = wait.name ? html` <bdi class="name">${wait.name}</bdi>` : wait.open ? ` (${wait.open} left)` : null;
  return html`<span class="wait">${what}${more}${due}</span>`;
}
function until(iso) {
  const ms = Date.parse(iso) - now.value;
  return ms > 0 ? `in ${duration(Math.max(1000, Math.round(ms / 1000) * 1000)).replace(".0", "")}` : "now";
}

export const Tags = ({ tags }) =>
  Object.entries(tags ?? {}).map(([key, value]) => html`<span class="tag" key=${key} title=${`${key}: ${value}`}><bdi>${key}</bdi><i>:</i><bdi>${value}</bdi></span>`);

export const Fault = ({ error, retry }) =>
  error ? html`<div class="fault" role="alert">
    <span>${error.message || String(error)}</span>
    ${error.errors?.length ? html`<ul>${error.errors.slice(0, 8).map(({ pointer, message }) => html`<li><code>${pointer || "/"}</code> ${message}</li>`)}</ul>` : null}
    ${retry ? html`<button onClick=${retry}>Try again</button>` : null}
  </div>` : null;

export const Empty = ({ title, children }) => html`<div class="empty"><p class="big">${title}</p><p>${children}</p></div>`;

/** A message that goes away by itself; screen readers say it. */
export const message = signal(null);
let timer;
export function say(text) {
  message.value = text;
  clearTimeout(timer);
  timer = setTimeout(() => (message.value = null), 6000);
}

/** A modal dialog; `onClose` is called when it is closed in any way. */
export function Dialog({ title, onClose, children, wide }) {
  const ref = useRef();
  useEffect(() => {
    ref.current.showModal();
    return () => ref.current?.close();
  }, []);
  return html`<dialog ref=${ref} class=${wide ? "wide" : ""} aria-label=${title} onClose=${onClose}
      onClick=${(event) => event.target === ref.current && ref.current.close()}>
    <div class="dialog">
      <header><h2>${title}</h2><button class="quiet" aria-label="Close" onClick=${() => ref.current.close()}>✕</button></header>
      ${children}
    </div>
  </dialog>`;
}

/** A row of buttons of which one is chosen. */
export const Choice = ({ label, options, value, onChange }) => html`
  <div class="choice" role="group" aria-label=${label}>
    ${options.map(([key, text, extra]) => html`<button key=${key} aria-pressed=${key === value} onClick=${() => onChange(key)}>${text}${extra != null ? html`<span class="n">${extra}</span>` : null}</button>`)}
  </div>`;

export const Zone = () => html`<span class="zone">${zone.value}</span>`;
