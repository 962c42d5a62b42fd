import { ROOT, add } from "./api.js";
import { signal } from "./html.js";

const UI = new URL("ui/", ROOT);

function here() {
	const path = location.pathname.startsWith(UI.pathname) ? location.pathname.slice(UI.pathname.length) : "";
	const parts = path.split("/").filter(Boolean).map(decodeURIComponent);
	return { parts: parts.length ? parts : ["runs"], query: new URLSearchParams(location.search) };
}

export const route = signal(here());

export function href(parts, query = {}) {
	const url = new URL(parts.map(encodeURIComponent).join("/"), UI);
	url.search = String(query instanceof URLSearchParams ? query : new URLSearchParams(Object.entries(query).filter(([, value]) => value != null)));
	return url.href;
}

export function go(url, replace = false) {
	if (url === location.href) return;
	history[replace ? "replaceState" : "pushState"](null, "", url);
	route.value = here();
}

/** Change parameters of this view's URL; null removes one. */
export function setQuery(changes, replace = true) {
	const query = new URLSearchParams(location.search);
	for (const name of Object.keys(changes)) query.delete(name);
	add(query, changes);
	go(href(route.peek().parts, query), replace);
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
