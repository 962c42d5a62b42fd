export const isExact = "rawJSON" in JSON;

const keep = (_, value, { source }) => (typeof value === "number" && source !== undefined && String(value) !== source ? JSON.rawJSON(source) : value);

export const parse = (source) => (isExact ? JSON.parse(source, keep) : JSON.parse(source));
export const text = (value, indent) => JSON.stringify(value, null, indent);

export const isRaw = (value) => isExact && JSON.isRawJSON(value);
export const isNumber = (value) => typeof value === "number" || isRaw(value);
export const toNumber = (value) => (isRaw(value) ? Number(value.rawJSON) : value);
export const typeOf = (value) => (value === null ? "null" : isNumber(value) ? "number" : Array.isArray(value) ? "array" : typeof value);
export const isObject = (value) => typeOf(value) === "object";

export function compareNumbers(...pair) {
	const [a, b] = pair.map((value) => text(value)).map((one) => (/^-?\d+$/.test(one) ? BigInt(one) : Number(one)));
	return a < b ? -1 : a > b ? 1 : 0;
}

export function equal(a, b, isSame) {
	const type = typeOf(a);
	if (a === b || type !== typeOf(b)) return a === b;
	if (type === "number") return isSame ? text(a) === text(b) : compareNumbers(a, b) === 0;
	if (type !== "array" && type !== "object") return false;
	const keys = Object.keys(a);
	return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && equal(a[key], b[key], isSame));
}
export const same = (a, b) => equal(a, b, true);

export function differences(before, after, max = 500) {
	const found = [];
	const walk = (a, b, path) => {
		if (found.length >= max || same(a, b)) return;
		const type = typeOf(a);
		if (type !== typeOf(b) || !["object", "array"].includes(type)) return void found.push({ path, kind: "changed", before: a, after: b });
		for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
			if (!Object.hasOwn(b, key)) found.push({ path: [...path, key], kind: "removed", before: a[key] });
			else if (!Object.hasOwn(a, key)) found.push({ path: [...path, key], kind: "added", after: b[key] });
			else walk(a[key], b[key], [...path, key]);
		}
	};
	walk(before, after, []);
	return found;
}

export function mergePatch(before, after, path = "") {
	const entries = Object.keys(before).filter((key) => !Object.hasOwn(after, key)).map((key) => [key, null]);
	for (const [key, value] of Object.entries(after)) {
		const old = Object.hasOwn(before, key) ? before[key] : undefined;
		if (old !== undefined && same(old, value)) continue;
		if (value === null) throw new Error(`${path}/${key}: a patch removes what it sets to null, so it cannot set null`);
		entries.push([key, isObject(value) ? mergePatch(isObject(old) ? old : {}, value, `${path}/${key}`) : value]);
	}
	return Object.fromEntries(entries);
}

export const keysOf = (path) => (path.startsWith("/") ? path.slice(1).split("/").map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~")) : path.split("."));

export function locate(source, pointer) {
	const wanted = pointer ? keysOf(pointer) : [];
	const token = /\s*("(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+)/gy;
	let at = 0;
	const next = () => {
		token.lastIndex = at;
		const found = token.exec(source)[1];
		at = token.lastIndex;
		return found;
	};
	const value = (depth) => {
		const opening = next();
		const start = at - opening.length;
		let found = null;
		if ("{[".includes(opening))
			for (let index = 0; ; index++) {
				const before = at;
				let key = next();
				if ("}]".includes(key)) break;
				if (key === ",") { index--; continue; }
				if (opening === "{") key = JSON.parse(key), next();
				else key = String(index), at = before;
				const isOnPath = depth >= 0 && key === wanted[depth];
				const inner = value(isOnPath ? depth + 1 : -1);
				if (isOnPath) found = inner;
			}
		return found ?? { start, end: at };
	};
	try { return value(0); } catch { return null; }
}

export const columns = (string) => string.replace(/[\u2e80-\ud7ff\uf900-\uffdc]/g, "xx").length;
export const cut = (string, max) => (string.length > max ? `${string.slice(0, max - 1)}…` : string);
export const own = (object, key) => (object && Object.hasOwn(object, key) ? object[key] : undefined);
