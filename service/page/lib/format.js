/** Times, durations and names as people read them. */
import { signal, computed } from "./html.js";
import { toNumber } from "./json.js";

const stored = (name, otherwise) => {
  try { return JSON.parse(localStorage.getItem(`rungraph.${name}`)) ?? otherwise; } catch { return otherwise; }
};
export const remember = (name, value) => {
  try { localStorage.setItem(`rungraph.${name}`, JSON.stringify(value)); } catch { /* Storage may be refused. */ }
};
export { stored as recall };
export { cut, own } from "./text.js";

export const isUtc = signal(stored("utc", false));
export function setUtc(value) {
  isUtc.value = value;
  remember("utc", value);
}
const local = Intl.DateTimeFormat().resolvedOptions().timeZone;
export const zone = computed(() => (isUtc.value ? "UTC" : local));

const formats = new Map();
function format(kind, options) {
  const key = kind + zone.value;
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat("sv-SE", { timeZone: zone.value, ...options }));
  return formats.get(key);
}
const DAY = { year: "numeric", month: "2-digit", day: "2-digit" };
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
/** Return `2026-11-29 16:05:33` in the chosen zone. */
export const dateTime = (iso) => format("dateTime", { ...DAY, ...CLOCK }).format(new Date(iso));
/** Return `16:05:33.881` in the chosen zone. */
export const clock = (iso) => `${format("clock", CLOCK).format(new Date(iso))}.${String(new Date(iso).getUTCMilliseconds()).padStart(3, "0")}`;
export const full = (iso) => `${dateTime(iso)} ${zone.value}`;
/** Return a sentence with the ISO times in it written in the chosen zone. */
export const localised = (sentence) =>
  sentence.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, (iso) => full(iso));

/** Return a duration in two units at most: `350 ms`, `4.2 s`, `3 min 20 s`, `2 d 4 h`. */
export function duration(given) {
  if (given == null) return "";
  const ms = toNumber(given);
  if (ms < 1000) return `${ms < 10 ? +ms.toFixed(1) : Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 59.95) return `${s.toFixed(1)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** The time, about every second; components that read it show ages that move. */
export const now = signal(Date.now());
setInterval(() => document.hidden || (now.value = Date.now()), 1000);
export const age = (iso) => {
  const ms = Math.max(0, now.value - new Date(iso));
  return ms < 1000 ? "now" : duration(ms < 60000 ? Math.floor(ms / 1000) * 1000 : ms).replace(".0 s", " s").replace(/(\d+ min) .*/, "$1");
};

export const bytes = (n) => (n < 1000 ? `${n} B` : n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : n < 1e9 ? `${(n / 1e6).toFixed(1)} MB` : `${(n / 1e9).toFixed(2)} GB`);
export const count = (n) => n.toLocaleString("en-US");
export const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
/** Return the end of an id, where ids of one minute differ. */
export const short = (id) => id.slice(-8);
