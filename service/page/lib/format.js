import { signal } from "./html.js";
import { toNumber } from "./json.js";

export const recall = (name, otherwise) => {
	try { return JSON.parse(localStorage.getItem(`rungraph.${name}`)) ?? otherwise; } catch { return otherwise; }
};
export const remember = (name, value) => {
	try { localStorage.setItem(`rungraph.${name}`, JSON.stringify(value)); } catch { /* A browser may refuse to store. */ }
};

export const isUtc = signal(recall("utc", false));
const local = Intl.DateTimeFormat().resolvedOptions().timeZone;
export const zone = () => (isUtc.value ? "UTC" : local);

const formats = new Map();
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
function format(iso, options) {
	const key = zone() + Object.keys(options);
	if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat("sv-SE", { timeZone: zone(), ...options }));
	return formats.get(key).format(new Date(iso));
}
export const dateTime = (iso) => format(iso, { year: "numeric", month: "2-digit", day: "2-digit", ...CLOCK });
export const clock = (iso) => `${format(iso, CLOCK)}.${String(new Date(iso).getUTCMilliseconds()).padStart(3, "0")}`;
export const full = (iso) => `${dateTime(iso)} ${zone()}`;
export const localised = (sentence) => sentence.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, full);

export function duration(given) {
	const ms = toNumber(given);
	const s = ms / 1000;
	const two = (size, unit, small, lesser) => `${Math.floor(s / size)} ${unit} ${Math.floor((s % size) / small)} ${lesser}`;
	if (ms < 1000) return `${ms < 10 ? +ms.toFixed(1) : Math.round(ms)} ms`;
	if (s < 59.95) return `${s.toFixed(1)} s`;
	return s < 3600 ? two(60, "min", 1, "s") : s < 86400 ? two(3600, "h", 60, "min") : two(86400, "d", 3600, "h");
}
const coarse = (ms) => duration(Math.round(ms / 1000) * 1000).replace(".0 s", " s");

export const now = signal(Date.now());
setInterval(() => document.hidden || (now.value = Date.now()), 1000);
export const age = (iso) => coarse(Math.max(1000, now.value - Date.parse(iso))).replace(/(\d+ min) .*/, "$1");
export const until = (iso) => (Date.parse(iso) > now.value ? `in ${coarse(Math.max(1000, Date.parse(iso) - now.value))}` : "now");

export const bytes = (n) => (n < 1000 ? `${n} B` : n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`);
export const count = (n) => n.toLocaleString("en-US");
export const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
export const short = (id) => id.slice(-8);
