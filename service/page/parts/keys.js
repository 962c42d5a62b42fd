import { html, isUtc, remember, signal, useEffect, useRef } from "lib";
import { Dialog } from "./basics.js";

export const showKeys = signal(false);

const TABLE = [
	["/", "Go to the search field"],
	["j, k", "Next and previous row; Enter opens it"],
	["n", "Start a run; new graph"],
	["←, →", "One step back, one step on"],
	["Home, End", "The initial state; the last step, live"],
	["1 … 5", "State, Decisions, Log, Files, Quality"],
	["u", "UTC or the browser's zone"],
	["?", "This table"],
];

export function useKeys(keys) {
	const latest = useRef();
	latest.current = keys;
	useEffect(() => {
		const handle = (event) => {
			if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, textarea, select, dialog")) return;
			if (latest.current[event.key]) event.preventDefault(), latest.current[event.key]();
		};
		addEventListener("keydown", handle);
		return () => removeEventListener("keydown", handle);
	}, []);
}

function moveRow(by) {
	const rows = [...document.querySelectorAll("[data-row]")];
	const at = rows.indexOf(document.activeElement);
	rows[Math.max(0, Math.min(rows.length - 1, at + by))]?.focus();
}

export const toggleUtc = () => remember("utc", (isUtc.value = !isUtc.peek()));

export function Keys() {
	useKeys({
		"?": () => (showKeys.value = true),
		"/": () => document.querySelector("[data-search]")?.focus(),
		u: toggleUtc, j: () => moveRow(1), k: () => moveRow(-1),
	});
	const keys = (text) => text.split(/(, | … )/).map((key, at) => (at % 2 ? key : html`<kbd>${key}</kbd>`));
	return showKeys.value && html`<${Dialog} title="Keyboard" leave="" onClose=${() => (showKeys.value = false)}>
		<table class="keys"><tbody>${TABLE.map(([key, what]) => html`<tr><th scope="row">${keys(key)}</th><td>${what}</td></tr>`)}</tbody></table><//>`;
}
