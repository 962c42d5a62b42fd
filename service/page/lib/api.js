/** The calls. All URLs are relative to where this module came from, so that any prefix works. */
import { signal } from "./html.js";
import { parse, text } from "./json.js";

export const ROOT = new URL("../../", import.meta.url);
export const database = (document.querySelector("meta[name=rungraph-database]")?.content ?? "").replace(/^\{\{.*/, "");

/** Whether the server has refused a call for want of its token; the login dialog shows then. */
export const needsToken = signal(false);
/** Why the last call could not reach the server, or null. */
export const offline = signal(null);
let entered = null;

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `status ${status}`);
    this.status = status;
    this.errors = body.errors ?? [];
  }
}

/** Return the URL of a path below the root; a query value may be a list, and null leaves it out. */
export function at(path, query = {}) {
  const url = new URL(path, ROOT);
  for (const [name, value] of Object.entries(query))
    for (const one of Array.isArray(value) ? value : [value])
      if (one !== null && one !== undefined && one !== "") url.searchParams.append(name, one);
  return url;
}

async function send(method, url, { body, type, signal: abort } = {}) {
  const raw = body instanceof Blob;
  const init = { method, signal: abort, headers: { Accept: "application/json" } };
  if (body !== undefined) {
    init.body = raw ? body : text(body);
    init.headers["Content-Type"] = type ?? "application/json";
  }
  for (;;) {
    let answer;
    try {
      answer = await fetch(url, init);
    } catch (error) {
      if (error.name !== "AbortError") offline.value = "The server does not answer.";
      throw error;
    }
    offline.value = null;
    if (answer.status !== 401 || url.pathname.endsWith("/session")) return answer;
    entered ??= Promise.withResolvers();
    needsToken.value = true;
    await entered.promise;
  }
}

async function read(answer) {
  const source = await answer.text();
  if (!answer.ok) {
    let body = { title: answer.statusText, detail: source.slice(0, 300) };
    try { body = JSON.parse(source); } catch { /* A proxy's page: its text is the detail. */ }
    throw new Problem(answer.status, body);
  }
  return source === "" ? null : parse(source);
}

export const get = async (path, query, options) => read(await send("GET", at(path, query), options));
export const post = async (path, body, { query, ...options } = {}) =>
  read(await send("POST", at(path, query), { body, ...options }));
export const getText = async (path, query) => {
  const answer = await send("GET", at(path, query));
  return answer.ok ? answer.text() : read(answer);
};
/** Return what `get` returns, or null where this server lacks the call or the thing. */
export const maybe = (path, query) =>
  get(path, query).catch((error) => {
    if (error instanceof Problem && [404, 405, 422].includes(error.status)) return null;
    throw error;
  });

/** Return up to `bytes` bytes from the start of a file as text, and whether that is all. */
export async function head(path, bytes, query) {
  const answer = await send("GET", at(path, query));
  if (!answer.ok) return read(answer);
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let found = "", seen = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return { text: found + decoder.decode(), isAll: true };
    seen += value.length;
    found += decoder.decode(value, { stream: true });
    if (seen >= bytes) { reader.cancel(); return { text: found, isAll: false }; }
  }
}

/** Exchange the token for a cookie. Throws Problem where the token is wrong. */
export async function login(token) {
  await post("session", { token });
  needsToken.value = false;
  entered?.resolve();
  entered = null;
}

export const enc = encodeURIComponent;
