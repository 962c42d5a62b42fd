/**
 * Exact JSON. A number that JavaScript would not write back as it was read (an integer above 2^53, `1.0`, `1e5`)
 * stays its source text: a `JSON.rawJSON` object, which `JSON.stringify` writes unchanged.
 */
export const isExact = typeof JSON.rawJSON === "function" && JSON.parse("1.0", (_, value, context) => context?.source) === "1.0";

const keep = (_, value, context) =>
  typeof value === "number" && context.source !== undefined && String(value) !== context.source
    ? JSON.rawJSON(context.source)
    : value;

/** Return the value of a JSON text, numbers exact. Throws SyntaxError. */
export const parse = (text) => (isExact ? JSON.parse(text, keep) : JSON.parse(text));
export const text = (value, indent) => JSON.stringify(value, null, indent);

export const isRaw = (value) => isExact && JSON.isRawJSON(value);
export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value) && !isRaw(value);
export const isNumber = (value) => typeof value === "number" || isRaw(value);
/** Return a number for drawing; not exact. */
export const toNumber = (value) => (isRaw(value) ? Number(value.rawJSON) : value);

export function typeOf(value) {
  if (value === null) return "null";
  if (isNumber(value)) return "number";
  return Array.isArray(value) ? "array" : typeof value;
}

/** Compare two numbers exactly: negative, 0 or positive. */
export function compareNumbers(left, right) {
  const [a, b] = [left, right].map((value) => (isRaw(value) ? value.rawJSON : String(value)));
  if (/^-?\d+$/.test(a) && /^-?\d+$/.test(b)) {
    const [x, y] = [BigInt(a), BigInt(b)];
    return x < y ? -1 : x > y ? 1 : 0;
  }
  return Number(a) - Number(b);
}

/** Whether two values are equal as a condition sees them: numbers by value, all else by content. */
export function equal(a, b) {
  const type = typeOf(a);
  if (type !== typeOf(b)) return false;
  if (type === "number") return compareNumbers(a, b) === 0;
  if (type === "array") return a.length === b.length && a.every((item, index) => equal(item, b[index]));
  if (type !== "object") return a === b;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && equal(a[key], b[key]));
}

/** Whether two values have the same text, so that 1 and 1.0 differ. */
export function same(a, b) {
  if (a === b) return true;
  const type = typeOf(a);
  if (type !== typeOf(b)) return false;
  if (type === "number") return text(a) === text(b);
  if (type === "array") return a.length === b.length && a.every((item, index) => same(item, b[index]));
  if (type !== "object") return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]));
}

/**
 * Return the differences of two values as `[{path, kind, before, after}]`; kind is added, removed or changed, and
 * path a list of keys. Arrays are compared element by element. Stops at `max` differences.
 */
export function differences(before, after, max = 500) {
  const found = [];
  const walk = (a, b, path) => {
    if (found.length >= max || same(a, b)) return;
    const inside = (isObject(a) && isObject(b)) || (Array.isArray(a) && Array.isArray(b));
    if (!inside) return void found.push({ path, kind: "changed", before: a, after: b });
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
      if (!Object.hasOwn(b, key)) found.push({ path: [...path, key], kind: "removed", before: a[key] });
      else if (!Object.hasOwn(a, key)) found.push({ path: [...path, key], kind: "added", after: b[key] });
      else walk(a[key], b[key], [...path, key]);
    }
  };
  walk(before, after, []);
  return found;
}

/** Return the JSON Merge Patch (RFC 7396) from one object to another. Throws Error where a patch cannot say it. */
export function mergePatch(before, after, path = "") {
  const entries = [];
  for (const key of Object.keys(before)) if (!Object.hasOwn(after, key)) entries.push([key, null]);
  for (const [key, value] of Object.entries(after)) {
    const here = `${path}/${key}`;
    if (Object.hasOwn(before, key) && same(before[key], value)) continue;
    const old = Object.hasOwn(before, key) ? before[key] : undefined;
    if (isObject(value)) entries.push([key, mergePatch(isObject(old) ? old : {}, value, here)]);
    else if (value === null) throw new Error(`${here}: a patch removes what it sets to null, so it cannot set null`);
    else entries.push([key, value]);
  }
  return Object.fromEntries(entries);
}

/** Return `target` with a merge patch applied. */
export function merged(target, patch) {
  if (!isObject(patch)) return patch;
  const result = new Map(Object.entries(isObject(target) ? target : {}));
  for (const [key, value] of Object.entries(patch))
    if (value === null) result.delete(key);
    else result.set(key, merged(result.get(key), value));
  return Object.fromEntries(result);
}

/** Return where the value at a JSON Pointer begins and ends in a JSON text, or null. */
export function locate(source, pointer) {
  const wanted = pointer.split("/").slice(1).map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  const token = /\s*(?:("(?:[^"\\]|\\.)*")|([{}[\],:])|([^\s{}[\],:"]+))/gy;
  let at = 0;
  const next = () => {
    token.lastIndex = at;
    const match = token.exec(source);
    if (!match) return null;
    at = token.lastIndex;
    return { text: match[1] ?? match[2] ?? match[3], start: at - (match[1] ?? match[2] ?? match[3]).length, end: at };
  };
  const value = (depth) => {
    const first = next();
    if (!first) return null;
    let range = depth === wanted.length ? first : null;
    let found = null;
    if (first.text === "{" || first.text === "[") {
      for (let index = 0; ; index++) {
        const before = at;
        let item = next();
        if (!item || item.text === "}" || item.text === "]") { at = item?.end ?? before; break; }
        if (item.text === ",") { index--; continue; }
        let key = String(index);
        if (first.text === "{") { key = JSON.parse(item.text); next(); } else at = before;
        const isOnPath = depth >= 0 && depth < wanted.length && key === wanted[depth];
        const inner = value(isOnPath ? depth + 1 : -1);
        if (isOnPath) found = inner ?? found;
      }
    }
    if (range) return { start: range.start, end: at };
    return found ?? (depth >= 0 ? { start: first.start, end: first.end } : null);
  };
  try { return value(0); } catch { return null; }
}
