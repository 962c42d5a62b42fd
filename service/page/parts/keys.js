/** Keyboard: one table of shortcuts, and the dialog that shows it. */
import { html, signal, useEffect, useRef } from "../lib/html.js";
import { Dialog } from "./basics.js";

export const showKeys = signal(false);

const TABLE = [
  ["/", "Go to the search field"],
  ["j, k", "Next and previous row"],
  ["Enter", "Open the row"],
  ["n", "Start a run"],
  ["←, →", "Run, Compare: one step back, one step on"],
  ["Home, End", "Run: the initial state; the last step, live"],
  ["1 … 6", "Run: State, Decisions, Log, …"],
  ["u", "Times in UTC or in the browser's zone"],
  ["?", "This table"],
];

const isTyping = (target) => target.closest?.("input, textarea, select, dialog, [contenteditable]");

/** Call a handler of `keys` (`{key: handler}`) on a key press outside of fields and dialogs. */
export function useKeys(keys) {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const handle = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      const handler = latest.current[event.key];
      if (!handler) return;
      event.preventDefault();
      handler(event);
    };
    addEventListener("keydown", handle);
    return () => removeEventListener("keydown", handle);
  }, []);
}

/** Move the focus among the elements with `data-row`. */
export function moveRow(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const at = rows.indexOf(document.activeElement);
  rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by))]?.focus();
}

export function Keys() {
  useKeys({
    "?": () => (showKeys.value = true),
    "/": () => document.querySelector("[data-search]")?.focus(),
    u: () => document.querySelector("header.top button[aria-pressed]")?.click(),
    j: () => moveRow(1),
    k: () => moveRow(-1),
  });
  if (!showKeys.value) return null;
  return html`<${Dialog} title="Keyboard" onClose=${() => (showKeys.value = false)}>
    <table class="keys"><tbody>${TABLE.map(([keys, what]) => html`<tr><th scope="row">${keys.split(/(, | … )/).map((key) => (/, | … /.test(key) ? key : html`<kbd>${key}</kbd>`))}</th><td>${what}</td></tr>`)}</tbody></table>
  <//>`;
}
