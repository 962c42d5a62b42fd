import { signal } from "./html.js";
import { parse, text } from "./json.js";

export const ROOT = new URL("../../", import.meta.url);
export const database = document.querySelector("meta[name=rungraph-database]").content;
export const enc = encodeURIComponent;

export const needsToken = signal(false);
export const isOffline = signal(false);
let entered = null;

export function set(query, values) {
	for (const [name, value] of Object.entries(values)) {
		query.delete(name);
		for (const one of [value].flat()) if (one != null && one !== "") query.append(name, one);
	}
}

export function at(path, query = {}) {
	const url = new URL(path, ROOT);
	set(url.searchParams, query);
	return url;
}

async function send(url, init) {
	for (;;) {
		let answer;
		try {
			answer = await fetch(url, init);
		} catch (error) {
			isOffline.value = true;
			throw error;
		}
		isOffline.value = false;
		if (answer.ok) return answer;
		if (answer.status !== 401 || url.pathname.endsWith("/session")) throw await problemOf(answer);
		entered ??= Promise.withResolvers();
		needsToken.value = true;
		await entered.promise;
	}
}

async function problemOf(answer) {
	const { status } = answer;
	const source = await answer.text();
	let problem = { detail: source.slice(0, 300) };
	try { problem = JSON.parse(source); } catch { /* A proxy may answer something else. */ }
	const { detail, title, errors = [] } = problem;
	return Object.assign(new Error(detail || title || `status ${status}`), { status, errors });
}

export const getText = async (path, query) => (await send(at(path, query))).text();
export const get = async (path, query) => parse(await getText(path, query));

export async function post(path, body, query = {}, type = "application/json") {
	const init = { method: "POST", headers: { "Content-Type": type }, body: body instanceof Blob ? body : text(body) };
	const source = await (await send(at(path, query), init)).text();
	return source && parse(source);
}

export async function head(path, bytes) {
	const reader = (await send(at(path))).body.getReader();
	const decoder = new TextDecoder();
	for (let text = "", seen = 0; ; ) {
		const { done, value } = await reader.read();
		if (!done && seen >= bytes) reader.cancel();
		if (done || seen >= bytes) return { text, isAll: done };
		text += decoder.decode(value, { stream: true });
		seen += value.length;
	}
}

export async function login(token) {
	await post("session", { token });
	needsToken.value = false;
	entered?.resolve();
	entered = null;
}
