import { ROOT, at, set } from "./api.js";
import { signal } from "./html.js";

const UI = new URL("ui/", ROOT);

const decoded = (part) => {
	try { return decodeURIComponent(part); } catch { return part; }
};

function here() {
	const path = location.pathname.startsWith(UI.pathname) ? location.pathname.slice(UI.pathname.length) : "";
	const parts = path.split("/").filter(Boolean).map(decoded);
	return { parts: parts.length ? parts : ["runs"], query: new URLSearchParams(location.search) };
}

export const route = signal(here());

export const href = (parts, query = {}) => at(`ui/${parts.map(encodeURIComponent).join("/")}`, query).href;

export function go(url, replace = false) {
	if (url === location.href) return;
	history[replace ? "replaceState" : "pushState"](null, "", url);
	route.value = here();
}

export function setQuery(changes, replace = true) {
	const url = new URL(href(route.peek().parts));
	url.search = location.search;
	set(url.searchParams, changes);
	go(url.href, replace);
}

addEventListener("popstate", () => (route.value = here()));
addEventListener("click", (event) => {
	const link = event.target.closest?.("a[href]");
	if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
	if (link.hasAttribute("download") || !link.href.startsWith(UI.href)) return;
	event.preventDefault();
	go(link.href);
	scrollTo(0, 0);
});
